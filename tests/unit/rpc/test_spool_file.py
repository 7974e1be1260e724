"""An archive on its way: held in memory or in a file, never faster than the disk or the reader."""

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure

from consulpy.errors import RPCError
from consulpy.rpc.spool_file import MEMORY_BYTES, PIECE_BYTES, Spool, SpoolSender, SpoolWriter

LARGE = bytes(range(256)) * (3 * MEMORY_BYTES // 256)


class Threads:
    """Jobs that run when the test says so."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Callable[[], Any], Deferred[Any]]] = []

    def __call__(self, job: Callable[[], Any]) -> "Deferred[Any]":
        done: Deferred[Any] = Deferred()
        self.jobs.append((job, done))
        return done

    def run(self) -> None:
        jobs, self.jobs = self.jobs, []
        for job, done in jobs:
            maybeDeferred(job).addBoth(done.callback)


class Consumer:
    def __init__(self) -> None:
        self.data = b""
        self.producer: Any = None

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert streaming
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def write(self, data: bytes) -> None:
        self.data += data


@pytest.fixture
def threads() -> Threads:
    return Threads()


def written(threads: Threads, data: bytes) -> Spool:
    writer = SpoolWriter(threads, lambda _: None)
    writer.write(data)
    found: list[Spool] = []
    writer.finish().addCallback(found.append)
    threads.run()
    return found[0]


def test_a_small_archive_needs_no_thread(threads: Threads) -> None:
    spool = written(threads, b"small")
    assert (spool.size, spool.is_in_memory, spool.read_all()) == (5, True, b"small")
    spool.close()


def test_nothing_is_read_while_a_piece_is_written(threads: Threads) -> None:
    reading: list[bool] = []
    writer = SpoolWriter(threads, reading.append)
    writer.write(LARGE)
    writer.write(b"what had come already")
    assert reading == [False]
    threads.run()
    assert reading == [False, False], "the rest is written first"
    threads.run()
    assert reading == [False, False, True]
    found: list[Spool] = []
    writer.finish().addCallback(found.append)
    assert found[0].read_all() == LARGE + b"what had come already"
    found[0].close()


def test_the_end_waits_for_the_last_piece(threads: Threads) -> None:
    writer = SpoolWriter(threads, lambda _: None)
    writer.write(LARGE)
    found: list[Spool] = []
    writer.finish().addCallback(found.append)
    assert not found
    threads.run()
    assert found[0].size == len(LARGE)
    found[0].close()


def test_a_full_disk_is_told_at_the_end(threads: Threads, monkeypatch: pytest.MonkeyPatch) -> None:
    reading: list[bool] = []
    writer = SpoolWriter(threads, reading.append)

    def full(_: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writer.spool, "write", full)
    writer.write(LARGE)
    threads.run()
    assert reading == [False, True], "the rest is read, and dropped"
    told: list[Failure] = []
    writer.finish().addErrback(told.append)
    assert told[0].check(RPCError)
    assert "No space left on device" in told[0].getErrorMessage()
    assert writer.spool.file.closed


def test_what_nobody_wants_any_more_is_closed_after_the_last_write(threads: Threads) -> None:
    writer = SpoolWriter(threads, lambda _: None)
    writer.write(LARGE)
    writer.abandon()
    assert not writer.spool.file.closed
    threads.run()
    assert writer.spool.file.closed


def test_it_is_sent_as_fast_as_it_is_taken(threads: Threads) -> None:
    spool, consumer, ends = written(threads, LARGE), Consumer(), []
    SpoolSender(spool, consumer, threads, ends.append).start()
    threads.run()
    assert consumer.data == LARGE[:PIECE_BYTES]
    consumer.producer.pauseProducing()
    threads.run()
    threads.run()
    assert len(consumer.data) == 2 * PIECE_BYTES, "only what was being read"
    consumer.producer.resumeProducing()
    while consumer.producer is not None:
        threads.run()
    assert (consumer.data, ends, spool.file.closed) == (LARGE, [None], True)


def test_a_consumer_that_is_gone_gets_nothing_more(threads: Threads) -> None:
    spool, consumer, ends = written(threads, LARGE), Consumer(), []
    SpoolSender(spool, consumer, threads, ends.append).start()
    consumer.producer.stopProducing()
    assert not spool.file.closed, "a thread reads it"
    threads.run()
    assert (consumer.data, ends, spool.file.closed) == (b"", [], True)


def test_a_file_that_cannot_be_read_is_told(threads: Threads, monkeypatch: pytest.MonkeyPatch) -> None:
    spool, consumer, ends = written(threads, LARGE), Consumer(), []

    def broken(_: int) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(spool.file, "read", broken)
    SpoolSender(spool, consumer, threads, ends.append).start()
    threads.run()
    assert ["Input/output error" in str(end) for end in ends] == [True]
