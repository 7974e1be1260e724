"""Calls in process: datacenters, leaders, blocking reads, errors. Source: docs/wire/rpc.md 6, 7."""

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from consulpy.errors import NoLeader, NoPathToDatacenter, RPCError
from consulpy.rpc.blocking import WaitLimits, wait_s
from consulpy.rpc.call import ClientCaller, ServerCaller
from consulpy.rpc.limits.time_slice import SLICE_S
from consulpy.rpc.server import Server
from consulpy.rpc.server_metadata import ServerInfo
from consulpy.state.store import Store
from consulpy.structs.options import QueryOptions
from consulpy.structs.requests import Empty, RegisterRequest, SpecificRequest
from tests.harness.rpc import info, make_server, register


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server(clock: Clock) -> Server:
    return make_server(clock)


def outcome(call: "Deferred[Any]") -> list[Any]:
    seen: list[Any] = []
    call.addCallbacks(seen.append, lambda failure: seen.append(failure.value))
    return seen


def nodes(datacenter: str = "dc1", **options: Any) -> SpecificRequest:
    return SpecificRequest(datacenter=datacenter, options=QueryOptions(**options))


def call(server: Server, method: str, request: Any) -> list[Any]:
    return outcome(ServerCaller(server).call(method, request))


def test_a_reply_says_how_fresh_it_is_and_its_index_is_never_zero(server: Server) -> None:
    reply = call(server, "Catalog.ListNodes", nodes())[0]
    assert (reply.meta.index, reply.meta.known_leader, reply.meta.last_contact) == (1, True, 0)


@pytest.mark.parametrize("datacenter", ["", "nowhere"])
def test_another_datacenter_has_no_path(server: Server, datacenter: str) -> None:
    """Trap 6: an empty one neither."""
    assert [type(error) for error in call(server, "Catalog.ListNodes", nodes(datacenter))] == [NoPathToDatacenter]


def test_an_unknown_method_is_an_error(server: Server) -> None:
    assert str(call(server, "Catalog.Nope", Empty())[0]) == "rpc: can't find method Catalog.Nope"
    assert str(call(server, "Nope.Nope", Empty())[0]) == "rpc: can't find service Nope.Nope"


def test_without_a_leader_calls_are_held_until_there_is_one(clock: Clock) -> None:
    server = make_server(clock, leads=False)
    seen = call(server, "Catalog.ListNodes", nodes())
    write = call(server, "Catalog.Register", RegisterRequest("dc1", node="n1", address="10.0.0.1"))
    clock.advance(6.9)
    assert seen == write == []
    server.is_leader = True
    assert seen[0].meta.known_leader
    assert write == [Empty()]
    assert not clock.getDelayedCalls()


def test_without_a_leader_for_seven_seconds_a_call_fails(clock: Clock) -> None:
    seen = call(make_server(clock, leads=False), "Catalog.ListNodes", nodes())
    clock.advance(7)
    assert [type(error) for error in seen] == [NoLeader]


def test_stale_reads_need_only_have_heard_of_a_leader(clock: Clock) -> None:
    server = make_server(clock)
    server.is_leader = False
    reply = call(server, "Catalog.ListNodes", nodes(allow_stale=True))[0]
    assert not reply.meta.known_leader


def test_local_methods_need_no_leader(clock: Clock) -> None:
    server = make_server(clock, leads=False)
    assert call(server, "Status.Leader", nodes()) == [""]
    assert call(server, "Status.Ping", Empty()) == [Empty()]


def test_a_blocking_read_is_answered_when_its_own_result_changes(server: Server, clock: Clock) -> None:
    register(server, "n1")
    seen = call(server, "Catalog.ListNodes", nodes(min_query_index=1))
    for number in range(3):
        register(server, f"n{number + 2}")
    assert seen == [], "not in the turn of the change"
    clock.advance(0)
    assert (seen[0].meta.index, len(seen[0].nodes)) == (4, 4)
    assert not clock.getDelayedCalls()
    assert len(server.store.watchers) == 0


def test_the_reads_that_one_change_wakes_share_a_slice_of_each_turn(
    server: Server, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of them ran in one turn, while gossip, DNS and all other clients waited."""
    register(server, "n1")
    seen = [call(server, "Catalog.ListNodes", nodes(min_query_index=1)) for _ in range(7)]
    read = server.guard.read

    def slow_read(*given: Any) -> Any:
        clock.rightNow += SLICE_S / 3 + 1e-6
        return read(*given)

    monkeypatch.setattr(server.guard, "read", slow_read)
    register(server, "n2")
    answered: list[int] = []
    clock.callLater(0, lambda: answered.append(sum(map(len, seen))))
    clock.advance(0)
    assert answered == [3], "others have their turn in between"
    assert sum(map(len, seen)) == 7


def test_a_blocking_read_is_answered_as_it_is_when_time_is_over(server: Server, clock: Clock) -> None:
    register(server, "n1")
    seen = call(server, "Catalog.ListNodes", nodes(min_query_index=50, max_query_time=16 * 10**9))
    clock.advance(15.99)
    assert seen == []
    clock.advance(1.01)
    assert seen[0].meta.index == 1
    assert len(server.store.watchers) == 0


def test_a_restored_state_answers_all_who_wait(server: Server, clock: Clock) -> None:
    seen = call(server, "Catalog.ListNodes", nodes(min_query_index=50))
    server.store.replace_by(Store())
    clock.advance(0)
    assert seen[0].meta.index == 1


def test_a_cancelled_read_leaves_nothing_behind(server: Server, clock: Clock) -> None:
    waiting = ServerCaller(server).call("Catalog.ListNodes", nodes(min_query_index=5))
    outcome(waiting)
    waiting.cancel()
    assert not clock.getDelayedCalls()
    assert len(server.store.watchers) == 0


@pytest.mark.parametrize(("asked_s", "least", "most"), [(0, 300, 319), (-1, 300, 319), (16, 16, 17), (9999, 600, 638)])
def test_waits_are_capped_and_a_little_random(asked_s: float, least: float, most: float) -> None:
    for seed in range(20):
        assert least <= wait_s(int(asked_s * 1e9), Random(seed)) <= most


class Scripted:
    """Servers and their answers, one after the other."""

    def __init__(self, *answers: Any) -> None:
        self.answers: Iterator[Any] = iter(answers)
        self.asked: list[str] = []
        self.order = [info(1, "a"), info(2, "b")]

    def find(self) -> ServerInfo:
        return self.order[0]

    def failed(self, server: ServerInfo) -> None:
        self.order.append(self.order.pop(0))

    def call(self, server: ServerInfo, method: str, body: bytes) -> "Deferred[Any]":
        self.asked.append(server.name)
        done: Deferred[Any] = Deferred()
        answer = next(self.answers)
        if isinstance(answer, Exception):
            done.errback(answer)
        else:
            done.callback(answer)
        return done


def client(clock: Clock, servers: Scripted) -> ClientCaller:
    return ClientCaller(servers, servers, clock, Random(3))


NO_LEADER = RPCError("rpc error making call: No cluster leader")


def test_a_client_repeats_a_call_at_the_next_server_while_there_is_no_leader(clock: Clock) -> None:
    servers = Scripted(NO_LEADER, NO_LEADER, {})
    seen = outcome(client(clock, servers).call("Catalog.Register", RegisterRequest()))
    assert seen == []
    clock.pump([0.44, 0.44])
    assert seen == [Empty()]
    assert servers.asked == ["a", "b", "a"]


def test_a_client_gives_up_after_seven_seconds(clock: Clock) -> None:
    servers = Scripted(*[NO_LEADER] * 1000)
    seen = outcome(client(clock, servers).call("Catalog.ListNodes", nodes()))
    clock.pump([0.1] * 69)
    assert seen == []
    clock.pump([0.1] * 6)
    assert [str(error) for error in seen] == ["rpc error making call: No cluster leader"]
    assert len(servers.asked) > 14


@pytest.mark.parametrize(
    ("method", "request_", "text", "tries"),
    [
        ("Catalog.ListNodes", nodes(), "rpc error making call: stream closed", 2),
        ("Catalog.ListNodes", nodes(), "rpc error getting client: failed to start stream: session shutdown", 2),
        ("Catalog.ListNodes", nodes(), "rpc error making call: EOF", 1),
        ("Catalog.Register", RegisterRequest(), "rpc error making call: stream closed", 1),
        # the real one gives up here: another server is there, and nothing was sent
        ("Catalog.Register", RegisterRequest(), "rpc error getting client: failed to get conn: dial tcp ...", 2),
    ],
)
def test_what_is_repeated(clock: Clock, method: str, request_: Any, text: str, tries: int) -> None:
    """docs/wire/rpc.md 6."""
    servers = Scripted(RPCError(text), RPCError("enough"))
    seen = outcome(client(clock, servers).call(method, request_))
    clock.advance(0.5)
    assert str(seen[0]) == ("enough" if tries == 2 else text)
    assert len(servers.asked) == tries


def test_a_reply_of_the_wrong_kind_is_an_error(clock: Clock) -> None:
    seen = outcome(client(clock, Scripted(5)).call("Catalog.ListNodes", nodes()))
    assert str(seen[0]) == "rpc error making call: codec.decoder: NodesReply: a map was expected, not int"


def test_the_configured_waits_are_kept() -> None:
    """`default_query_time` and `max_query_time`."""
    limits = WaitLimits(default_s=16.0, longest_s=32.0)
    assert 16.0 <= wait_s(0, Random(1), limits) <= 17.0
    assert 32.0 <= wait_s(10**12, Random(1), limits) <= 34.0
