"""Quorums of servers of ours, real Consul's, and both: writes, and servers that are killed and frozen."""

import json
import signal
import time

import pytest

from tests.peers.programs import Host, ask, eventually
from tests.peers.quorum import MIXES, Writer, begun

pytestmark = [pytest.mark.peers]


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
