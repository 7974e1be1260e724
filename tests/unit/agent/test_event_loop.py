"""The reactor's loop without the log context of Twisted."""

from typing import Any

from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from consulpy.agent.process.event_loop import dispatch_directly


class Poller:
    def __init__(self, *events: tuple[int, int]) -> None:
        self.events = events
        self.asked: list[tuple[float, int]] = []

    def poll(self, timeout_s: float, most: int) -> tuple[tuple[int, int], ...]:
        self.asked.append((timeout_s, most))
        return self.events


class Reactor:
    """What is used of Twisted's reactor; `broken` descriptors fail."""

    def __init__(self, *events: tuple[int, int], broken: tuple[int, ...] = ()) -> None:
        self._poller = Poller(*events)
        self._selectables: dict[int, str] = {4: "four", 5: "five"}
        self.called: list[tuple[str, int, int]] = []
        self.broken = broken
        self.doIteration: Any = self.doPoll

    def doPoll(self, _: float | None) -> None:
        raise AssertionError("replaced")

    def _doReadOrWrite(self, selectable: str, descriptor: int, event: int) -> None:
        if descriptor in self.broken:
            raise RuntimeError(selectable)
        self._selectables.pop(5, None)
        self.called.append((selectable, descriptor, event))


def test_ready_descriptors_are_called() -> None:
    reactor = Reactor((4, 1))
    dispatch_directly(reactor)
    reactor.doIteration(0.5)
    reactor.doIteration(None)
    assert reactor.called == [("four", 4, 1)] * 2
    assert reactor._poller.asked == [(0.5, 2), (-1, 1)]


def test_one_that_was_closed_by_another_is_skipped() -> None:
    reactor = Reactor((4, 1), (5, 1))
    dispatch_directly(reactor)
    reactor.doIteration(0)
    assert reactor.called == [("four", 4, 1)]


def test_an_error_of_one_is_logged_and_does_not_stop_the_others() -> None:
    reactor = Reactor((4, 1), (5, 1), broken=(4,))
    dispatch_directly(reactor)
    logged: list[Any] = []
    globalLogPublisher.addObserver(logged.append)
    try:
        reactor.doIteration(0)
    finally:
        globalLogPublisher.removeObserver(logged.append)
    assert reactor.called == [("five", 5, 1)]
    assert [event["log_failure"].type for event in logged] == [RuntimeError]


def test_the_poller_may_be_replaced_later() -> None:
    reactor = Reactor()
    dispatch_directly(reactor)
    reactor._poller = Poller((5, 4))
    reactor.doIteration(0)
    assert reactor.called == [("five", 5, 4)]


def test_other_reactors_are_left_alone() -> None:
    clock = Clock()
    dispatch_directly(clock)
    assert not hasattr(clock, "doIteration")
