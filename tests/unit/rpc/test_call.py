"""Calls of a client agent whose servers cannot all be reached."""

from random import Random
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from consulpy.errors import NoServers, RPCError
from consulpy.rpc.call import ClientCaller
from consulpy.rpc.limits.rate_limit import RETRY_ELSEWHERE, RETRY_LATER, RateLimiter
from consulpy.rpc.limits.reply_timeout import ReplyTimeout
from consulpy.rpc.messages import LARGE_ROWS
from consulpy.rpc.server_metadata import ServerInfo
from consulpy.structs.kv import KeyRequest
from consulpy.structs.options import QueryOptions
from consulpy.structs.requests import RegisterRequest, SpecificRequest

REFUSED = (
    "rpc error getting client: failed to get conn: dial tcp 127.0.0.1:0->127.0.0.2:8300: connect: connection refused"
)


class Servers:
    """Some servers, the first of which is asked; what each says."""

    def __init__(self, **says: list[Any]) -> None:
        self.order = [ServerInfo(name, "127.0.0.2", 8300, "dc1") for name in says]
        self.says = says
        self.asked: list[str] = []

    def find(self) -> ServerInfo | None:
        return self.order[0] if self.order else None

    def failed(self, server: ServerInfo) -> None:
        self.order.append(self.order.pop(0))

    def call(self, server: ServerInfo, method: str, body: bytes) -> "Deferred[Any]":
        self.asked.append(server.name)
        said = self.says[server.name]
        answer = said.pop(0) if len(said) > 1 else said[0]
        return fail(RPCError(answer)) if isinstance(answer, str) else succeed(answer)


def caller(servers: Servers, clock: Clock, **more: Any) -> ClientCaller:
    return ClientCaller(servers, servers, clock, Random(1), **more)


def outcome(clock: Clock, called: "Deferred[Any]", within_s: int = 20) -> list[Any]:
    """What became of a call, after some time."""
    seen: list[Any] = []
    called.addBoth(seen.append)
    for _ in range(10 * within_s):
        clock.advance(0.1)
    return [getattr(each, "value", each) for each in seen]


@pytest.mark.parametrize("request_", [SpecificRequest(), RegisterRequest()], ids=["a read", "a write"])
def test_who_cannot_be_reached_is_passed_over_at_once(request_: Any) -> None:
    method = "Catalog.ListNodes" if isinstance(request_, SpecificRequest) else "Catalog.Register"
    servers = Servers(one=[REFUSED], two=[REFUSED], three=[{}])
    clock = Clock()
    seen: list[Any] = []
    caller(servers, clock).call(method, request_).addBoth(seen.append)
    assert len(seen) == 1  # without any pause
    assert not isinstance(getattr(seen[0], "value", None), RPCError)
    assert servers.asked == ["one", "two", "three"]


def test_when_nobody_can_be_reached_that_is_said_at_once() -> None:
    servers = Servers(one=[REFUSED], two=[REFUSED])
    clock = Clock()
    (error,) = outcome(clock, caller(servers, clock).call("Catalog.ListNodes", SpecificRequest()), within_s=0)
    assert str(error) == REFUSED
    assert servers.asked == ["one", "two"]


@pytest.mark.parametrize(
    ("request_", "ends_s"),
    [
        (SpecificRequest(), 67),
        (RegisterRequest(), 67),
        (SpecificRequest(options=QueryOptions(min_query_index=5, max_query_time=16 * 10**9)), 84),
        (SpecificRequest(options=QueryOptions(min_query_index=5)), 705),
        (SpecificRequest(options=QueryOptions(min_query_index=5, max_query_time=10**13)), 705),
        (SpecificRequest(options=QueryOptions(max_query_time=16 * 10**9)), 67),
    ],
)
def test_a_reply_that_does_not_come_is_waited_for_so_long(request_: Any, ends_s: int) -> None:
    """`limits.rpc_client_timeout` of Consul 1.13; the error is its text."""
    clock, cancelled, seen = Clock(), [], []

    class Silent(Servers):
        def call(self, server: ServerInfo, method: str, body: bytes) -> "Deferred[Any]":
            return Deferred(cancelled.append)

    method = "Catalog.ListNodes" if isinstance(request_, SpecificRequest) else "Catalog.Register"
    silent = Silent(one=[])
    called = caller(silent, clock, timeout=ReplyTimeout(clock, 60.0, 7.0, 600.0), hold_timeout_s=7.0).call(
        method, request_
    )
    called.addErrback(lambda failure: seen.append(str(failure.value)))
    clock.advance(ends_s - 1)
    assert (seen, cancelled) == ([], [])
    clock.advance(1)
    assert seen == ["rpc error making call: i/o deadline reached"]
    assert len(cancelled) == 1
    assert clock.getDelayedCalls() == []


def test_a_reply_in_time_is_not_cancelled_and_the_end_leaves_no_timer() -> None:
    clock, replies, seen = Clock(), [], []

    class Late(Servers):
        def call(self, server: ServerInfo, method: str, body: bytes) -> "Deferred[Any]":
            replies.append(Deferred())
            return replies[-1]

    made = caller(Late(one=[]), clock, timeout=ReplyTimeout(clock, 60.0, 7.0, 600.0), hold_timeout_s=7.0)
    made.call("Catalog.Register", RegisterRequest()).addBoth(lambda result: seen.append(("first", result)))
    blocking = SpecificRequest(options=QueryOptions(min_query_index=5))
    made.call("Catalog.ListNodes", blocking).addErrback(lambda failure: seen.append(("second", str(failure.value))))
    replies[0].callback(None)
    assert [name for name, _ in seen] == ["first"]
    clock.advance(100)  # the timer was of the first call
    made.call("Catalog.Register", RegisterRequest()).addErrback(lambda failure: seen.append(("third", None)))
    clock.advance(67)
    assert [name for name, _ in seen] == ["first", "third"]
    clock.pump([10] * 60)
    assert [name for name, _ in seen] == ["first", "third", "second"]
    made.call("Catalog.Register", RegisterRequest())
    made.close()
    assert clock.getDelayedCalls() == []


def test_no_servers_and_too_many_calls() -> None:
    clock = Clock()
    (error,) = outcome(clock, caller(Servers(), clock).call("Catalog.ListNodes", SpecificRequest()), within_s=1)
    assert isinstance(error, NoServers)
    limited = caller(Servers(one=[{}]), clock, rate=RateLimiter(clock, 0.0, 1))
    assert not isinstance(outcome(clock, limited.call("Catalog.ListNodes", SpecificRequest()))[0], RPCError)
    (error,) = outcome(clock, limited.call("Catalog.ListNodes", SpecificRequest()))
    assert str(error) == "RPC rate limit exceeded"


@pytest.mark.parametrize("text", [RETRY_ELSEWHERE, RETRY_LATER])
@pytest.mark.parametrize("request_", [SpecificRequest(), RegisterRequest()], ids=["a read", "a write"])
def test_a_newer_server_s_rate_limit_is_tried_again_elsewhere(text: str, request_: Any) -> None:
    """Consul 1.15 and later refuse such a call before anything is done, so that a write may be repeated too."""
    method = "Catalog.ListNodes" if isinstance(request_, SpecificRequest) else "Catalog.Register"
    servers = Servers(one=[f"rpc error making call: {text}"], two=[{}])
    clock = Clock()
    (answer,) = outcome(clock, caller(servers, clock).call(method, request_), within_s=1)
    assert not isinstance(answer, RPCError)
    assert servers.asked == ["one", "two"]


def test_a_rate_limit_of_all_servers_is_told_in_the_end() -> None:
    servers = Servers(one=[f"rpc error making call: {RETRY_LATER}"])
    clock, lines = Clock(), list[str]()
    made = caller(servers, clock, log=lambda level, _: lines.append(level))
    (error,) = outcome(clock, made.call("Catalog.Register", RegisterRequest()))
    assert str(error) == f"rpc error making call: {RETRY_LATER}"
    assert len(servers.asked) < 100, "with pauses between"
    assert lines == ["debug"] * (len(servers.asked) - 1) + ["error"]


@pytest.mark.parametrize(("rows", "jobs"), [(LARGE_ROWS, 0), (LARGE_ROWS + 1, 1)])
def test_a_large_reply_is_decoded_in_a_thread(rows: int, jobs: int) -> None:
    ran: list[Any] = []

    def in_thread(job: Any) -> "Deferred[Any]":
        ran.append(job)
        return succeed(job())

    raw = {b"Entries": [{b"Key": b"k%d" % at} for at in range(rows)]}
    clock = Clock()
    called = caller(Servers(one=[raw]), clock, in_thread=in_thread).call("KVS.List", KeyRequest())
    (reply,) = outcome(clock, called, within_s=0)
    assert [entry.key for entry in reply.entries] == [f"k{at}" for at in range(rows)]
    assert len(ran) == jobs


def test_a_large_reply_of_the_wrong_type_is_an_error_of_the_call() -> None:
    raw = {b"Entries": [5] * (LARGE_ROWS + 1)}
    clock = Clock()
    (error,) = outcome(clock, caller(Servers(one=[raw]), clock).call("KVS.List", KeyRequest()))
    assert isinstance(error, RPCError)
    assert "codec.decoder" in str(error)
