"""Markup, control characters, text that turns around, huge outputs, keys and values of any bytes: shown, never run."""

import base64
import json
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Route, expect

from tests.peers.browser import Visitor
from tests.peers.programs import ask
from tests.system.ui.conftest import Cluster

MARKUP = "<img src=x onerror=alert(1)><script>alert(2)</script>"
TURNED = "web\u202egnp.exe"
LARGE = "x" * 100 + "\n" + "0123456789abcdef" * 32768  # half a MiB


def transaction(cluster: Cluster, *operations: dict[str, Any]) -> Any:
    return cluster.send("/v1/txn", [{"KV": each} for each in operations])


def encoded(value: bytes) -> str:
    return base64.b64encode(value).decode()


def test_names_tags_and_outputs_are_text(see: Visitor, cluster: Cluster) -> None:
    check = {
        "Node": "n<b>",
        "CheckID": "c",
        "Name": MARKUP,
        "Status": "critical",
        "Output": f"\u001b[31m{MARKUP}\n{LARGE}",
        "ServiceID": "evil/1",
    }
    service = {"ID": "evil/1", "Service": TURNED, "Tags": [MARKUP, "a\u200bb"], "Meta": {"evil": "javascript:alert(3)"}}
    cluster.send("/v1/catalog/register", {"Node": "n<b>", "Address": MARKUP, "Service": service, "Check": check})
    page = see.go("dc1/services")
    row = page.get_by_role("row").filter(has_text="web[U+202E]gnp.exe")
    expect(row).to_contain_text(MARKUP)
    expect(row).to_contain_text("a[U+200B]b")
    row.get_by_role("link").click()
    page.get_by_role("link", name="evil/1").click()
    output = page.locator("pre").first
    expect(output).to_contain_text(f"␛[31m{MARKUP}")
    assert len(output.inner_text()) < 25_000
    page.get_by_role("button", name="Show all").click()
    expect(page.get_by_role("button", name="Show all")).to_have_count(0)
    assert len(output.inner_text()) > len(LARGE)
    page.get_by_role("link", name="Metadata").click()
    expect(page.get_by_text("javascript:alert(3)")).to_be_visible()
    assert page.locator("a[href^=javascript]").count() == 0
    expect(see.go("dc1/nodes").get_by_role("row").filter(has_text="n<b>")).to_contain_text(MARKUP)
    assert page.locator("img, main script, iframe").count() == 0
    cluster.send("/v1/catalog/deregister", {"Node": "n<b>"})


def test_thousands_of_tags_are_a_few_elements(see: Visitor, cluster: Cluster) -> None:
    service = {"ID": "tagged-1", "Service": "tagged", "Tags": [f"t{number}" for number in range(3000)]}
    cluster.send("/v1/catalog/register", {"Node": "tags", "Address": "10.9.9.7", "Service": service})
    see.allowed_statuses.add(404)  # it is no member: there is no timeline
    for path in ("services/tagged", "services/tagged/tags", "services/tagged/instances/tags/tagged-1", "nodes/tags"):
        page = see.go(f"dc1/{path}")
        expect(page.get_by_text("t1").first).to_be_visible()
        assert page.locator("*").count() < 2000, path
    expect(page.get_by_text("and 2990 more")).to_be_visible()
    see.go("dc1/services/tagged/instances/tags/tagged-1").get_by_role("button", name="Show all 3000").click()
    expect(page.get_by_text("t2999", exact=True)).to_be_visible()
    cluster.send("/v1/catalog/deregister", {"Node": "tags"})


#: Keys that an address cannot hold as they are, or can only if it is careful.
KEYS = [
    "a b?c#d%2F&=+",
    "dots/../up",
    "dots/./here",
    "empty//name",
    "/leading",
    MARKUP,
    TURNED,
    "ключ/日本",
    "edit",
    "control\u0001",
    "quote\"'\\",
]


def test_a_folder_whose_name_cannot_be_seen_is_deleted_by_what_is_shown_of_it(see: Visitor, cluster: Cluster) -> None:
    folder = "a\u202eb /"
    transaction(cluster, *({"Verb": "set", "Key": f"{folder}{number}", "Value": ""} for number in range(12)))
    page = see.go(f"dc1/kv/{quote(folder)}")
    page.get_by_role("button", name="Delete folder").click()
    dialog = page.get_by_role("alertdialog")
    dialog.get_by_role("textbox").fill("ab/")
    expect(dialog.get_by_role("button", name="Delete")).to_be_disabled()
    dialog.get_by_role("textbox").fill("a[U+202E]b /")
    dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("status").first).to_contain_text("was deleted")
    found = transaction(cluster, {"Verb": "get-tree", "Key": folder})
    assert not found["Results"]


@pytest.mark.parametrize("key", KEYS)
def test_a_key_of_any_name_is_opened_saved_and_deleted_and_no_other_key_is_touched(
    see: Visitor, cluster: Cluster, key: str
) -> None:
    see.allowed_statuses.update((404, 409))
    flags = 2**63 + 1
    body = json.dumps([{"KV": {"Verb": "set", "Key": key, "Value": encoded(b"old"), "Flags": 1}}]).replace(
        ": 1}", f": {flags}}}"
    )
    cluster.send("/v1/txn", body.encode())
    bystander = key.replace("dots/../", "").replace("dots/./", "dots/").replace("//", "/").lstrip("/")
    if bystander != key:
        transaction(cluster, {"Verb": "set", "Key": bystander, "Value": encoded(b"bystander")})
    folder, _, name = key.rpartition("/")
    page = see.go(f"dc1/kv?folder={quote(folder + '/' if '/' in key else '')}")
    shown = name.replace("\u202e", "[U+202E]").replace("\u0001", "␁")
    page.get_by_role("table", name="Keys").get_by_role("link", name=shown, exact=True).click()
    value = page.get_by_role("textbox", name="Value")
    expect(value).to_have_value("old")
    value.fill("new")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status").first).to_contain_text("was saved")
    stored = transaction(cluster, {"Verb": "get", "Key": key})["Results"][0]["KV"]
    assert (stored["Value"], stored["Flags"]) == (encoded(b"new"), flags)
    page.reload()
    expect(value).to_have_value("new")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("alertdialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("status").first).to_contain_text("was deleted")
    assert key not in ask(f"{cluster.http}/v1/kv/?keys")
    if bystander != key:
        assert transaction(cluster, {"Verb": "get", "Key": bystander})["Results"][0]["KV"]["Value"] == encoded(
            b"bystander"
        )


@pytest.mark.parametrize(
    "value", [b"\x00\xff\xfe", b"a\rb", b"\r\nmixed\nends", b"\x1b[31mred", bytes(range(256))], ids=repr
)
def test_a_value_that_a_text_field_would_change_is_hexadecimal_and_keeps_each_byte(
    see: Visitor, cluster: Cluster, value: bytes
) -> None:
    cluster.send("/v1/kv/bytes", value)
    page = see.go("dc1/kv/bytes/edit")
    field = page.get_by_role("textbox", name="Value")
    expect(page.get_by_role("button", name="Hexadecimal")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Text").click()
    expect(page.get_by_text("not text")).to_be_visible()
    field.fill(field.input_value() + " 0a")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status").first).to_contain_text("was saved")
    assert base64.b64decode(ask(f"{cluster.http}/v1/kv/bytes")[0]["Value"]) == value + b"\n"
    field.fill("zz")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert").filter(has_text="no hexadecimal digit")).to_be_visible()


def test_a_value_with_characters_that_cannot_be_seen_says_so(see: Visitor, cluster: Cluster) -> None:
    cluster.send("/v1/kv/turned", "admin = \u202etrue\u2069\u200b\n".encode())
    page = see.go("dc1/kv/turned/edit")
    expect(page.get_by_text("characters that cannot be seen: [U+202E] [U+2069] [U+200B]")).to_be_visible()
    see.go("dc1/kv/motd/edit").get_by_role("textbox", name="Value").wait_for()
    expect(page.get_by_text("cannot be seen")).to_have_count(0)


def test_line_ends_of_windows_stay(see: Visitor, cluster: Cluster) -> None:
    cluster.send("/v1/kv/crlf", b"one\r\ntwo\r\n")
    page = see.go("dc1/kv/crlf/edit")
    field = page.get_by_role("textbox", name="Value")
    expect(field).to_have_value("one\ntwo\n")
    field.fill("one\ntwo\nthree\n")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status").first).to_contain_text("was saved")
    assert base64.b64decode(ask(f"{cluster.http}/v1/kv/crlf")[0]["Value"]) == b"one\r\ntwo\r\nthree\r\n"


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (500, "rpc error: something broke", "something broke"),
        (502, "<html><script>alert(1)</script>Bad gateway</html>", "status 502"),
        (429, "too many", "too many"),
        (200, "<html>a proxy's login</html>", "not JSON"),
    ],
)
def test_answers_that_are_none_are_said_and_end_by_themselves(see: Visitor, status: int, body: str, said: str) -> None:
    see.allowed_statuses.add(status)
    page = see.page
    page.route("**/v1/internal/ui/services*", lambda route: route.fulfill(status=status, body=body))
    see.go("dc1/services")
    alert = page.get_by_role("alert").first
    expect(alert).to_contain_text("The agent answers with an error")
    expect(alert).to_contain_text(said)
    page.unroute("**/v1/internal/ui/services*")
    expect(page.get_by_role("link", name="checkout")).to_be_visible(timeout=30000)
    expect(alert).to_have_text("")


def test_a_slow_line_shows_the_frame_at_once(see: Visitor) -> None:
    held: list[Route] = []
    see.page.route("**/v1/internal/ui/services*", lambda route: held.append(route))
    page = see.go("dc1/services")
    expect(page.get_by_role("heading", level=1, name="Services")).to_be_visible()
    expect(page.get_by_role("main")).to_have_attribute("aria-busy", "true")
    page.get_by_role("link", name="Key/Value").click()
    expect(page.get_by_role("link", name="motd")).to_be_visible()
    for route in held:
        route.abort()
