"""The watchdog: every turn is measured, and a late one is logged with the running calls."""

import signal
import sys
from typing import Any

import pytest

from consulpy.agent.process.watchdog import LATE_S, LOG_INTERVAL_S, Watchdog
from consulpy.clock import Turn
from consulpy.metrics.registry import Registry

NAME = "consul.runtime.reactor_turn"


class Reactor:
    """Polls a watched poller; a turn takes as long as is said."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.cpu_s = 5.0
        self.lines: list[str] = []
        self.timer_s = 0.0
        self.metrics = Registry(lambda: 0.0)
        self.current = Turn()
        self.watchdog = Watchdog(
            self.metrics,
            self.current,
            lambda: self.now_s,
            set_timer=self.set_timer,
            cpu_seconds=lambda: self.cpu_s,
            warn=self.lines.append,
        )
        self.poll = self.watchdog.wrap(self.wait)

    def set_timer(self, after_s: float) -> None:
        self.timer_s = after_s

    def wait(self, timeout: float, maximum: int) -> str:
        assert self.timer_s == 0, "nothing is to wake anybody while the reactor waits"
        self.now_s += timeout
        return "events"

    def turn(self, takes_s: float, cpu_s: float = 0.0) -> None:
        """A turn; `cpu_s`: the processor time of its part after `LATE_S`."""
        assert self.poll(1.0, 5) == "events"
        assert self.timer_s == LATE_S
        assert self.current.began_s == self.now_s
        self.now_s += min(takes_s, LATE_S)
        if takes_s > LATE_S:
            self.watchdog.expired(signal.SIGALRM, sys._getframe())
            self.now_s += takes_s - LATE_S
            self.cpu_s += cpu_s
        self.poll(0.0, 5)

    @property
    def sample(self) -> Any:
        return next(each for each in self.metrics.to_json()["Samples"] if each["Name"] == NAME)


def test_every_turn_is_counted_and_the_long_ones_by_themselves() -> None:
    reactor = Reactor()
    for takes_s in (0.001, 0.003, 0.15):
        reactor.turn(takes_s)
    sample = reactor.sample
    assert sample["Count"] >= 3
    assert round(sample["Sum"]) == 154
    assert round(sample["Max"]) == 150
    assert reactor.lines == []


def test_a_late_turn_gets_a_line_that_names_what_ran() -> None:
    reactor = Reactor()
    reactor.turn(0.35)
    (line,) = reactor.lines
    assert line.startswith("a turn of the reactor took 0.350 s; after 0.2 s it was in ")
    assert "Reactor.turn" in line


def test_a_late_turn_without_a_processor_says_so() -> None:
    reactor = Reactor()
    reactor.turn(1.2, cpu_s=0.15)
    reactor.now_s += LOG_INTERVAL_S
    reactor.poll(1.0, 5)
    reactor.turn(1.2, cpu_s=0.9)
    waited, ran = reactor.lines
    assert waited.endswith("; of the 1.000 s after that it had a processor for 0.150 s")
    assert "processor" not in ran


def test_garbage_collection_is_told_apart() -> None:
    reactor = Reactor()
    reactor.poll(1.0, 5)
    reactor.watchdog.collecting("start", {})
    reactor.now_s += 0.3
    reactor.watchdog.collecting("stop", {})
    reactor.poll(1.0, 5)
    (line,) = reactor.lines
    assert "0.300 s of it garbage collection" in line


def test_many_late_turns_get_a_line_now_and_then() -> None:
    reactor = Reactor()
    for _ in range(5):
        reactor.turn(0.25)
    assert len(reactor.lines) == 1
    reactor.now_s += LOG_INTERVAL_S
    reactor.poll(1.0, 5)
    reactor.turn(0.25)
    assert len(reactor.lines) == 2
    assert reactor.lines[1].endswith("more since the last such line)")


def test_a_poll_that_fails_leaves_the_watch_in_order() -> None:
    reactor = Reactor()

    def broken(timeout: float, maximum: int) -> None:
        raise OSError("no")

    poll = reactor.watchdog.wrap(broken)
    with pytest.raises(OSError, match="no"):
        poll(1.0, 5)
    assert reactor.timer_s == LATE_S
