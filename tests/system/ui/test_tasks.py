"""What an operator does with the page: the same with our agent and with real Consul that serves our folder."""

import base64
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from tests.peers.browser import Visitor
from tests.peers.programs import ask, eventually, members
from tests.system.ui.conftest import Cluster, make_cluster

pytestmark = pytest.mark.peers


@pytest.fixture(scope="module", params=["consulpy", "consul"])
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    is_real = request.param == "consul"
    with make_cluster(tmp_path_factory.mktemp("tasks"), "127.73" if is_real else "127.72", is_real) as found:
        yield found


@pytest.fixture
def see(see: Visitor) -> Visitor:
    see.allowed_statuses.add(404)  # what is deleted is gone; real Consul has no timeline
    return see


def value_of(cluster: Cluster, key: str) -> bytes:
    return base64.b64decode(ask(f"{cluster.http}/v1/kv/{quote(key)}")[0]["Value"] or "")


def test_from_the_overview_to_why_a_node_failed_in_two_clicks(see: Visitor, cluster: Cluster) -> None:
    page = see.go("dc1/overview")
    expect(page.get_by_text("1 node failed")).to_be_visible()
    expect(page.get_by_text("connection refused")).to_be_visible()
    page.get_by_role("main").get_by_role("link", name="c3", exact=True).first.click()
    expect(page.get_by_role("heading", level=1, name="c3")).to_be_visible()
    if cluster.is_real:
        expect(page.get_by_text("has no timeline of its members")).to_be_visible()
    else:
        expect(page.get_by_role("heading", name="Why failed")).to_be_visible()
        expect(page.get_by_text("Declared dead at")).to_be_visible()
        expect(page.get_by_text("process-gone")).to_be_visible()
        assert page.get_by_role("list", name="Timeline").get_by_role("listitem").count() >= 2
    expect(page.get_by_text("Agent not live or unreachable")).to_be_visible()


def test_the_worst_stands_first_and_a_filter_is_in_the_address(see: Visitor) -> None:
    page = see.go("dc1/services")
    rows = page.get_by_role("table", name="Services").get_by_role("row")
    expect(rows.nth(1)).to_contain_text("critical")
    expect(rows.nth(1)).to_contain_text("checkout")
    page.get_by_role("searchbox", name="Filter services").fill("tag:v1 -checkout")
    expect(page.get_by_role("heading", level=1)).to_contain_text("1 of 3")
    assert "filter=tag" in page.url
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_contain_text("1 of 3")
    page.get_by_role("searchbox", name="Filter services").fill("nothing-like-it")
    expect(page.get_by_text("No service matches")).to_be_visible()
    page.get_by_role("button", name="Clear").click()
    page.get_by_role("button", name="Warning 1").click()
    expect(rows).to_have_count(2)
    page.go_back()
    expect(rows).to_have_count(4)


def test_every_node_in_its_state(see: Visitor) -> None:
    page = see.go("dc1/nodes")
    rows = page.get_by_role("table", name="Nodes").get_by_role("row")
    expect(rows.nth(1)).to_contain_text("failed")
    expect(rows.nth(1)).to_contain_text("c3")
    expect(rows.filter(has_text="s1")).to_contain_text("leader")
    expect(rows.filter(has_text="c2")).to_contain_text("alive")


def test_a_change_is_seen_without_a_reload(see: Visitor, cluster: Cluster) -> None:
    page = see.go("dc1/services")
    page.get_by_role("link", name="web").wait_for()
    cluster.send("/v1/catalog/register", {"Node": "ext", "Address": "10.9.9.9", "Service": {"Service": "printer"}})
    expect(page.get_by_role("link", name="printer")).to_be_visible()
    expect(page.get_by_role("status").last).to_have_text("1 service changed")
    cluster.send("/v1/catalog/deregister", {"Node": "ext"})
    expect(page.get_by_role("link", name="printer")).to_have_count(0)


def test_a_key_is_created_changed_and_deleted(see: Visitor, cluster: Cluster) -> None:
    page = see.go("dc1/kv")
    page.get_by_role("link", name="config/").click()
    page.get_by_role("link", name="Create").click()
    page.get_by_role("textbox", name="Key").fill("new key/ä?#%")
    page.get_by_role("textbox", name="Value").fill("line 1\nline 2\n")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("ModifyIndex")).to_be_visible()
    assert value_of(cluster, "config/new key/ä?#%") == b"line 1\nline 2\n"
    page.reload()
    value = page.get_by_role("textbox", name="Value")
    expect(value).to_have_value("line 1\nline 2\n")
    value.fill("changed")
    page.get_by_role("button", name="Save").press("Enter")
    expect(page.get_by_role("status").first).to_contain_text("was saved")
    expect(page.get_by_role("button", name="Save")).to_be_focused()
    assert value_of(cluster, "config/new key/ä?#%") == b"changed"
    page.get_by_role("button", name="Delete").click()
    dialog = page.get_by_role("alertdialog")
    expect(dialog).to_contain_text("config/new key/ä?#%")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("status").first).to_contain_text("was deleted")
    with pytest.raises(ValueError, match="404"):
        value_of(cluster, "config/new key/ä?#%")


def test_nobody_overwrites_what_somebody_else_saved(see: Visitor, cluster: Cluster) -> None:
    cluster.send("/v1/kv/shared", b"first")
    page = see.go("dc1/kv/shared/edit")
    value = page.get_by_role("textbox", name="Value")
    expect(value).to_have_value("first")
    value.fill("mine")
    cluster.send("/v1/kv/shared", b"theirs")
    expect(page.get_by_role("alert").filter(has_text="changed since it was opened")).to_be_visible()
    expect(value).to_have_value("mine")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("heading", name="Theirs")).to_be_visible()
    assert value_of(cluster, "shared") == b"theirs"
    page.get_by_role("button", name="Save mine anyway").click()
    expect(page.get_by_role("status").first).to_contain_text("was saved")
    assert value_of(cluster, "shared") == b"mine"


def test_what_was_typed_is_not_lost_by_a_click(see: Visitor) -> None:
    page = see.go("dc1/kv/motd/edit")
    value = page.get_by_role("textbox", name="Value")
    expect(value).to_have_value("hello\n")
    value.fill("half a novel")
    page.get_by_role("link", name="Nodes").click()
    page.get_by_role("alertdialog").get_by_role("button", name="Stay").click()
    expect(value).to_have_value("half a novel")
    assert page.url.endswith("/kv/motd/edit")


def test_a_folder_with_many_keys_is_deleted_after_its_name_was_typed(see: Visitor, cluster: Cluster) -> None:
    for number in range(12):
        cluster.send(f"/v1/kv/test/{number}", b"x")
    cluster.send("/v1/kv/test2/stays", b"x")
    page = see.go("dc1/kv/test/")
    expect(page.get_by_role("heading", level=1)).to_contain_text("12")
    page.get_by_role("button", name="Delete folder").click()
    dialog = page.get_by_role("alertdialog")
    expect(dialog).to_contain_text("All 12 keys")
    expect(dialog.get_by_role("button", name="Delete")).to_be_disabled()
    dialog.get_by_role("textbox").fill("test/")
    dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("status").first).to_contain_text("was deleted")
    assert ask(f"{cluster.http}/v1/kv/test2/?keys") == ["test2/stays"]
    with pytest.raises(ValueError, match="404"):
        ask(f"{cluster.http}/v1/kv/test/?keys")


def test_an_intention_is_created_and_deleted(see: Visitor, cluster: Cluster) -> None:
    page = see.go("dc1/intentions")
    page.get_by_role("link", name="Create").click()
    page.get_by_role("textbox", name="Source").fill("*")
    page.get_by_role("textbox", name="Destination").fill("checkout")
    page.get_by_role("radio", name="Deny: it may not").check()
    page.get_by_role("button", name="Save").click()
    row = page.get_by_role("row").filter(has_text="checkout")
    expect(row).to_contain_text("deny")
    row.get_by_role("link").click()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("alertdialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Intentions")
    eventually(lambda: len(ask(f"{cluster.http}/v1/connect/intentions")) == 1, "it is deleted")


def test_what_was_typed_of_an_intention_survives_others_who_change_and_delete_it(
    see: Visitor, cluster: Cluster
) -> None:
    see.allowed_statuses.add(500)
    body = {"SourceName": "api", "DestinationName": "store", "Action": "allow", "Description": "first"}
    made = cluster.send("/v1/connect/intentions", body, "POST")["ID"]
    page = see.go(f"dc1/intentions/{made}")
    field = page.get_by_role("textbox", name="Description")
    expect(field).to_have_value("first")
    field.fill("mine")
    cluster.send(f"/v1/connect/intentions/{made}", {**body, "Description": "theirs"})
    expect(page.get_by_role("alert").filter(has_text="changed since it was opened")).to_be_visible()
    expect(field).to_have_value("mine")
    cluster.send(f"/v1/connect/intentions/{made}", method="DELETE")
    expect(page.get_by_text(f"There is no intention {made}")).to_be_visible()
    expect(field).to_have_value("mine")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert").filter(has_text="✕")).to_be_visible()
    expect(field).to_have_value("mine")


def test_a_deletion_that_fails_loses_nothing_that_was_typed(see: Visitor, cluster: Cluster) -> None:
    see.allowed_statuses.add(500)
    body = {"SourceName": "api", "DestinationName": "cache", "Action": "allow", "Description": "first"}
    made = cluster.send("/v1/connect/intentions", body, "POST")["ID"]
    page = see.go(f"dc1/intentions/{made}")
    field = page.get_by_role("textbox", name="Description")
    expect(field).to_have_value("first")
    field.fill("mine")
    page.route(f"**/v1/connect/intentions/{made}*", lambda route: (
        route.fulfill(status=500, body="no") if route.request.method == "DELETE" else route.continue_()
    ))  # fmt: skip
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("alertdialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("alert").filter(has_text="no")).to_be_visible()
    cluster.send(f"/v1/connect/intentions/{made}", {**body, "Description": "theirs"})
    expect(page.get_by_role("alert").filter(has_text="changed since it was opened")).to_be_visible()
    expect(field).to_have_value("mine")
    cluster.send(f"/v1/connect/intentions/{made}", method="DELETE")


def test_a_session_is_destroyed_and_a_query_tried(see: Visitor, cluster: Cluster) -> None:
    session = cluster.send("/v1/session/create", {"Name": "mine"})["ID"]
    page = see.go("dc1/sessions")
    page.get_by_role("row").filter(has_text=session).get_by_role("button", name="Destroy").click()
    page.get_by_role("alertdialog").get_by_role("button", name="Destroy").click()
    expect(page.get_by_role("row").filter(has_text=session)).to_have_count(0)
    see.go("dc1/queries").get_by_role("button", name="Try").click()
    expect(page.get_by_text("2 instances")).to_be_visible()


def test_keys_alone_are_enough(see: Visitor) -> None:
    """Skip link, g and a letter, /, arrows, Enter, [ and ], ?, Esc."""
    page = see.go("dc1/overview")
    page.get_by_role("heading", level=1, name="Overview").wait_for()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    see.prepared()
    page.keyboard.press("g")
    page.keyboard.press("s")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Services")
    expect(page.get_by_role("main")).to_be_focused()
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type("g")  # a letter in a field is a letter
    expect(page.get_by_text("No service matches")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("searchbox")).to_have_value("")
    page.get_by_role("link", name="checkout").focus()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("link", name="web")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("web")
    page.keyboard.press("]")
    expect(page.get_by_role("link", name="Tags")).to_have_attribute("aria-current", "page")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("to the filter")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_a_failed_node_is_made_to_leave(see: Visitor, cluster: Cluster) -> None:
    """Last: it changes the cluster."""
    page = see.go("dc1/nodes/c3")
    page.get_by_text("Actions").click()
    page.get_by_role("button", name="Force leave", exact=True).click()
    dialog = page.get_by_role("alertdialog")
    expect(dialog).to_contain_text("One that is alive comes back by itself")
    dialog.get_by_role("button", name="Force leave", exact=True).click()
    eventually(lambda: members(cluster.http)["c3"] == "left", "c3 has left")
    expect(see.go("dc1/nodes").get_by_role("row").filter(has_text="c3")).to_contain_text("left")


def test_the_snapshot_is_a_download(see: Visitor) -> None:
    page = see.go("dc1/servers")
    with page.expect_download() as found:
        page.get_by_role("button", name="Save snapshot").click()
    download: Any = found.value
    assert download.suggested_filename.startswith("dc1-")
    assert download.path().read_bytes()[:2] == b"\x1f\x8b"


def test_the_log_is_followed_or_the_page_says_why_not(see: Visitor, cluster: Cluster) -> None:
    see.allowed_statuses.add(0)  # what a real agent sends is an error for the browser
    page = see.go("dc1/agent/log")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()

    def is_settled() -> bool:
        cluster.send(f"/v1/agent/join/{cluster.http.removesuffix(':8500')}")
        text = page.locator("main").inner_text()
        return "joined" in text or (cluster.is_real and "in a form that browsers cannot decode" in text)

    eventually(is_settled, "the log, or why it does not come")
