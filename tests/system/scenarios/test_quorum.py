"""Quorums of real programs, ours, real Consul's, and both: writing clients, killed and frozen servers, leaving."""

import base64
import itertools
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.peers.programs import Host, Program, ask, eventually, hosts

pytestmark = [pytest.mark.peers, pytest.mark.timeout(240)]

FAST = json.dumps({"performance": {"raft_multiplier": 1, "leave_drain_time": "200ms"}, "limits": {}})
_blocks = itertools.count(1)

OWN, REAL = "consulpy", "consul"
MIXES = {
    "own": (OWN, OWN, OWN),
    "one real": (OWN, REAL, OWN),
    "two real": (REAL, OWN, REAL),
}


class Quorum:
    """Servers on addresses of their own. `settings`: for all of them, beside the fast ones."""

    settings = FAST

    def __init__(self, host: Host, programs: tuple[str, ...]) -> None:
        self.host = host
        self.block = f"127.{200 + next(_blocks)}.1"
        self.kinds = dict(enumerate(programs, 1))
        self.running: dict[int, Program] = {}

    def address(self, number: int) -> str:
        return f"{self.block}.{number}"

    def host_of(self, number: int) -> Host:
        return self.host

    def start(self, number: int, *flags: str) -> None:
        place = ["-node", f"n{number}", "-bind", self.address(number), "-client", self.address(number)]
        joins = [flag for other in self.kinds for flag in ("-retry-join", self.address(other))]
        expect = flags or ("-bootstrap-expect", str(len(self.kinds)))
        self.running[number] = self.host_of(number).start(
            f"n{number}",
            self.kinds[number],
            "agent",
            "-server",
            *place,
            *joins,
            *expect,
            "-retry-interval",
            "1s",
            "-data-dir",
            f"data{number}",
            "-hcl",
            self.settings,
        )

    def url(self, number: int, path: str) -> str:
        return f"{self.address(number)}:8500/v1/{path}"

    def leader(self, seen_by: int | None = None) -> int:
        """The number of the server that all (or one) name."""
        asked = [seen_by] if seen_by is not None else list(self.running)
        named = {ask(self.url(number, "status/leader")) for number in asked}
        numbers = [number for number in self.kinds if named == {f"{self.address(number)}:8300"}]
        assert numbers, named
        return numbers[0]

    @property
    def own(self) -> int:
        """A server of ours, if possible one that does not lead."""
        leader = self.leader()
        return max((number for number, kind in self.kinds.items() if kind == OWN), key=lambda number: number != leader)

    def put(self, number: int, key: str, value: str) -> bool:
        return bool(ask(self.url(number, f"kv/{key}"), "PUT", value.encode(), within_s=12))

    def value(self, number: int, key: str, how: str = "stale") -> str:
        found = ask(self.url(number, f"kv/{key}?{how}"))
        return base64.b64decode(found[0]["Value"]).decode()

    def term(self, number: int) -> int:
        """The term that a server is in."""
        return int(ask(self.url(number, "agent/self"))["Stats"]["raft"]["term"])


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with hosts(tmp_path, None) as (only,):
        yield only


def begun(host: Host, mix: str) -> Quorum:
    quorum = Quorum(host, MIXES[mix])
    for number in quorum.kinds:
        quorum.start(number)
    eventually(quorum.leader, "a leader that all name")
    return quorum


class Writer(threading.Thread):
    """Writes new keys through all servers in turn, and notes what was acknowledged and how long each write took."""

    def __init__(self, quorum: Quorum) -> None:
        super().__init__(daemon=True)
        self.quorum = quorum
        self.ended = threading.Event()
        self.handle_ack: list[str] = []
        self.failed = 0
        self.gaps_s: list[float] = []

    def run(self) -> None:
        last_s = time.monotonic()
        for count in itertools.count():
            if self.ended.is_set():
                return
            numbers = list(self.quorum.running)
            key = f"written/{count}"
            try:
                if self.quorum.put(numbers[count % len(numbers)], key, str(count)):
                    self.handle_ack.append(key)
                    self.gaps_s.append(time.monotonic() - last_s)
                    last_s = time.monotonic()
            except (OSError, ValueError):
                self.failed += 1
            time.sleep(0.005)

    def stop(self) -> None:
        self.ended.set()
        self.join(20)

    def check(self) -> None:
        """Nothing acknowledged is lost, on any server."""
        assert len(self.handle_ack) > 20
        for number in self.quorum.running:

            def missing(number: int = number) -> list[str]:
                stored = set(ask(self.quorum.url(number, "kv/written?keys&stale")))
                return [key for key in self.handle_ack if key not in stored]

            eventually(lambda missing=missing: not missing(), f"all acknowledged writes on server {number}")


@pytest.mark.parametrize("mix", MIXES)
def test_writes_go_through_every_server_and_are_read_on_every_server(host: Host, mix: str) -> None:
    quorum = begun(host, mix)
    for number in quorum.kinds:
        assert quorum.put(number, f"key{number}", f"value {number}")
    for reader in quorum.kinds:
        for number in quorum.kinds:
            for how in ("consistent", "", "stale"):
                eventually(
                    lambda reader=reader, number=number, how=how: (
                        quorum.value(reader, f"key{number}", how) == f"value {number}"
                    ),
                    f"{how} read",
                    5,
                )
    indexes = {number: ask(quorum.url(number, "kv/key1?stale"))[0]["ModifyIndex"] for number in quorum.kinds}
    assert len(set(indexes.values())) == 1, indexes
    for number in quorum.kinds:
        servers = ask(quorum.url(number, "operator/raft/configuration"))["Servers"]
        assert {server["Node"] for server in servers} == {"n1", "n2", "n3"}
        assert [server["Node"] for server in servers if server["Leader"]] == [f"n{quorum.leader()}"]
    healthy = lambda: ask(quorum.url(1, "operator/autopilot/health"))["Healthy"]  # noqa: E731
    eventually(healthy, "all servers healthy")
    where = f"-http-addr={quorum.address(quorum.own)}:8500"
    state = json.loads(host.output("consulpy", "operator", "autopilot", "state", where, "-format", "json"))
    assert (state["FailureTolerance"], len(state["Voters"])) == (1, 3)
    assert state["Servers"][state["Leader"]]["Name"] == f"n{quorum.leader()}"
    assert "Failure Tolerance:            1\n" in host.output("consulpy", "operator", "autopilot", "state", where)


@pytest.mark.parametrize("mix", ["own", "two real"])
def test_a_server_that_was_frozen_for_long_unseats_nobody(host: Host, mix: str) -> None:
    """Half a minute: gossip calls it failed, autopilot may remove it, others have elected and gone on."""
    quorum = begun(host, mix)
    writer = Writer(quorum)
    writer.start()
    own = quorum.own
    for seconds in (30.0, 10.0) if eventually(quorum.leader, "a leader") == own else (30.0,):
        frozen = quorum.running.pop(own)
        frozen.process.send_signal(signal.SIGSTOP)
        other = min(quorum.running)
        eventually(lambda other=other: quorum.put(other, "meanwhile", "x"), "a write without it")
        time.sleep(seconds)
        before = {number: (quorum.leader(number), quorum.term(number)) for number in quorum.running}
        frozen.process.send_signal(signal.SIGCONT)
        eventually(lambda: quorum.value(own, "meanwhile") == "x", "it is back")
        eventually(lambda: quorum.put(own, "again", "x"), "a write through it")
        assert {number: (quorum.leader(number), quorum.term(number)) for number in quorum.running} == before
        quorum.running[own] = frozen
    time.sleep(1)
    writer.stop()
    writer.check()


@pytest.mark.parametrize("mix", MIXES)
def test_a_killed_leader_loses_no_acknowledged_write(host: Host, mix: str) -> None:
    quorum = begun(host, mix)
    writer = Writer(quorum)
    writer.start()
    for _ in range(2):
        time.sleep(1.5)
        leader = eventually(lambda: quorum.leader(next(iter(quorum.running))), "a leader")
        quorum.running.pop(leader).kill()
        rest = next(iter(quorum.running))
        eventually(lambda rest=rest: quorum.put(rest, "again", "x"), "a write after the leader's death")
        quorum.start(leader)
        eventually(lambda leader=leader: quorum.value(leader, "again"), "the killed server is back")
    time.sleep(1)
    writer.stop()
    writer.check()


@pytest.mark.parametrize("mix", MIXES)
def test_a_frozen_server_comes_back_without_harm(host: Host, mix: str) -> None:
    quorum = begun(host, mix)
    writer = Writer(quorum)
    writer.start()
    leader = quorum.leader()
    follower = next(number for number in quorum.kinds if number != leader)
    for number, seconds in ((follower, 2.0), (leader, 2.0)):
        frozen = quorum.running.pop(number)
        frozen.process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        frozen.process.send_signal(signal.SIGCONT)
        quorum.running[number] = frozen
        eventually(quorum.leader, "a leader that all name")
        eventually(lambda: quorum.put(1, "again", "x"), "a write")
    time.sleep(1)
    writer.stop()
    writer.check()


def test_all_killed_at_once_come_back_with_everything(host: Host) -> None:
    quorum = begun(host, "own")
    writer = Writer(quorum)
    writer.start()
    time.sleep(2)
    for program in quorum.running.values():
        program.process.kill()
    writer.stop()
    for number in quorum.kinds:
        quorum.running[number].close()
        quorum.start(number)
    eventually(quorum.leader, "a leader that all name")
    writer.check()


@pytest.mark.parametrize("mix", ["own", "two real"])
def test_a_leader_of_ours_that_is_stopped_hands_over(host: Host, mix: str) -> None:
    """Within an election timeout nobody would lead; the successor is there before the old leader is gone."""
    quorum = begun(host, mix)
    own = next(number for number, kind in quorum.kinds.items() if kind == OWN)
    while eventually(quorum.leader, "a leader that all name") != own:
        ended = quorum.leader()
        quorum.running.pop(ended).kill()
        eventually(lambda: quorum.put(own, "x", "x"), "another leader")
        quorum.start(ended)
        eventually(lambda ended=ended: quorum.value(ended, "x"), "it is back")
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
    quorum.start(2, "-rejoin")
    quorum.start(3, "-rejoin")

    def voters() -> set[str]:
        found = ask(quorum.url(1, "operator/raft/configuration"))["Servers"]
        return {server["Node"] for server in found if server["Voter"]}

    eventually(lambda: voters() == {"n1", "n2", "n3"}, "three voters")
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
            eventually(lambda number=number: quorum.leader() == number, f"server {number} leads", 5)
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
    MIXES["five"] = (OWN, REAL, OWN, REAL, OWN)
    quorum = begun(host, "five")
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
