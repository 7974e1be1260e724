"""An agent whose wall clock is set by an hour: checks, sessions and their locks end when they would have anyway."""

import json
from random import Random
from typing import Any

import pytest

from consulpy.checks.ttl import TTLCheck
from consulpy.leader.session_ttl import SessionTimers
from consulpy.local import api
from consulpy.local.load import restore
from consulpy.local.state import LocalState
from consulpy.rpc.call import ServerCaller
from consulpy.rpc.server import Server
from consulpy.state.commands import Register
from consulpy.state.log import MemoryLog
from consulpy.state.store import Store
from consulpy.structs.node import Node
from consulpy.structs.requests import RegisterRequest
from consulpy.structs.session import Session, SessionRequest
from consulpy.testing.simulation.clock import HeapClock, NodeClock
from tests.harness.ttl_checks import TtlStarter
from tests.unit.simulation.test_whole_agents import Disk

HOUR_S = 3600.0


@pytest.fixture
def clock() -> HeapClock:
    return HeapClock()


@pytest.mark.parametrize("by_s", [-HOUR_S, 0.0, HOUR_S])
def test_a_check_is_critical_when_its_time_to_live_ends(clock: HeapClock, by_s: float) -> None:
    mine = NodeClock(clock, 12_345.6, -789.0)
    local = LocalState(Node(node="a"), mine, Random(1), starter=TtlStarter(mine), wall_s=mine.wall_s)
    api.register_check(local, b'{"Name":"k","TTL":"10s"}')
    api.set_check(local, "k", "passing")
    clock.advance(5)
    mine.jump(by_s)
    clock.advance(4.9)
    assert local.checks["k"].status == "passing"
    clock.advance(0.2)
    assert local.checks["k"].status == "critical"


@pytest.mark.parametrize(("by_s", "status"), [(-HOUR_S, "passing"), (HOUR_S / 4, "passing"), (HOUR_S, "critical")])
def test_over_a_restart_the_wall_clock_counts(clock: HeapClock, by_s: float, status: str) -> None:
    """As in Consul's own files: the moment until which the last word holds is a time of the world."""
    mine, disk = NodeClock(clock, 12_345.6), Disk()
    local = LocalState(Node(node="a"), mine, Random(1), files=disk, starter=TtlStarter(mine), wall_s=mine.wall_s)
    api.register_check(local, b'{"Name":"k","TTL":"30m"}')
    api.set_check(local, "k", "passing")
    saved: Any = next(json.loads(data) for path, data in disk.files.items() if path.startswith("checks/state/"))
    assert saved["Expires"] == int(mine.wall_s() + 1800)
    local.stop()
    again = NodeClock(clock, 1.0, by_s)  # the machine was started anew as well
    restarted = LocalState(Node(node="a"), again, Random(1), files=disk, starter=TtlStarter(again), wall_s=again.wall_s)
    restore(restarted, disk, again.wall_s)
    assert restarted.checks["k"].status == status


@pytest.mark.parametrize("by_s", [-HOUR_S, 0.0, HOUR_S])
def test_a_session_ends_when_nobody_renews_it(clock: HeapClock, by_s: float) -> None:
    mine = NodeClock(clock, 12_345.6)
    server = Server(
        datacenter="dc1", node_name="s1", node_id="1", rpc_address="10.0.0.1:8300", log=MemoryLog(Store()),
        clock=mine, rng=Random(1), wall_s=mine.wall_s,
    )  # fmt: skip
    server.is_leader = True
    server.sessions = SessionTimers("dc1", server.store, mine, server.submit)
    server.sessions.start()
    server.submit(Register(RegisterRequest(datacenter="dc1", node="n", address="10.0.0.2")))
    made: list[str] = []
    request = SessionRequest(datacenter="dc1", op="create", session=Session(node="n", ttl="10s"))
    ServerCaller(server).call("Session.Apply", request).addCallback(made.append)
    clock.advance(5)
    mine.jump(by_s)
    clock.advance(14)  # a session lives twice its time to live
    assert server.store.sessions.get(None, made[0])[1] is not None
    clock.advance(2)
    assert server.store.sessions.get(None, made[0])[1] is None


def test_a_ttl_check_needs_no_wall_clock(clock: HeapClock) -> None:
    said: list[str] = []
    TTLCheck(3.0, 0, lambda status, _output: said.append(status), NodeClock(clock, 99.0))
    clock.advance(3.0)
    assert said == ["critical"]
