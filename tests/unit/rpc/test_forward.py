"""Calls that another server of the quorum passes to the leader: held, repeated or failed as they may be."""

from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from consulpy.errors import NoLeader, RPCError
from consulpy.rpc.forward import LeaderForwarder
from consulpy.rpc.limits.reply_timeout import ReplyTimeout
from consulpy.rpc.methods import METHODS
from consulpy.rpc.server_metadata import ServerInfo
from consulpy.rpc.wan_forward import DatacenterForwarder
from consulpy.structs.kv import KVRequest
from consulpy.structs.options import QueryOptions
from consulpy.structs.requests import SpecificRequest
from tests.harness.http import member

LEADER = ServerInfo("b", "10.0.0.2", 8300, "dc1")
HOLD_S = 7.0
READ = (METHODS["Operator.AutopilotGetConfiguration"], SpecificRequest(datacenter="dc1"))
WRITE = (METHODS["KVS.Apply"], KVRequest(datacenter="dc1", op="set"))


class World:
    def __init__(self) -> None:
        self.clock = Clock()
        self.leader: ServerInfo | None = LEADER
        self.answers: list[Any] = []
        self.asked: list[tuple[str, str]] = []
        self.server: Any = SimpleNamespace(is_leader=False, handle=lambda method, request: succeed("own answer"))
        pool: Any = SimpleNamespace(call=self.call)
        self.forwarder = LeaderForwarder(
            lambda: self.leader, pool, self.clock, Random(1), HOLD_S, ReplyTimeout(self.clock, 60.0, HOLD_S, 600.0)
        )

    def call(self, server: ServerInfo, method: str, body: bytes) -> "Deferred[Any]":
        self.asked.append((server.name, method))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Deferred):
            return answer
        return fail(answer) if isinstance(answer, Exception) else succeed(answer)

    def forward(self, call: Any) -> "list[Any]":
        results: list[Any] = []
        self.forwarder.call(self.server, *call).addBoth(results.append)
        return results

    def advance(self, seconds: float) -> None:
        for _ in range(round(seconds * 20)):
            self.clock.advance(0.05)


def error(results: list[Any]) -> str:
    return str(results[0].value)


def test_the_leaders_reply_is_ours() -> None:
    world = World()
    world.answers = [True]
    assert world.forward(WRITE) == [True]
    assert world.asked == [("b", "KVS.Apply")]


def test_a_call_is_held_while_there_is_no_leader() -> None:
    world = World()
    world.leader = None
    results = world.forward(WRITE)
    world.advance(3)
    assert results == []
    world.leader, world.answers = LEADER, [True]
    world.advance(1)
    assert results == [True]


def test_it_is_not_held_for_ever() -> None:
    world = World()
    world.leader = None
    results = world.forward(WRITE)
    world.advance(HOLD_S + 1)
    assert isinstance(results[0].value, NoLeader)
    assert not world.clock.getDelayedCalls()


def test_who_becomes_leader_meanwhile_answers_itself() -> None:
    world = World()
    world.leader = None
    results = world.forward(WRITE)
    world.server.is_leader = True
    world.advance(1)
    assert results == ["own answer"]


@pytest.mark.parametrize(
    "first",
    [
        "rpc error making call: No cluster leader",
        "rpc error getting client: failed to get conn: dial tcp 10.0.0.2:8300: connect: connection refused",
    ],
)
def test_what_cannot_have_happened_is_repeated(first: str) -> None:
    world = World()
    world.answers = [RPCError(first), True]
    results = world.forward(WRITE)
    world.advance(1)
    assert results == [True]
    assert len(world.asked) == 2


@pytest.mark.parametrize(
    "text",
    [
        "rpc error making call: leadership lost while committing log",
        "rpc error making call: stream closed",
        "rpc error making call: Permission denied",
    ],
)
def test_a_write_that_may_have_happened_is_not(text: str) -> None:
    world = World()
    world.answers = [RPCError(text), True]
    results = world.forward(WRITE)
    world.advance(1)
    assert error(results) == text
    assert len(world.asked) == 1


def test_a_read_whose_connection_broke_is_repeated() -> None:
    world = World()
    world.answers = [RPCError("rpc error making call: stream closed"), {}]
    results = world.forward(READ)
    world.advance(1)
    assert results[0].last_contact_threshold > 0


def test_a_reply_that_cannot_be_read_is_an_error() -> None:
    world = World()
    world.answers = ["no bool"]
    results = world.forward(WRITE)
    world.advance(HOLD_S + 1)
    assert "codec.decoder" in error(results)


def test_a_leader_that_does_not_answer_is_given_up() -> None:
    """`limits.rpc_client_timeout` (Consul 1.12) on servers, whose connections to others have it too."""
    world = World()
    world.answers = [Deferred()]
    results = world.forward(WRITE)
    world.clock.advance(60 + HOLD_S - 1)
    assert results == []
    world.clock.advance(1)
    assert error(results) == "rpc error making call: i/o deadline reached"
    assert world.asked == [("b", "KVS.Apply")], "it may have been done: it is not repeated"
    assert world.clock.getDelayedCalls() == []


def test_another_datacenter_that_does_not_answer_is_given_up_after_the_wait_of_a_blocking_query() -> None:
    clock, results = Clock(), list[Any]()
    pool: Any = SimpleNamespace(call=lambda *_: Deferred())
    tags = {"role": "consul", "dc": "dc2", "id": "x", "port": "8300", "vsn": "2", "build": "1.8.7", "raft_vsn": "3"}
    forwarder = DatacenterForwarder(
        lambda: [member("n.dc2", "10.0.0.9", tags)], pool, Random(1), timeout=ReplyTimeout(clock, 60.0, HOLD_S, 600.0)
    )
    request = SpecificRequest(datacenter="dc2", options=QueryOptions(min_query_index=1, max_query_time=160 * 10**9))
    forwarder.call("dc2", METHODS["Catalog.ListNodes"], request).addBoth(results.append)
    clock.advance(60 + HOLD_S + 169)
    assert results == []
    clock.advance(1)
    assert error(results) == "rpc error making call: i/o deadline reached"
