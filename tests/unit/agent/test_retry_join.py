"""Retried joins: growing pauses, an end, and Consul's texts."""

from collections.abc import Awaitable, Sequence

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from consulpy.agent.features.retry_join import RetryJoin, begin
from consulpy.agent.process.data_dir import DataDirectoryLock
from consulpy.config.flags import read_flags
from consulpy.config.load import read
from consulpy.errors import ConfigError, RPCError
from tests.fakes.config import FakeHost


def retrying(clock: Clock, works_at: int, gave_up: list[str], max_attempts: int = 0) -> list[float]:
    times: list[float] = []

    def attempt() -> Awaitable[int]:
        times.append(clock.seconds())
        return succeed(1) if len(times) == works_at else fail(RPCError("nobody there"))

    retry = RetryJoin(clock, attempt, pool="LAN", interval_s=5.0, max_attempts=max_attempts, gave_up=gave_up.append)
    Deferred.fromCoroutine(retry.run())
    return times


def test_pauses_double_up_to_the_interval_and_it_stops_when_it_worked() -> None:
    clock = Clock()
    times = retrying(clock, works_at=6, gave_up=[])
    clock.pump([0.5] * 100)
    assert times == [0, 1, 3, 7, 12, 17]


def test_it_gives_up_after_the_attempts_that_were_allowed() -> None:
    clock, gave_up = Clock(), list[str]()
    times = retrying(clock, works_at=0, gave_up=gave_up, max_attempts=3)
    clock.pump([0.5] * 100)
    assert len(times) == 3
    assert len(gave_up) == 1
    assert "nobody there" in gave_up[0]


class Joins:
    """The joins of a configuration; an attempt ends when the test says so."""

    def __init__(self, settings: str) -> None:
        self.clock = Clock()
        self.attempts: list[Deferred[int]] = []
        self.gave_up: list[str] = []
        config = read(read_flags(["-data-dir", "/x", "-node", "n", "-hcl", settings]), FakeHost())
        self.stops = begin(config, self.clock, self._attempt, self.gave_up.append, servers=False)

    def _attempt(self, _addresses: Sequence[str], _wan: bool) -> Awaitable[int]:
        self.attempts.append(Deferred())
        return self.attempts[-1]

    def stop(self) -> None:
        for stop in self.stops:
            stop()


@pytest.mark.parametrize("key", ["start_join", "retry_join"])
def test_an_agent_that_leaves_gives_up_the_join_under_way_without_a_word(key: str) -> None:
    """It used to go on, and to warn that a member that left cannot join."""
    joins = Joins(f'{key} = ["10.0.0.1"]')
    with capturedLogs() as logged:
        joins.stop()
        joins.clock.pump([0.5] * 100)
    assert (len(joins.attempts), joins.gave_up, logged) == (1, [], [])


def test_an_agent_that_leaves_waits_for_no_further_join() -> None:
    joins = Joins('retry_join = ["10.0.0.1"]')
    joins.attempts[0].errback(RPCError("nobody there"))
    joins.stop()
    assert joins.clock.getDelayedCalls() == []
    assert len(joins.attempts) == 1


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
