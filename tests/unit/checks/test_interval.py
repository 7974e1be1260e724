"""When checks run and what is reported: intervals, timeouts, thresholds, TTL; all on a fake clock."""

from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from consulpy.checks.result import CheckFailed, Result, Tail, seconds_text
from consulpy.checks.runner import IntervalCheck, Thresholds
from consulpy.checks.ttl import TTLCheck
from tests.fakes.local import Fraction


class FakeProbe:
    timeout_s = 3.0

    def __init__(self, *results: Any) -> None:
        self.results = list(results)
        self.runs = 0
        self.cancelled = 0

    def check(self) -> None:
        """It can run."""

    def run(self) -> Deferred[Result]:
        self.runs += 1
        result = self.results.pop(0) if self.results else Result("passing", "ok")
        if isinstance(result, Exception):
            raise result
        if result is None:

            def cancelled(_: Deferred[Result]) -> None:
                self.cancelled += 1

            return Deferred(cancelled)
        return succeed(result)

    def timed_out(self) -> Result:
        return Result("critical", "too slow")


def started(
    probe: FakeProbe, interval_s: float = 10, success: int = 0, failures: int = 0, warning: int | None = None
) -> Any:
    clock = Clock()
    said: list[tuple[str, str]] = []
    thresholds = Thresholds(success, failures, failures if warning is None else warning)
    check = IntervalCheck("k", probe, interval_s, thresholds, lambda *word: said.append(word), clock)
    check.start(Fraction())
    return clock, check, said


def test_the_first_run_comes_after_a_random_part_of_the_interval_then_each_interval() -> None:
    probe = FakeProbe()
    clock, _, _ = started(probe)
    clock.advance(4.9)
    assert probe.runs == 0
    clock.advance(0.2)
    assert probe.runs == 1
    clock.pump([10, 10])
    assert probe.runs == 3


def test_no_check_runs_more_than_once_a_second() -> None:
    probe = FakeProbe()
    clock, _, _ = started(probe, interval_s=0.001)
    clock.pump([0.1] * 50)
    assert probe.runs == 5


def test_a_hanging_run_times_out_and_the_next_one_is_scheduled() -> None:
    probe = FakeProbe(None)
    clock, _, said = started(probe)
    clock.advance(5)
    clock.advance(3)
    assert (probe.cancelled, said) == (1, [("critical", "too slow")])
    clock.advance(10)
    assert said[-1] == ("passing", "ok")


def test_a_failing_run_is_critical() -> None:
    probe = FakeProbe(CheckFailed("fork/exec /x: no such file or directory"))
    clock, _, said = started(probe)
    clock.advance(5)
    assert said == [("critical", "fork/exec /x: no such file or directory")]


def test_a_stopped_check_reports_nothing_and_leaves_no_timer() -> None:
    probe = FakeProbe(None)
    clock, check, said = started(probe)
    clock.advance(5)
    check.stop()
    assert (probe.cancelled, said, clock.getDelayedCalls()) == (1, [], [])


BAD, GOOD, WARN = Result("critical"), Result("passing"), Result("warning")


@pytest.mark.parametrize(
    ("results", "said"),
    [
        ([GOOD, BAD, GOOD, GOOD], ["passing", None, None, None]),
        ([GOOD, BAD, BAD, GOOD, GOOD, GOOD], ["passing", None, "critical", None, None, "passing"]),
        (
            [BAD, GOOD, WARN, GOOD, BAD, GOOD, BAD, BAD],
            ["critical", None, None, "passing", None, None, None, "critical"],
        ),
    ],
)
def test_success_before_passing_and_failures_before_critical(results: list[Result], said: list[str | None]) -> None:
    """The first result is reported at once (seen of a real agent), whatever the status at the registration."""
    thresholds = Thresholds(3, 2, 2)
    assert [thresholds.add(result.status) for result in results] == said


def test_a_ttl_check_without_update_becomes_critical() -> None:
    clock = Clock()
    said: list[tuple[str, str]] = []
    ttl = TTLCheck(10, 0, lambda *word: said.append(word), clock)
    clock.advance(10)
    assert said.pop() == ("critical", "TTL expired")
    ttl.update("passing", "fine")
    clock.advance(9)
    ttl.update("passing", "fine")
    clock.advance(10)
    assert said[-1] == ("critical", "TTL expired (last output before timeout follows): fine")
    ttl.stop()
    assert clock.getDelayedCalls() == []


def test_a_long_ttl_output_is_truncated() -> None:
    said: list[tuple[str, str]] = []
    TTLCheck(10, 4, lambda *word: said.append(word), Clock()).update("passing", "abcdef")
    assert said == [("passing", "abcd ... (captured 4 of 6 bytes)")]


def test_the_end_of_the_output_is_stored() -> None:
    tail = Tail(4)
    for part in (b"ab", b"cdef", b"g"):
        tail.write(part)
    assert tail.captured == "Captured 4 of 7 bytes\n...\ndefg"


@pytest.mark.parametrize(
    ("seconds", "text"), [(1, "1s"), (0.5, "500ms"), (1.5, "1.5s"), (90, "1m30s"), (30, "30s"), (3600, "1h0m0s")]
)
def test_durations_are_shown_as_go_does(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text


def test_an_error_at_the_start_of_a_run_does_not_end_the_check() -> None:
    probe = FakeProbe(OSError(24, "Too many open files"))
    clock, check, said = started(probe)
    clock.pump([5, 10, 10])
    assert probe.runs == 3
    assert said == [("critical", "[Errno 24] Too many open files"), ("passing", "ok"), ("passing", "ok")]
    check.stop()


def test_failures_before_warning_and_critical() -> None:
    """Consul 1.11."""
    clock, _, said = started(FakeProbe(GOOD, BAD, BAD, BAD, BAD), failures=4, warning=2)
    clock.pump([5, 10, 10, 10, 10])
    assert [status for status, _ in said] == ["passing", "warning", "warning", "critical"]
