"""Quorums of servers of ours, real Consul's, and both: servers leave, join, are replaced, hand over, are restored."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.peers.programs import Host, ask, eventually
from tests.peers.quorum import MIXES, OWN, REAL, Quorum, Writer, begun

pytestmark = [pytest.mark.peers]


@pytest.mark.parametrize("mix", ["own", "two real"])
def test_a_leader_of_ours_that_is_stopped_hands_over(host: Host, mix: str) -> None:
    """Within an election timeout nobody would lead; the successor is there before the old leader is gone."""
    quorum = begun(host, mix)
    ours = next(number for number, kind in quorum.kinds.items() if kind == OWN)
    while quorum.kinds[own := eventually(quorum.leader, "a leader that all name")] != OWN:
        quorum.running.pop(own).kill()
        eventually(lambda: quorum.put(ours, "x", "x"), "another leader")
        quorum.start(own)
        eventually(lambda ended=own: quorum.value(ended, "x"), "it is back")
    writer = Writer(quorum)
    writer.start()
    time.sleep(1)
    program = quorum.running.pop(own)
    program.terminate()
    time.sleep(1)
    writer.stop()
    writer.check()
    assert "handing over to" in program.output
    assert max(writer.gaps_s) < 1.5, "slower than an election"


@pytest.mark.parametrize("mix", ["own", "one real"])
def test_servers_leave_and_new_ones_join(host: Host, mix: str) -> None:
    quorum = begun(host, mix)
    assert quorum.put(1, "before", "x")
    leader = quorum.leader()
    other = next(number for number in quorum.kinds if number != leader)

    def servers() -> set[str]:
        return {server["Node"] for server in ask(quorum.url(other, "operator/raft/configuration"))["Servers"]}

    program = quorum.running.pop(leader)
    host.run(quorum.kinds[leader], "leave", f"-http-addr={quorum.address(leader)}:8500")
    program.wait()
    eventually(lambda: servers() == {f"n{number}" for number in quorum.running}, "the leader that left is removed")
    assert quorum.put(other, "after", "x")

    quorum.kinds[4] = OWN
    quorum.start(4, "-rejoin")
    eventually(lambda: "n4" in servers(), "a new server joins")
    eventually(lambda: quorum.value(4, "before") == "x", "and has everything")

    def voters() -> set[str]:
        found = ask(quorum.url(other, "operator/raft/configuration"))["Servers"]
        return {server["Node"] for server in found if server["Voter"]}

    eventually(lambda: "n4" in voters(), "and is promoted")


def snapshot_of(host: Host, quorum: Quorum, number: int, name: str) -> None:
    host.run("consul", "snapshot", "save", f"-http-addr={quorum.address(number)}:8500", name)


@pytest.mark.parametrize("mix", ["own", "two real"])
def test_a_snapshot_is_saved_and_restored_through_any_server(host: Host, mix: str) -> None:
    quorum = begun(host, mix)
    for number in quorum.kinds:
        assert quorum.put(number, f"old{number}", "x")
    for number in quorum.kinds:
        snapshot_of(host, quorum, number, f"snap{number}")
        assert quorum.put(number, "new", "x")
        restore = ("consul", "snapshot", "restore", f"-http-addr={quorum.address(number)}:8500", f"snap{number}")
        eventually(lambda restore=restore: host.run(*restore) is not None, "a restore")
        for reader in quorum.kinds:
            keys: Callable[[], Any] = lambda reader=reader: sorted(ask(quorum.url(reader, "kv/?keys&stale")))  # noqa: E731
            eventually(lambda keys=keys: keys() == ["old1", "old2", "old3"], f"the state on server {reader}")
        eventually(lambda number=number: quorum.put(number, "old1", "y"), "a write after the restore")


def test_three_real_servers_are_replaced_in_place_one_by_one_while_a_client_writes(host: Host) -> None:
    """The same data directory, node id, address, term, vote and log: no server joins or leaves the quorum."""
    quorum = Quorum(host, (REAL, REAL, REAL))
    for number in quorum.kinds:
        quorum.start(number)
    eventually(quorum.leader, "a leader that all name")
    snapshot_of(host, quorum, 1, "made")
    before = ask(quorum.url(1, "operator/raft/configuration"))["Servers"]
    writer = Writer(quorum)
    writer.start()
    for number in quorum.kinds:
        time.sleep(1)
        quorum.running.pop(number).terminate()
        quorum.kinds[number] = OWN
        quorum.start(number)
        eventually(lambda number=number: quorum.put(number, "moved", str(number)), f"a write through the new {number}")
        eventually(lambda number=number: quorum.value(number, "moved") == str(number), "which it has itself")
        eventually(quorum.leader, "a leader that all name")
    time.sleep(1)
    writer.stop()
    writer.check()
    after = ask(quorum.url(1, "operator/raft/configuration"))["Servers"]
    names = lambda servers: sorted((each["ID"], each["Address"], each["Voter"]) for each in servers)  # noqa: E731
    assert names(after) == names(before)


def test_a_server_that_was_alone_grows_to_three(host: Host) -> None:
    quorum = Quorum(host, (OWN, OWN, REAL))
    quorum.start(1, "-bootstrap-expect", "1")
    eventually(lambda: quorum.put(1, "alone", "x"), "a server")
    service = {"ID": "web", "Service": "web", "Weights": {"Passing": 1, "Warning": 1}}
    body = json.dumps({"Node": "outside", "Address": "10.0.0.1", "Service": service})
    assert ask(quorum.url(1, "catalog/register"), "PUT", body.encode())
    quorum.start(2, "-rejoin")
    quorum.start(3, "-rejoin")

    def voters() -> set[str]:
        found = ask(quorum.url(1, "operator/raft/configuration"))["Servers"]
        return {server["Node"] for server in found if server["Voter"]}

    eventually(lambda: voters() == {"n1", "n2", "n3"}, "three voters")
    for path in ("operator/autopilot/configuration?stale", "health/service/web?stale"):
        read = [ask(quorum.url(number, path)) for number in (1, 3)]
        assert read[0] == read[1], "the real server reads the log of the time before as it is"
    quorum.running.pop(1).kill()
    eventually(lambda: quorum.put(2, "more", "y"), "a write without the first one")
    assert quorum.value(3, "alone", "") == "x"


@pytest.mark.parametrize("mix", ["own", "one real"])
def test_the_office_is_handed_over_on_demand(host: Host, mix: str) -> None:
    quorum = begun(host, mix)

    def hand_over(number: int) -> None:
        servers = ask(quorum.url(1, "operator/raft/configuration"))["Servers"]
        server_id = next(iter(server["ID"] for server in servers if server["Node"] == f"n{number}"))
        where = f"-http-addr={quorum.address(quorum.leader())}:8500"
        assert host.output("consulpy", "operator", "raft", "transfer-leader", where, f"-id={server_id}") == "Success\n"

    for number in (1, 3, 2 if mix == "own" else 1):
        if eventually(quorum.leader, "a leader that all name") != number:
            if quorum.kinds[quorum.leader()] == REAL:
                quorum.running.pop(quorum.leader()).close()  # it cannot be asked to
                quorum.start(2)
                continue
            hand_over(number)
            eventually(lambda number=number: quorum.leader() == number, f"server {number} leads")
            assert quorum.put(1, "after", str(number))


@pytest.mark.parametrize("mix", ["own", "two real"])
def test_a_quorum_over_tls(host: Host, mix: str) -> None:
    host.run("consul", "tls", "ca", "create")
    quorum = Quorum(host, MIXES[mix])
    for number in quorum.kinds:
        host.run("consul", "tls", "cert", "create", "-server")
        secure = {
            "verify_incoming_rpc": True,
            "verify_outgoing": True,
            "verify_server_hostname": True,
            "ca_file": "consul-agent-ca.pem",
            "cert_file": f"dc1-server-consul-{number - 1}.pem",
            "key_file": f"dc1-server-consul-{number - 1}-key.pem",
        }
        quorum.start(number, "-bootstrap-expect", "3", "-hcl", json.dumps(secure))
    eventually(quorum.leader, "a leader that all name")
    for number in quorum.kinds:
        assert quorum.put(number, f"key{number}", "x")
    leader = quorum.leader()
    quorum.running.pop(leader).kill()
    other = min(quorum.running)
    eventually(lambda: quorum.put(other, "after", "x"), "a write after the leader's death")
    quorum.start(leader, "-hcl", json.dumps(secure))
    eventually(lambda: quorum.value(leader, "after"), "the killed server is back")


def test_five_servers_of_both_kinds_outlive_two(host: Host) -> None:
    quorum = begun(host, "five, two real")
    writer = Writer(quorum)
    writer.start()
    for _ in range(2):
        time.sleep(1)
        leader = eventually(lambda: quorum.leader(max(quorum.running)), "a leader")
        quorum.running.pop(leader).kill()
        eventually(lambda: quorum.put(max(quorum.running), "again", "x"), "a write after a death")
    time.sleep(1)
    writer.stop()
    writer.check()


def test_a_quorum_that_lost_its_majority_for_good_is_recovered_by_peers_json(host: Host) -> None:
    quorum = begun(host, "own")
    assert quorum.put(1, "before", "x")
    eventually(lambda: quorum.value(1, "before") == "x", "replicated")
    server_id = ask(quorum.url(1, "agent/self"))["Config"]["NodeID"]
    for program in quorum.running.values():
        program.kill()
    quorum.running.clear()
    folder = host.directory / "data1" / "raft"
    folder.mkdir(exist_ok=True)
    peers = [{"id": server_id, "address": f"{quorum.address(1)}:8300"}]
    (folder / "peers.json").write_text(json.dumps(peers))
    quorum.start(1)
    eventually(lambda: quorum.put(1, "after", "x"), "a write on the one that is left")
    assert quorum.value(1, "before", "") == "x"
    assert not (folder / "peers.json").exists()
    servers = ask(quorum.url(1, "operator/raft/configuration"))["Servers"]
    assert [server["ID"] for server in servers] == [server_id]
