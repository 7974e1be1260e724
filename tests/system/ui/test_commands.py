"""The commands that pages show: in a shell they are about the very thing, whatever its name, and run nothing else."""

import subprocess
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import pytest
from playwright.sync_api import expect

from tests.peers.browser import Visitor
from tests.system.ui.conftest import Cluster

#: Prints what a program would get, a word a line.
SPY = 'spy() { printf "%s\\0" "$@"; }\n' + "".join(
    f'{name}() {{ spy {name} "$@"; }}\n' for name in ("consulpy", "curl", "dig")
)
NAMES = ["it's", "$(touch owned)", "a;touch owned", "-recurse", "b\u202ec", "*", " ends ", "`touch owned`'\\"]


def shown(see: Visitor) -> list[list[str]]:
    """What a shell makes of each command on the page."""
    page = see.page
    page.get_by_text("The same on the command line").click()
    texts = page.locator("details.same pre").all_inner_texts()
    assert texts
    found = []
    for text in texts:
        done = subprocess.run(["bash", "-c", SPY + text], capture_output=True, check=True, timeout=30, cwd="/")
        assert done.stderr == b"", text
        found.append(done.stdout.decode().split("\0")[:-1])
    return found


def segment(name: str) -> str:
    return quote(name, safe="")


@pytest.mark.parametrize("name", NAMES)
def test_a_key_of_any_name(see: Visitor, cluster: Cluster, name: str) -> None:
    cluster.send("/v1/txn", [{"KV": {"Verb": "set", "Key": name, "Value": "YQ=="}}])
    page = see.go(f"dc1/kv/{segment(name)}/edit")
    expect(page.get_by_role("textbox", name="Value")).to_have_value("a")
    command, *_ = shown(see)
    assert [command[0], command[-1]] == ["consulpy", name]
    assert ("--" in command) == name.startswith("-")
    assert not [word for word in command[1:-1] if word not in ("kv", "get", "-detailed", "--")]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "*"])
def test_an_intention_between_services_of_any_name(see: Visitor, cluster: Cluster, name: str) -> None:
    made: Any = cluster.send(
        "/v1/connect/intentions", {"SourceName": name, "DestinationName": "*", "Action": "deny"}, "POST"
    )
    page = see.go(f"dc1/intentions/{made['ID']}")
    expect(page.get_by_role("textbox", name="Source")).to_have_value(name)
    assert [command[-2:] for command in shown(see) if command[0] == "consulpy"] == [[name, "*"]]
    cluster.send(f"/v1/connect/intentions/{made['ID']}", method="DELETE")


@pytest.mark.parametrize("name", ["it's", "$(touch owned)", " ends "])
def test_a_node_and_a_service_of_any_name(see: Visitor, cluster: Cluster, name: str) -> None:
    cluster.send("/v1/catalog/register", {"Node": name, "Address": "10.9.9.9", "Service": {"Service": name}})
    marked = name.replace(" ends ", "␣ends␣")
    see.allowed_statuses.add(404)  # it is no member: there is no timeline
    expect(see.go(f"dc1/nodes/{segment(name)}").locator("dl").get_by_text("10.9.9.9")).to_be_visible()
    expect(see.page.get_by_role("heading", level=1)).to_have_text(marked)
    why, *calls = shown(see)
    assert why == ["consulpy", "why", name]
    for _, address in calls:
        assert unquote(urlsplit(address).path).endswith(f"/{name}")
    expect(see.go(f"dc1/services/{segment(name)}").get_by_role("link", name=marked).first).to_be_visible()
    assert shown(see)[0][-2:] == [f"{name}.service.consul", "SRV"]
    cluster.send("/v1/catalog/deregister", {"Node": name})


def test_what_is_wrong_with_a_node_without_an_agent_is_seen(see: Visitor, cluster: Cluster) -> None:
    see.allowed_statuses.add(404)
    check = {"CheckID": "ping", "Name": "ping", "Status": "critical", "Output": "no reply"}
    cluster.send(
        "/v1/catalog/register",
        {"Node": "printer", "Address": "10.9.9.8", "Service": {"Service": "print"}, "Check": check},
    )
    row = see.go("dc1/nodes").get_by_role("row").filter(has_text="printer")
    expect(row.get_by_role("cell").first).to_have_text("◇ external✕ critical")
    said = see.go("dc1/overview").get_by_role("listitem").filter(has=see.page.get_by_role("link", name="print"))
    expect(said).to_contain_text("ping (of the node printer): no reply")
    expect(see.go("dc1/nodes/printer").locator("dl").first).to_contain_text("◇ external✕ critical")
    cluster.send("/v1/catalog/deregister", {"Node": "printer"})


def test_a_query_is_shown_with_all_that_it_asks(see: Visitor, cluster: Cluster) -> None:
    body = {
        "Name": "geo",
        "Service": {
            "Service": "web",
            "Failover": {"NearestN": 2, "Datacenters": ["dc9"]},
            "NodeMeta": {"rack": "1"},
            "IgnoreCheckIDs": ["disk"],
            "Connect": True,
        },
        "DNS": {"TTL": "10s"},
    }
    template = {"Name": "", "Template": {"Type": "name_prefix_match", "Regexp": "^(a|b)$"}, "Service": {"Service": "x"}}
    made = [cluster.send("/v1/query", each, "POST")["ID"] for each in (body, template)]
    page = see.go("dc1/queries")
    query = page.get_by_role("region", name="geo")
    for text in ("the nearest 2 datacenters, dc9", "rack=1", "disk", "10s", "Connect"):
        expect(query).to_contain_text(text)
    every = page.get_by_role("region", name=made[1])
    expect(every.get_by_role("heading")).to_have_text("every other name")
    expect(every).to_contain_text("^(a|b)$")
    for each in made:
        cluster.send(f"/v1/query/{each}", method="DELETE")
