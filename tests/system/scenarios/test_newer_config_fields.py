"""Newer fields of config entries beside real programs of 1.8.7, which skip what they do not know."""

import json
from typing import Any

import pytest

from tests.peers.programs import Host, ask, eventually, members
from tests.peers.quorum import OWN, REAL, Quorum, begun_by

pytestmark = [pytest.mark.peers]

ENTRY = {
    "Kind": "service-resolver",
    "Name": "web",
    "ConnectTimeout": "2s",
    "RequestTimeout": "15s",
    "LoadBalancer": {"Policy": "maglev", "HashPolicies": [{"Field": "header", "FieldValue": "x-user"}]},
}
PLAIN = {"Kind": "service-resolver", "Name": "web", "ConnectTimeout": "2s"}


def put(url: str, body: Any) -> Any:
    return ask(url, "PUT", json.dumps(body).encode())


def shown(url: str) -> dict[str, Any]:
    found = ask(url)
    return {name: value for name, value in found.items() if name not in ("CreateIndex", "ModifyIndex")}


@pytest.mark.parametrize("leader", [OWN, REAL])
def test_nothing_is_acknowledged_that_a_server_would_drop(host: Host, leader: str) -> None:
    quorum = begun_by(host, leader, REAL if leader == OWN else OWN)
    eventually(lambda: quorum.servers() == {"n1", "n2"}, "both are servers")
    own = next(number for number, kind in quorum.kinds.items() if kind == OWN)
    eventually(lambda: quorum.value(own, "x"), "ours has the state")
    with pytest.raises(ValueError, match=r"RequestTimeout, LoadBalancer came after Consul 1\.8"):
        put(quorum.url(own, "config"), ENTRY)
    assert put(quorum.url(own, "config"), {**PLAIN, "RequestTimeout": "0s", "LoadBalancer": None}) is True
    for number in quorum.kinds:
        eventually(lambda number=number: shown(quorum.url(number, "config/service-resolver/web")) == PLAIN, "kept")


def test_real_programs_skip_them(host: Host) -> None:
    """As a client agent, and as a server that restores a snapshot."""
    quorum = begun_by(host, OWN, OWN)
    eventually(lambda: quorum.servers() == {"n1", "n2"}, "both are servers")
    assert put(quorum.url(2, "config"), ENTRY) is True
    for number in quorum.kinds:
        eventually(
            lambda number=number: shown(quorum.url(number, "config/service-resolver/web?stale")) == ENTRY, "kept"
        )
    quorum.running.pop(2).kill()
    quorum.start(2, "-hcl", "")
    eventually(lambda: shown(quorum.url(2, "config/service-resolver/web?stale")) == ENTRY, "after a restart too")

    address = quorum.address(7)
    place = ["-bind", address, "-client", address, "-node", "c7", "-data-dir", "data7"]
    host.start("c7", REAL, "agent", *place, "-retry-join", quorum.address(1), "-retry-interval", "1s")
    client = f"{address}:8500/v1/config/service-resolver/web"
    eventually(lambda: shown(client) == PLAIN, "a real client reads what it knows")

    host.run(OWN, "snapshot", "save", f"-http-addr={quorum.address(1)}:8500", "fields.snap")
    address = quorum.address(8)
    real = host.start("r8", REAL, "agent", "-dev", "-bind", address, "-client", address)
    eventually(lambda: ask(f"{address}:8500/v1/status/leader"), "a real server leads")
    host.run(REAL, "snapshot", "restore", f"-http-addr={address}:8500", "fields.snap")
    eventually(lambda: shown(f"{address}:8500/v1/config/service-resolver/web") == PLAIN, "it has restored it")
    assert put(f"{address}:8500/v1/config", PLAIN) is True
    assert real.process.poll() is None


def test_a_real_server_joins_once_there_is_nothing_to_drop(host: Host) -> None:
    quorum = begun_by(host, OWN)
    assert put(quorum.url(1, "config"), ENTRY) is True
    quorum.kinds[2] = REAL
    quorum.start(2, "-hcl", "")
    eventually(lambda: "service-resolver/web: RequestTimeout" in quorum.running[1].output, "a line says why")
    assert quorum.servers() == {"n1"}
    assert put(quorum.url(1, "config"), PLAIN) is True
    quorum.running[2].terminate()
    quorum.start(2, "-hcl", "")
    eventually(lambda: members(quorum.url(1, "")[: -len("/v1/")])["n2"] == "alive", "it is back")
    eventually(lambda: quorum.servers() == {"n1", "n2"}, "it is added now")
    eventually(lambda: quorum.value(2, "x"), "and its program reads the log, in which the fields still are")
    eventually(lambda: shown(quorum.url(2, "config/service-resolver/web?stale")) == PLAIN, "as it is now")
    assert quorum.put(2, "after", "x")


def test_entries_of_the_configuration_are_written_where_nobody_drops_them(host: Host) -> None:
    entry = {"kind": "service-defaults", "name": "web", "max_inbound_connections": 5}
    (host.directory / "entries.json").write_text(json.dumps({"config_entries": {"bootstrap": [entry]}}))
    quorum = Quorum(host, (OWN, REAL))
    quorum.start(1, "-bootstrap-expect", "1")
    eventually(lambda: quorum.put(1, "x", "x"), "the first leads")
    quorum.start(2, "-hcl", "")
    eventually(lambda: quorum.servers() == {"n1", "n2"}, "both are servers")
    quorum.running.pop(1).kill()
    quorum.start(1, "-config-file", "entries.json")
    said = "bootstrap config entry service-defaults/web was not written: MaxInboundConnections came after Consul 1.8"

    def own_leads() -> bool:
        if quorum.leader(seen_by=1) != 1:
            quorum.running.pop(2).kill()
            quorum.start(2, "-hcl", "")
        return quorum.leader(seen_by=1) == 1

    eventually(own_leads, "ours leads, in the end")
    eventually(lambda: said in quorum.running[1].output, "a line says why")
    with pytest.raises(ValueError, match="not found"):
        ask(quorum.url(1, "config/service-defaults/web"))
