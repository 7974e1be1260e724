"""The agent goes away, the servers have no leader, a token is missing: states of the page, not of the console."""

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.peers.browser import Visitor, visitor
from tests.peers.pair import OURS, SERVER
from tests.peers.programs import Host, ask, eventually
from tests.system.ui.conftest import START_S, Cluster, make_cluster

if TYPE_CHECKING:
    from playwright.sync_api import Browser

#: A node that the catalog takes for dead.
DEAD = {
    "Node": "gone",
    "Address": "10.0.0.9",
    "Check": {
        "CheckID": "serfHealth",
        "Name": "Serf Health Status",
        "Status": "critical",
        "Output": "Agent not live or unreachable",
    },
}
MANAGEMENT = "11111111-aaaa-bbbb-cccc-000000000001"
READER = "22222222-aaaa-bbbb-cccc-000000000002"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with make_cluster(tmp_path_factory.mktemp("states"), "127.74", is_real=False, clients=1) as found:
        yield found


def start(host: Host, address: str, *flags: str) -> None:
    host.start(f"agent-{address}", *OURS, "agent", "-node", "s1", "-bind", address, "-client", address, "-data-dir",
               str(host.directory / address), "-ui", *flags)  # fmt: skip


def kill_server(cluster: Cluster) -> None:
    """The server of the cluster, as it was started last."""
    (*_, server) = (program for program in cluster.host.programs if "s1" in program.command)
    server.kill()


def restart_server(cluster: Cluster) -> None:
    start(cluster.host, "127.74.0.1", *SERVER, "-data-dir", str(cluster.host.directory / "s1"))


def test_an_agent_that_is_gone_leaves_what_is_known_and_says_how_old_it_is(see: Visitor, cluster: Cluster) -> None:
    see.allowed_statuses.add(0)
    page = see.go("dc1/services")
    page.get_by_role("link", name="checkout").wait_for()
    see.prepared()  # the other pages work without the agent
    kill_server(cluster)
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("Connection lost")
    expect(alert).to_contain_text("What you see is from")
    expect(page.get_by_text("no connection")).to_be_visible()
    assert see.serious() == [], "dimmed, and still legible"
    expect(page.get_by_role("link", name="checkout")).to_be_visible()
    page.get_by_role("link", name="Key/Value").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Key/Value")
    page.go_back()
    restart_server(cluster)
    expect(page.get_by_role("link", name="checkout")).to_be_visible(timeout=90000)
    expect(alert).to_have_text("", timeout=90000)


def test_what_was_typed_survives_an_agent_that_stops_answering(see: Visitor, cluster: Cluster) -> None:
    see.allowed_statuses.add(0)
    page = see.go("dc1/kv/motd/edit")
    value = page.get_by_role("textbox", name="Value")
    expect(value).to_have_value("hello\n")
    value.fill("important words")
    kill_server(cluster)
    expect(page.get_by_role("alert").first).to_contain_text("Connection lost")
    expect(page.get_by_role("button", name="Save")).to_be_disabled()
    expect(value).to_have_value("important words")
    restart_server(cluster)
    expect(page.get_by_role("button", name="Save")).to_be_enabled(timeout=90000)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status").first).to_contain_text("was saved")


def test_the_log_goes_on_after_its_agent_has_begun_anew(see: Visitor, cluster: Cluster) -> None:
    see.allowed_statuses.add(0)
    page = see.go("dc1/agent/log")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    kill_server(cluster)
    expect(page.get_by_text("The log has ended")).to_contain_text("Trying again.")
    restart_server(cluster)
    expect(page.get_by_text("The log has ended")).to_have_count(0, timeout=90000)
    ask(f"{cluster.http}/v1/agent/join/127.74.0.1", "PUT")
    expect(page.get_by_role("group", name="Log")).to_contain_text("joined")
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Go on")).to_be_visible()


@pytest.mark.parametrize("lost", ["**/assets/**", "**/assets/**/app.js"])
def test_a_page_that_cannot_be_loaded_says_so(see: Visitor, lost: str) -> None:
    """The agent ended after its first answer, or the browser cannot read the modules."""
    see.allowed_statuses.add(0)
    see.page.route(lost, lambda route: route.abort())
    page = see.go("dc1/overview")
    expect(page.get_by_text("the agent has stopped answering")).to_be_visible()
    page.unroute(lost)
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    expect(page.get_by_text("the agent has stopped answering")).to_have_count(0)


def test_a_hidden_tab_asks_nothing(see: Visitor) -> None:
    page = see.go("dc1/services")
    page.get_by_role("link", name="checkout").wait_for()
    page.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url))
    page.wait_for_timeout(1500)
    assert [url for url in sent if "/v1/" in url] == []
    page.evaluate("Object.defineProperty(document, 'hidden', {value: false, configurable: true})")
    with page.expect_request(lambda request: "/v1/internal/ui/services" in request.url and "index" not in request.url):
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def test_without_a_leader_the_page_says_so(browser: "Browser", tmp_path: Path) -> None:
    """Two servers, one of which is stopped: what the other knows is shown at once, and that it may be old."""
    host = Host(tmp_path)
    try:
        for number in (1, 2):
            host.start(f"s{number}", *OURS, "agent", "-node", f"s{number}", "-bind", f"127.75.0.{number}", "-client",
                       f"127.75.0.{number}", "-data-dir", str(tmp_path / f"s{number}"), "-server", "-bootstrap-expect",
                       "2", "-retry-join", "127.75.0.1", "-retry-interval", "1s", "-ui",
                       "-hcl", 'performance { rpc_hold_timeout = "300s" }')  # fmt: skip
        eventually(
            lambda: len(ask("127.75.0.1:8500/v1/catalog/nodes")) == 2, "both servers are in the catalog", START_S
        )
        with visitor(browser, "127.75.0.1:8500") as see:
            see.allowed_statuses.update((500, 429))
            page = see.go("dc1/nodes")
            page.get_by_role("link", name="s2").wait_for()
            os.kill(host.programs[1].process.pid, signal.SIGKILL)
            page.goto(f"{see.base}dc1/services")
            expect(page.get_by_role("alert").first).to_contain_text("No leader", timeout=90000)
            expect(page.get_by_role("link", name="consul", exact=True)).to_be_visible(timeout=20000)
            page.goto(f"{see.base}dc1/nodes")  # other reads are held by the server: rpc_hold_timeout
            expect(page.get_by_role("link", name="s2")).to_be_visible()
            page.goto(f"{see.base}dc1/kv/create")
            expect(page.get_by_role("button", name="Save")).to_be_disabled()
            page.goto(f"{see.base}dc1/overview")
            expect(page.get_by_text("no leader").first).to_be_visible(timeout=90000)
    finally:
        host.close()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An agent with ACLs; the default is deny."""
    directory = tmp_path_factory.mktemp("guarded")
    config = directory / "acl.json"
    config.write_text(
        json.dumps(
            {"acl": {"enabled": True, "default_policy": "deny", "tokens": {"master": MANAGEMENT, "agent": MANAGEMENT}}}
        )
    )
    host = Host(directory)
    http = "127.79.0.1:8500"
    try:
        start(host, "127.79.0.1", *SERVER, "-config-file", str(config))
        with_token = f"?token={MANAGEMENT}"
        eventually(lambda: ask(f"{http}/v1/acl/tokens{with_token}"), "the management token is there", START_S)
        ask(
            f"{http}/v1/acl/policy{with_token}",
            "PUT",
            json.dumps(
                {"Name": "reader", "Rules": 'service_prefix "" { policy = "read" }\nnode_prefix "" { policy = "read" }'}
            ).encode(),
        )
        body = {
            "SecretID": READER,
            "AccessorID": READER.replace("2222", "3333", 1),
            "Description": "reads",
            "Policies": [{"Name": "reader"}],
        }
        ask(f"{http}/v1/acl/token{with_token}", "PUT", json.dumps(body).encode())
        yield http
    finally:
        host.close()


@pytest.mark.parametrize(
    ("path", "right"),
    [("kv/a/b/edit", 'key:read "a/b"'), ("agent", 'agent:read "s1"'), ("agent/log", 'agent:read "s1"')],
)
def test_a_refusal_names_the_right_and_how_to_get_it(browser: "Browser", guarded: str, path: str, right: str) -> None:
    with visitor(browser, guarded) as see:
        see.allowed_statuses.add(403)
        refusal = see.go(f"dc1/{path}").get_by_role("alert").filter(has_text="Permission denied")
        expect(refusal).to_contain_text(right)
        expect(refusal.get_by_role("link", name="Use a token")).to_be_visible()
        see.page.evaluate("sessionStorage.setItem('consulpy-token', '99999999-aaaa-bbbb-cccc-000000000000')")
        see.go(f"dc1/{path}")
        expect(refusal).to_contain_text("does not know the token in use")
        expect(refusal.get_by_role("link", name="Use another token")).to_be_visible()


def log_in(see: Visitor, secret: str, *, keep: bool) -> None:
    page = see.go("setting")
    page.get_by_role("textbox", name="Token").fill(secret)
    if keep:
        page.get_by_role("checkbox", name="Keep in this tab").check()
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_text("AccessorID").first).to_be_visible()


@pytest.mark.parametrize(
    "path", ["services", "services/consul", "nodes", "nodes/s1", "kv", "intentions", "sessions", "queries", "map"]
)
def test_an_empty_list_does_not_say_that_there_is_nothing(browser: "Browser", guarded: str, path: str) -> None:
    with visitor(browser, guarded) as see:
        see.allowed_statuses |= {403, 404}
        expect(see.go(f"dc1/{path}").get_by_text(re.compile("^No .* that may be read"))).to_be_visible()


def test_a_refusal_is_a_state_of_the_page_and_a_token_ends_it(browser: "Browser", guarded: str) -> None:
    with visitor(browser, guarded) as see:
        see.allowed_statuses.add(403)
        page = see.go("dc1/kv/some/key/edit")
        expect(page.get_by_role("heading", name="Permission denied")).to_be_visible()
        page.get_by_role("link", name="Use a token").last.click()
        expect(page.get_by_role("heading", name="Settings")).to_be_visible()
        log_in(see, MANAGEMENT, keep=True)
        page.get_by_role("link", name="Services").click()
        expect(page.get_by_role("link", name="consul", exact=True)).to_be_visible()
        stored = page.evaluate("[JSON.stringify(localStorage), document.cookie, location.href]")
        assert all(MANAGEMENT not in each for each in stored), "only this tab's storage has it"
        page.reload()
        expect(page.get_by_role("link", name="consul", exact=True)).to_be_visible()
        see.go("setting").get_by_role("button", name="Forget").click()
        expect(page.get_by_text("requests are anonymous")).to_be_visible()
        assert page.evaluate("JSON.stringify(sessionStorage)") == "{}"


def test_a_token_that_may_only_read_is_refused_beside_the_button(browser: "Browser", guarded: str) -> None:
    with visitor(browser, guarded) as see:
        see.allowed_statuses.add(403)
        log_in(see, READER, keep=True)
        page = see.go("dc1/services")
        expect(page.get_by_role("link", name="consul", exact=True)).to_be_visible()
        page = see.go("dc1/kv/create")
        page.get_by_role("textbox", name="Key").fill("k")
        page.get_by_role("textbox", name="Value").fill("typed")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("alert").filter(has_text="Permission denied")).to_be_visible()
        expect(page.get_by_role("textbox", name="Value")).to_have_value("typed")
        see.go("dc1/acls/tokens")
        expect(page.get_by_role("heading", name="Permission denied")).to_be_visible()


def test_tokens_and_policies_are_managed_and_no_secret_is_in_a_list(browser: "Browser", guarded: str) -> None:
    with visitor(browser, guarded) as see:
        see.allowed_statuses.add(403)
        log_in(see, MANAGEMENT, keep=True)
        page = see.go("dc1/acls/policies")
        page.get_by_role("link", name="Create").click()
        page.get_by_role("textbox", name="Name").fill("made-here")
        page.get_by_role("textbox", name="Rules").fill('key_prefix "" { policy = "read" }')
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("made-here")
        page = see.go("dc1/acls/tokens/create")
        page.get_by_role("textbox", name="Description").fill("for a test")
        page.get_by_role("textbox", name="Policies").fill("made-here")
        page.get_by_role("button", name="Save").click()
        page.get_by_text("Secret").wait_for()
        expect(see.go("dc1/acls/tokens").get_by_role("row").filter(has_text="for a test")).to_contain_text("made-here")
        assert READER not in page.content()
        assert see.serious() == []
        page.get_by_role("row").filter(has_text="for a test").get_by_role("link").click()
        page.get_by_role("textbox", name="Description").fill("for a test, changed")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("status").first).to_contain_text("was saved")
        page.reload()
        expect(page.get_by_role("textbox", name="Description")).to_have_value("for a test, changed")
        expect(page.get_by_role("textbox", name="Policies")).to_have_value("made-here")
        page.get_by_role("button", name="Delete").click()
        page.get_by_role("alertdialog").get_by_role("button", name="Delete").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("ACL")
        expect(page.get_by_role("row").filter(has_text="for a test")).to_have_count(0)


def test_a_node_that_fails_is_seen_without_a_reload(see: Visitor, cluster: Cluster) -> None:
    """Last of this cluster: its only client is gone afterwards."""
    page = see.go("dc1/overview")
    expect(page.get_by_text("no node failed")).to_be_visible()
    cluster.host.programs[1].kill()
    expect(page.get_by_role("list", name="Last changes")).to_contain_text("suspected")
    expect(page.get_by_text("1 node failed")).to_be_visible(timeout=60000)
    expect(page.get_by_text("process-gone")).to_be_visible(timeout=20000)
    expect(see.go("dc1/services/checkout").get_by_role("row").filter(has_text="checkout-1")).to_contain_text("failed")


def test_an_agent_that_began_after_a_failure_shows_it_all_the_same(browser: "Browser", cluster: Cluster) -> None:
    """Its pool has never had the failed node (`c1`, of the test before); the servers' catalog has. It is a client."""
    address = "127.74.1.9"
    program = (
        *OURS,
        "agent",
        "-node",
        "late",
        "-bind",
        address,
        "-client",
        address,
        "-ui",
        "-retry-join",
        "127.74.0.1",
    )
    cluster.host.start("late", *program, "-retry-interval", "1s", "-data-dir", str(cluster.host.directory / "late"))
    http = f"{address}:8500"
    eventually(lambda: ask(f"{http}/v1/health/node/c1")[0]["Status"] == "critical", "it asks the servers", START_S)
    with visitor(browser, http) as see:
        see.allowed_statuses |= {404, 500}  # no timeline of c1, no keyring at a client
        page = see.go("dc1/overview")
        failed = page.get_by_role("listitem").filter(has=page.get_by_role("link", name="c1", exact=True))
        expect(failed).to_contain_text("it failed before this agent began")
        expect(page.get_by_text("1 node failed")).to_be_visible()
        expect(see.go("dc1/nodes").get_by_role("row").filter(has_text="c1")).to_contain_text("failed")
        expect(see.go("dc1/nodes/c1").get_by_text("It failed before this agent began")).to_be_visible()
        page.route("**/v1/agent/self", lambda route: route.fulfill(json=encrypted(ask(f"{http}/v1/agent/self"))))
        expect(see.go("dc1/servers").get_by_text("servers tell which keys are in use")).to_be_visible()
        expect(page.get_by_text("This agent is no member of the WAN pool")).to_be_visible()


def encrypted(described: Any) -> Any:
    """An agent's description of itself, as where gossip is encrypted."""
    described["Stats"]["serf_lan"]["encrypted"] = "true"
    return described


def test_settings_of_this_browser_hold_over_a_reload(see: Visitor) -> None:
    page = see.go("setting")
    page.get_by_role("combobox", name="Theme").select_option("dark")
    page.get_by_role("checkbox", name="Live updates").uncheck()
    page.get_by_role("checkbox", name="Keys of one letter").uncheck()
    expect(page.get_by_role("banner")).to_contain_text("updates off")
    page.reload()
    expect(page.get_by_role("combobox", name="Theme")).to_have_value("dark")
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(18, 22, 27)"
    page = see.go("dc1/services")
    page.get_by_role("link", name="checkout").wait_for()
    see.prepared()
    page.wait_for_load_state("networkidle")
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).not_to_be_focused()
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url))
    page.wait_for_timeout(1500)
    assert not any("/v1/internal" in url for url in sent)


def test_another_datacenter_and_another_content_path(browser: "Browser", tmp_path: Path) -> None:
    host = Host(tmp_path)
    try:
        path = ("-ui-content-path", "tools/ui")
        start(host, "127.94.0.1", *SERVER, *path, "-serf-wan-bind", "127.94.0.1")
        start(host, "127.94.0.2", *SERVER, *path, "-datacenter", "dc2", "-retry-join-wan", "127.94.0.1")
        known = "127.94.0.1:8500/v1/catalog/datacenters"
        eventually(lambda: sorted(ask(known)) == ["dc1", "dc2"], "the datacenters know each other", START_S)
        eventually(lambda: ask("127.94.0.1:8500/v1/catalog/nodes?dc=dc2"), "dc2 answers", START_S)
        ask("127.94.0.1:8500/v1/kv/far?dc=dc2", "PUT", b"away")
        with visitor(browser, "127.94.0.1:8500", "/tools/ui/") as see:
            see.allowed_statuses.update((429, 500))  # autopilot of servers that have just started
            page = see.go("")
            page.get_by_role("heading", name="Overview", exact=True).wait_for()
            page.get_by_role("link", name="Key/Value").click()
            page.get_by_role("combobox", name="Datacenter").select_option("dc2")
            page.get_by_role("link", name="far").click()
            expect(page.get_by_role("textbox", name="Value")).to_have_value("away")
            assert page.url == "http://127.94.0.1:8500/tools/ui/dc2/kv/far/edit"
            page.get_by_text("The same on the command line").click()
            expect(page.get_by_text("consulpy kv get -detailed -datacenter=dc2 far")).to_be_visible()
            page.get_by_role("link", name="Nodes").click()
            expect(page.get_by_text("This agent is in another datacenter")).to_be_visible()
            ask("127.94.0.2:8500/v1/catalog/register", "PUT", json.dumps(DEAD).encode())
            page.get_by_role("link", name="Overview").click()
            expect(page.get_by_text("1 node failed")).to_be_visible()
            failed = page.get_by_role("listitem").filter(has_text="gone")
            expect(failed).to_contain_text("Agent not live or unreachable")
            host.programs[1].process.send_signal(signal.SIGSTOP)
            expect(page.get_by_role("alert").first).to_contain_text("No answer from dc2")
            host.programs[1].process.send_signal(signal.SIGCONT)
            expect(page.get_by_role("alert").first).to_have_text("")
            page.get_by_role("combobox", name="Datacenter").select_option("dc1")
            expect(page.get_by_text("no node failed")).to_be_visible()
            page.go_back()
            page.go_back()
            page.go_back()
            page.go_back()
            page.go_back()
            expect(page.get_by_role("combobox", name="Datacenter")).to_have_value("dc1")
    finally:
        host.close()
