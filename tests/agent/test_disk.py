"""The thread that waits for the disk."""

import threading
import time

import pytest

from consulpy.agent.disk import CROWD_MEMORY, FEW, QUICK_S, DiskThread


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
    """A `DiskThread` whose jobs take as long as is said."""

    def __init__(self) -> None:
        self._now_s = 0.0
        self.thread = DiskThread("test", lambda: self._now_s)
        self.seen: list[str] = []

    def job(self, takes_s: float) -> None:
        self._now_s += takes_s
        self.seen.append(threading.current_thread().name)

    def in_thread(self, takes_s: float = QUICK_S / 2) -> None:
        self.thread.run(lambda: self.job(takes_s))
        self.thread.stop()

    def at_once(self, takes_s: float = QUICK_S / 2, size: int = 1) -> bool:
        return self.thread.at_once(lambda: self.job(takes_s), size)


def test_a_quick_disk_is_waited_for_where_one_is() -> None:
    disk = Disk()
    assert not disk.at_once()  # who knows how quick it is
    disk.in_thread()

    assert disk.thread.is_quiet
    assert disk.at_once()
    assert disk.seen == ["test", threading.current_thread().name]


def test_a_disk_that_was_slow_is_the_thread_s_until_it_is_quick_again() -> None:
    disk = Disk()
    disk.in_thread()
    assert disk.at_once(takes_s=2 * QUICK_S)

    assert not disk.at_once()
    disk.in_thread(takes_s=QUICK_S)
    assert not disk.at_once()
    disk.in_thread()
    assert disk.at_once()


def test_those_who_come_together_stay_together() -> None:
    disk = Disk()
    disk.in_thread()
    assert not disk.at_once(size=FEW + 1)
    assert not disk.thread.is_quiet

    assert [disk.at_once(size=FEW) for _ in range(CROWD_MEMORY + 1)] == [False] * CROWD_MEMORY + [True]


def test_while_the_thread_works_nothing_is_done_beside_it() -> None:
    disk, go_on = Disk(), threading.Event()
    disk.in_thread()
    disk.thread.run(lambda: bool(go_on.wait(10)))

    assert not disk.at_once()

    go_on.set()
    disk.thread.stop()
    assert disk.at_once()


def test_a_job_that_fails_here_says_so_here() -> None:
    disk = Disk()
    disk.in_thread()

    def failing() -> None:
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        disk.thread.at_once(failing, 1)
    assert disk.at_once()
