"""The thread that waits for the disk."""

import threading

from consulpy.agent.disk import DiskThread


def test_jobs_run_in_their_order_in_one_thread_and_stop_waits_for_all() -> None:
    disk, seen = DiskThread("test"), []
    for number in range(200):
        disk.run(lambda number=number: seen.append((number, threading.current_thread().name)))
    disk.stop()
    assert seen == [(number, "test") for number in range(200)]


def test_a_job_that_fails_keeps_no_other_from_being_done() -> None:
    disk, seen = DiskThread("test"), []

    def failing() -> None:
        raise OSError("no")

    disk.run(failing)
    disk.run(lambda: seen.append("after"))
    disk.stop()
    assert seen == ["after"]


def test_without_a_job_there_is_no_thread() -> None:
    before = threading.active_count()
    disk = DiskThread("test")
    assert threading.active_count() == before
    disk.stop()
    disk.run(lambda: None)
    disk.stop()
    assert threading.active_count() == before
