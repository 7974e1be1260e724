"""What newer clients ask of quorums in which real servers of 1.8.7 are: done in their way, or refused and harmless."""

import json
from typing import Any

import pytest

from tests.peers.programs import Host, ask, eventually, members
from tests.peers.quorum import OWN, REAL, Quorum, begun_by

pytestmark = [pytest.mark.peers]

MESH = {"Kind": "mesh", "TransparentProxy": {"MeshDestinationsOnly": False}}
INTENTIONS = {
    "Kind": "service-intentions",
    "Name": "db",
    "Sources": [{"Name": "web", "Action": "allow"}, {"Name": "cron", "Action": "deny"}],
}
EXACT = "connect/intentions/exact?source=api&destination=db"


def put(url: str, body: Any) -> Any:
    return ask(url, "PUT", json.dumps(body).encode())


def intentions(quorum: Quorum, number: int) -> set[tuple[str, str]]:
    found = ask(quorum.url(number, "connect/intentions?stale"))
    return {(each["SourceName"], each["Action"]) for each in found}


@pytest.mark.parametrize("leader", [OWN, REAL])
def test_newer_requests_beside_real_servers(host: Host, leader: str) -> None:
    other = REAL if leader == OWN else OWN
    quorum = begun_by(host, leader, other)
    eventually(lambda: quorum.servers() == {"n1", "n2"}, "both are servers")
    own = next(number for number, kind in quorum.kinds.items() if kind == OWN)
    eventually(lambda: quorum.value(own, "x"), "ours has the state")

    with pytest.raises(ValueError, match="mesh"):
        put(quorum.url(own, "config"), MESH)
    assert put(quorum.url(own, "config"), INTENTIONS) is True
    assert put(quorum.url(own, EXACT), {"Action": "deny"}) is True
    expected = {("web", "allow"), ("cron", "deny"), ("api", "deny")}
    for number in quorum.kinds:
        eventually(lambda number=number: intentions(quorum, number) == expected, f"n{number} has the intentions")
    entry = ask(quorum.url(own, "config/service-intentions/db"))
    assert len(entry["Sources"]) == 3
    replaced = quorum.url(own, f"config?cas={entry['ModifyIndex']}")
    assert put(replaced, {**INTENTIONS, "Sources": [{"Name": "web", "Action": "deny"}]}) is True
    assert put(replaced, INTENTIONS) is False
    for number in quorum.kinds:
        eventually(lambda number=number: intentions(quorum, number) == {("web", "deny")}, f"n{number} has one left")
    assert ask(quorum.url(own, "connect/intentions/exact?source=web&destination=db"), "DELETE") is True
    for number in quorum.kinds:
        eventually(lambda number=number: not intentions(quorum, number), f"n{number} has none")
    usage = ask(quorum.url(own, "operator/usage"))["Usage"]["dc1"]
    assert (usage["Nodes"], usage["ServiceInstances"], usage["BillableServiceInstances"]) == (2, 2, 0)

    keys = [{"KV": {"Verb": "set", "Key": "t", "Value": "MQ=="}}, {"KV": {"Verb": "get-or-empty", "Key": "x/none"}}]
    if leader == OWN:
        results = put(quorum.url(own, "txn"), keys)["Results"]
        assert [each["KV"]["Key"] for each in results] == ["t", "x/none"]
        for number in quorum.kinds:
            eventually(lambda number=number: quorum.value(number, "t") == "1", f"n{number} has applied it")
    else:
        with pytest.raises(ValueError, match="unknown KV verb"):
            put(quorum.url(own, "txn"), keys)
    for number in quorum.kinds:
        assert quorum.put(number, f"after/{number}", "x"), "both programs live"


def test_a_real_server_joins_no_state_that_would_end_it(host: Host) -> None:
    quorum = begun_by(host, OWN)
    assert put(quorum.url(1, "config"), MESH) is True
    quorum.kinds[2] = REAL
    quorum.start(2, "-hcl", "")
    eventually(lambda: "after Consul 1.8; delete them" in quorum.running[1].output, "a line says why")
    ask(quorum.url(1, "config/mesh/mesh"), "DELETE")
    quorum.running[2].terminate()
    quorum.start(2, "-hcl", "")
    eventually(lambda: members(quorum.url(1, "")[: -len("/v1/")])["n2"] == "alive", "it is back")
    assert quorum.servers() == {"n1"}, "the log still has it"
    api = f"-http-addr={quorum.address(1)}:8500"
    host.run(OWN, "snapshot", "save", api, "all.snap")
    host.run(OWN, "snapshot", "restore", api, "all.snap")
    eventually(lambda: quorum.servers() == {"n1", "n2"}, "it is added now")
    eventually(lambda: quorum.value(2, "x"), "and has the state")
    assert quorum.put(2, "after", "x")


def test_a_quorum_of_ours_keeps_newer_kinds(host: Host) -> None:
    quorum = begun_by(host, OWN, OWN)
    eventually(lambda: quorum.servers() == {"n1", "n2"}, "both are servers")
    assert put(quorum.url(2, "config"), MESH) is True
    for number in quorum.kinds:
        eventually(lambda number=number: len(ask(quorum.url(number, "config/mesh?stale"))) == 1, f"n{number} has it")
    quorum.running.pop(2).kill()
    quorum.start(2, "-hcl", "")
    eventually(lambda: ask(quorum.url(2, "config/mesh/mesh?stale"))["TransparentProxy"], "after a restart too")
