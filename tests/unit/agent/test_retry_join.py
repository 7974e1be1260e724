"""Retried joins: growing pauses, an end, and Consul's texts."""

from collections.abc import Awaitable

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from consulpy.agent.features.retry_join import RetryJoin
from consulpy.agent.process.data_dir import DataDirectoryLock
from consulpy.errors import ConfigError, RPCError


def retrying(clock: Clock, works_at: int, gave_up: list[str], max_attempts: int = 0) -> tuple[RetryJoin, list[float]]:
    times: list[float] = []

    def attempt() -> Awaitable[int]:
        times.append(clock.seconds())
        return succeed(1) if len(times) == works_at else fail(RPCError("nobody there"))

    retry = RetryJoin(clock, attempt, pool="LAN", interval_s=5.0, max_attempts=max_attempts, gave_up=gave_up.append)
    Deferred.fromCoroutine(retry.run())
    return retry, times


def test_pauses_double_up_to_the_interval_and_it_stops_when_it_worked() -> None:
    clock = Clock()
    _, times = retrying(clock, works_at=6, gave_up=[])
    clock.pump([0.5] * 100)
    assert times == [0, 1, 3, 7, 12, 17]


def test_it_gives_up_after_the_attempts_that_were_allowed() -> None:
    clock, gave_up = Clock(), list[str]()
    _, times = retrying(clock, works_at=0, gave_up=gave_up, max_attempts=3)
    clock.pump([0.5] * 100)
    assert len(times) == 3
    assert len(gave_up) == 1
    assert "nobody there" in gave_up[0]


def test_stopping_ends_it() -> None:
    clock = Clock()
    retry, times = retrying(clock, works_at=0, gave_up=[])
    retry.stop()
    clock.pump([0.5] * 100)
    assert len(times) == 1


def test_a_data_directory_is_locked_once(tmp_path) -> None:
    lock = DataDirectoryLock(tmp_path)
    with pytest.raises(ConfigError, match="in use by another agent"):
        DataDirectoryLock(tmp_path)
    lock.release()
    DataDirectoryLock(tmp_path).release()


def test_a_data_directory_that_cannot_be_written_is_named(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="choose another one"):
        DataDirectoryLock(tmp_path / "file" / "data")
