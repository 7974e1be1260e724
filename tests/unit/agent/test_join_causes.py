"""A join that fails says the cause, and one that waits in vain is given up once the cause is known."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from consulpy.agent.features.retry_join import join
from consulpy.diagnosis.causes import Cause, Verdict
from consulpy.errors import RPCError


class FakeSerf:
    """`join` answers when the test says so."""

    def __init__(self) -> None:
        self.end: Callable[[int, list[str]], None] = lambda _joined, _errors: None

    def join(self, _targets: Any, _ignore_old: bool, done: Callable[[int, list[str]], None]) -> None:
        self.end = done


def explaining(cause: Cause, asked: list[str]) -> Callable[[str], Awaitable[Verdict]]:
    def explain(address: str) -> Awaitable[Verdict]:
        asked.append(address)
        return succeed(Verdict(cause, "What listens there is HTTP.", [], "join port 8301"))

    async def coroutine(address: str) -> Verdict:
        return await explain(address)

    return coroutine


def joining(cause: Cause) -> tuple[Clock, FakeSerf, list[str], list[Any]]:
    clock, serf, asked, ended = Clock(), FakeSerf(), list[str](), list[Any]()
    attempt: Any = join(clock, serf, ["10.0.0.1:8500"], 8301, explaining(cause, asked))  # type: ignore[arg-type]
    Deferred.fromCoroutine(attempt).addBoth(ended.append)
    return clock, serf, asked, ended


def error_of(ended: list[Any]) -> str:
    with pytest.raises(RPCError) as caught:
        ended[0].raiseException()
    return str(caught.value)


def test_a_join_that_fails_at_once_says_why() -> None:
    _, serf, asked, ended = joining(Cause.NOT_GOSSIP)
    serf.end(0, ["Failed to join 10.0.0.1: EOF"])
    assert asked == ["10.0.0.1:8500"]
    assert error_of(ended) == (
        "1 error occurred:\n\t* Failed to join 10.0.0.1: EOF\n\n"
        "not-gossip: What listens there is HTTP. Fix: join port 8301\n"
    )


def test_a_join_that_waits_in_vain_is_given_up() -> None:
    clock, serf, _, ended = joining(Cause.NOT_GOSSIP)
    clock.advance(0.4)
    assert ended == []
    clock.advance(0.2)
    assert "not-gossip" in error_of(ended)
    serf.end(0, ["too late"])  # the exchange itself ends later, and matters no more


@pytest.mark.parametrize("cause", [Cause.HEALTHY, Cause.UNREACHABLE, Cause.UNKNOWN])
def test_a_join_that_may_still_work_goes_on(cause: Cause) -> None:
    clock, serf, _, ended = joining(cause)
    clock.advance(3)
    assert ended == []
    serf.end(1, [])
    assert ended == [1]


def test_a_join_that_works_asks_nothing() -> None:
    clock, serf, asked, ended = joining(Cause.HEALTHY)
    serf.end(1, [])
    clock.advance(5)
    assert (ended, asked) == ([1], [])
