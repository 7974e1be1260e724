"""The thread that waits for the disk."""

import threading
import time
from collections.abc import Callable

from consulpy.agent.process.disk_thread import CONCURRENT_HOLD, CONCURRENT_MAX, WAIT_MAX_S, DiskThread


def test_jobs_run_in_their_order_in_one_thread_and_stop_waits_for_all() -> None:
    disk, seen = DiskThread("test", time.monotonic), []
    for number in range(200):
        disk.run(lambda number=number: seen.append((number, threading.current_thread().name)))
    disk.stop()
    assert seen == [(number, "test") for number in range(200)]


def test_a_job_that_fails_keeps_no_other_from_being_done() -> None:
    disk, seen = DiskThread("test", time.monotonic), []

    def failing() -> None:
        raise OSError("no")

    disk.run(failing)
    disk.run(lambda: seen.append("after"))
    disk.stop()
    assert seen == ["after"]


def test_without_a_job_there_is_no_thread() -> None:
    before = threading.active_count()
    disk = DiskThread("test", time.monotonic)
    assert threading.active_count() == before
    disk.stop()
    disk.run(lambda: None)
    disk.stop()
    assert threading.active_count() == before


class Disk:
    """A `DiskThread` whose jobs take as long as is said by its clock. `handed_back`: what came back too late."""

    def __init__(self) -> None:
        self._now_s = 0.0
        self.handed_back: list[Callable[[], None]] = []
        self.thread = DiskThread("test", lambda: self._now_s, self.handed_back.append)
        #: The thread that ran each job, and "done" when its result was taken.
        self.seen: list[str] = []

    def job(self, takes_s: float) -> None:
        self._now_s += takes_s
        self.seen.append(threading.current_thread().name)

    def in_thread(self, takes_s: float = WAIT_MAX_S / 2) -> None:
        self.thread.run(lambda: self.job(takes_s))
        self.thread.stop()

    def call(self, takes_s: float = WAIT_MAX_S / 2, size: int = 1) -> bool:
        """Whether the result was there when the call returned."""
        self.seen.clear()
        self.thread.call(lambda: self.job(takes_s), lambda: self.seen.append("done"), size)
        at_once = "done" in self.seen
        self.thread.stop()
        while self.handed_back:
            self.handed_back.pop(0)()
        assert self.seen == ["test", "done"], "each job runs in the thread, and its result is taken once"
        return at_once


def eventually(call: Callable[[], bool]) -> bool:
    """Whether `call` is true in one of some tries: a machine under load may keep the thread from a quick result."""
    return any(call() for _ in range(50))


def test_a_quick_job_s_result_is_there_when_the_call_returns() -> None:
    disk = Disk()
    assert not disk.call()  # nobody knows how quick it is
    assert disk.thread.is_quiet
    assert eventually(disk.call)


def test_after_a_slow_job_nothing_is_waited_for_until_one_was_quick() -> None:
    disk = Disk()
    disk.in_thread(takes_s=2 * WAIT_MAX_S)
    assert not disk.call(takes_s=WAIT_MAX_S)
    assert not disk.call()
    assert eventually(disk.call)


def test_concurrent_requests_stay_together() -> None:
    disk = Disk()
    disk.in_thread()
    assert not disk.call(size=CONCURRENT_MAX + 1)
    assert not disk.thread.is_quiet

    assert not any(disk.call(size=CONCURRENT_MAX) for _ in range(CONCURRENT_HOLD))
    assert eventually(lambda: disk.call(size=CONCURRENT_MAX))


def test_while_the_thread_works_nothing_is_waited_for() -> None:
    disk, go_on = Disk(), threading.Event()
    disk.in_thread()
    disk.thread.run(lambda: bool(go_on.wait(10)))
    assert not disk.thread.is_quiet

    disk.thread.call(lambda: disk.job(0), lambda: disk.seen.append("done"))
    assert "done" not in disk.seen

    go_on.set()
    disk.thread.stop()
    assert disk.thread.is_quiet


def test_a_disk_that_hangs_costs_the_caller_the_bound_and_its_result_comes_later() -> None:
    """Whatever the disk did before: no job runs in the caller's thread, nor is it waited for for long."""
    disk, go_on = Disk(), threading.Event()
    disk.in_thread()

    began_s = time.monotonic()
    disk.thread.call(lambda: bool(go_on.wait(10)) and None, lambda: disk.seen.append("done"))
    took_s = time.monotonic() - began_s

    assert "done" not in disk.seen
    assert took_s < 0.1, "half a millisecond, and what a busy machine adds"
    go_on.set()
    disk.thread.stop()
    [handed_back] = disk.handed_back
    handed_back()
    assert disk.seen[-1] == "done"


def test_a_job_that_fails_is_over() -> None:
    disk = Disk()

    def failing() -> None:
        raise OSError("no")

    disk.thread.call(failing, lambda: disk.seen.append("done"))
    disk.thread.stop()
    [handed_back] = disk.handed_back
    handed_back()
    assert disk.seen == ["done"]
