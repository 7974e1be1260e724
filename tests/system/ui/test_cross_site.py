"""What a page of another site has a real browser do to an agent: a real one is changed, ours is not.

The attacker's server is the browser's proxy too, so that names lead where the attacker wants them to (DNS rebinding).
"""

import http.client
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.fakes.http_server import serving
from tests.peers.pair import Agent, agents

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.peers

SITE = "http://evil.example/"
#: A name of the attacker's that leads to the agent once the page is loaded.
REBOUND = "http://rebound.example:8500/"
REASON = "ui_config.allowed_hosts"


class Attacker(ThreadingHTTPServer):
    """Serves the page of both names, and passes what else is asked of `REBOUND` to `agent`."""

    daemon_threads = True
    agent = ""


class _Handler(BaseHTTPRequestHandler):
    server: Attacker

    def do_GET(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        address = urlsplit(self.path)
        if address.port != 8500 or address.path == "/":
            self._send(200, b"<!doctype html><title>evil</title><link rel=icon href='data:,'>", "text/html")
            return
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        connection = http.client.HTTPConnection(self.server.agent, 8500, timeout=60)
        dropped = ("proxy-connection", "accept-encoding")
        headers = {name: value for name, value in self.headers.items() if name.lower() not in dropped}
        connection.request(self.command, f"{address.path}?{address.query}", body, headers)
        answer = connection.getresponse()
        self._send(answer.status, answer.read(), answer.getheader("Content-Type", "text/plain"))
        connection.close()

    def _send(self, status: int, body: bytes, media_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Agent]]:
    with agents(tmp_path_factory.mktemp("sites"), "-ui", real="127.38.0.11", ours="127.38.0.12") as (real, ours):
        yield {"consul": real, "consulpy": ours}


@pytest.fixture(scope="module")
def attacker() -> Iterator[Attacker]:
    server = Attacker(("127.38.0.13", 8000), _Handler)
    with serving(server):
        yield server


@pytest.fixture(params=["consul", "consulpy"])
def agent(request: pytest.FixtureRequest, pair: dict[str, Agent], attacker: Attacker) -> Agent:
    attacker.agent = pair[request.param].address
    return pair[request.param]


@pytest.fixture
def is_open(agent: Agent, pair: dict[str, Agent]) -> bool:
    """Whether the attack has its way: with real Consul it has, or the test would show nothing."""
    return agent is pair["consul"]


@pytest.fixture
def victim(browser: "Browser", attacker: Attacker) -> "Iterator[Page]":
    """An operator's browser."""
    context = browser.new_context(proxy={"server": f"http://127.38.0.13:{attacker.server_port}"})
    yield context.new_page()
    context.close()


def names(agent: Agent) -> str:
    return agent.ask("/v1/query").text


def test_a_script_of_another_site(victim: "Page", agent: Agent, is_open: bool) -> None:
    victim.goto(SITE)
    victim.evaluate(
        "url => fetch(url, {method: 'POST', mode: 'no-cors', body: JSON.stringify({Name: 'by-fetch', "
        "Service: {Service: 'x'}})})",
        f"http://{agent.address}:8500/v1/query",
    )
    assert ("by-fetch" in names(agent)) is is_open


def test_a_form_of_another_site(victim: "Page", agent: Agent, is_open: bool) -> None:
    """Its one field is JSON with an equals sign in a text."""
    victim.goto(SITE)
    with victim.expect_navigation():
        victim.evaluate(
            """url => {
                const form = document.createElement("form");
                Object.assign(form, {action: url, method: "POST", enctype: "text/plain"});
                const field = document.createElement("input");
                field.name = '{"Name": "by-form", "Service": {"Service": "x", "Tags": ["';
                field.value = '"]}}';
                form.append(field);
                document.body.append(form);
                form.submit();
            }""",
            f"http://{agent.address}:8500/v1/query",
        )
    assert ("by-form" in names(agent)) is is_open
    if not is_open:
        assert REASON in victim.inner_text("body")


def test_a_name_that_leads_to_the_agent_later(victim: "Page", agent: Agent, is_open: bool) -> None:
    victim.goto(REBOUND)
    status, text = victim.evaluate(
        "async () => { const answer = await fetch('/v1/kv/rebound', {method: 'PUT', body: 'x'});"
        " return [answer.status, await answer.text()]; }"
    )
    assert (status == 200) is is_open
    assert (agent.ask("/v1/kv/rebound").status == 200) is is_open
    if not is_open:
        assert status == 403
        assert REASON in text


def test_an_image_of_another_site_makes_no_agent_connect(victim: "Page", pair: dict[str, Agent]) -> None:
    victim.goto(SITE)
    ours = pair["consulpy"]
    with victim.expect_response(lambda answer: "doctor" in answer.url) as seen:
        victim.evaluate(
            "url => { const image = new Image(); image.src = url; }",
            f"http://{ours.address}:8500/v1/agent/doctor/{ours.address}:8000",
        )
    assert seen.value.status == 403


def test_the_agents_own_page_may(victim: "Page", agent: Agent) -> None:
    victim.goto(f"http://{agent.address}:8500/ui/")
    assert victim.evaluate("async () => (await fetch('/v1/kv/own', {method: 'PUT', body: 'x'})).status") == 200
    assert agent.ask("/v1/kv/own?raw").body == b"x"
