"""Consul's own page, served by `-ui-dir`, works on our agent as on its own.

Its files are taken from the running real agent; none of them is kept. Each address is opened on both agents, which have
the same catalog, and everything that can be read there must be the same.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.peers.pair import OURS, SERVER, Agent, agents, page_of
from tests.peers.programs import eventually
from tests.system.ui.test_internal_ui import registrations

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.peers

ADDRESSES = [
    "dc1/services",
    "dc1/services/web/instances",
    "dc1/services/web/tags",
    "dc1/services/web/intentions",
    "dc1/services/web/instances/db/web-1/health-checks",
    "dc1/services/web/instances/db/web-1/metadata",
    "dc1/services/web/instances/db/web-1/addresses",
    "dc1/services/nothing",
    "dc1/services?filter=web&sort=Name:desc",
    "dc1/services/ig/upstreams",
    "dc1/services/tg/services",
    "dc1/nodes",
    "dc1/nodes/db",
    "dc1/nodes/db/health-checks",
    "dc1/nodes/db/service-instances",
    "dc1/nodes/nobody",
    "dc1/nodes/n1/lock-sessions",
    "dc1/nodes/n1/metadata",
    "dc1/kv",
    "dc1/kv/folder/",
    "dc1/kv/folder/key/edit",
    "dc1/kv/nothing/edit",
    "dc1/kv/create",
    "dc1/intentions/create",
    "dc1/acls/policies",
    "dc1/acls/roles",
    "dc2/services",
    "dc1/intentions",
    "dc1/acls/tokens",
    "setting",
]
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Agent, Agent]]:
    """A real agent, and ours that serves its page."""
    directory: Path = tmp_path_factory.mktemp("consuls-page")
    with agents(directory, "-ui", real="127.38.0.21", ours="127.38.0.22") as (real, _):
        page_of(real, directory / "page")
        ours = Agent(OURS, "127.38.0.23", directory, *SERVER, "-ui-dir", str(directory / "page"))
        try:
            ours.wait_until_it_leads()
            for agent in (real, ours):
                fill(agent)
            yield real, ours
        finally:
            ours.close()


def fill(agent: Agent) -> None:
    for path, body in registrations():
        assert agent.ask(f"/v1/{path}", "PUT", json.dumps(body).encode()).status == 200
    assert agent.ask("/v1/kv/folder/key", "PUT", b"hello").status == 200
    assert agent.ask("/v1/session/create", "PUT", b'{"Name": "a session"}').status == 200
    intention = b'{"SourceName": "web", "DestinationName": "db", "Action": "allow"}'
    assert agent.ask("/v1/connect/intentions", "POST", intention).status == 200


@pytest.fixture(scope="module")
def visitors(browser: "Browser") -> "Iterator[list[Page]]":
    contexts = [browser.new_context(viewport={"width": 1280, "height": 900}) for _ in range(2)]
    yield [context.new_page() for context in contexts]
    for context in contexts:
        context.close()


def seen(page: "Page", agent: Agent) -> str:
    text = page.locator("body").inner_text().replace(agent.address, "ADDRESS")
    return _UUID.sub("UUID", text)


@pytest.mark.parametrize("address", ADDRESSES)
def test_the_same_is_seen(visitors: "list[Page]", pair: tuple[Agent, Agent], address: str) -> None:
    for page, agent in zip(visitors, pair, strict=True):
        page.goto(f"http://{agent.address}:8500/ui/{address}")
        page.wait_for_selector("h1")

    def is_same() -> bool:
        first, second = (seen(page, agent) for page, agent in zip(visitors, pair, strict=True))
        visitors[0].wait_for_timeout(100)
        return len(first) > 100 and first == second

    eventually(is_same, f"{address} shows the same on both")
    assert visitors[0].url.partition("/ui/")[2] == visitors[1].url.partition("/ui/")[2]


def test_a_key_is_made(visitors: "list[Page]", pair: tuple[Agent, Agent]) -> None:
    """The page's writes come from the agent's own site."""
    page, ours = visitors[1], pair[1]
    page.goto(f"http://{ours.address}:8500/ui/dc1/kv/create")
    page.fill('input[name="additional"]', "made")
    page.click('button:has-text("Save")')
    eventually(lambda: ours.ask("/v1/kv/made").status == 200, "the key is there")


def test_a_new_service_is_shown_without_a_reload(visitors: "list[Page]", pair: tuple[Agent, Agent]) -> None:
    page, ours = visitors[1], pair[1]
    page.goto(f"http://{ours.address}:8500/ui/dc1/services")
    page.wait_for_selector("text=web")
    body = {"Node": "late", "Address": "10.0.0.99", "Service": {"Service": "comes-late"}}
    assert ours.ask("/v1/catalog/register", "PUT", json.dumps(body).encode()).status == 200
    page.wait_for_selector("text=comes-late")
