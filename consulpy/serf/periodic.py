"""Periodic tasks of Serf: reaping, reconnects, checks of the queues, flushes of the snapshot.

Source: docs/wire/gossip.md 6.9, 5.7, 6.11.
"""

from collections.abc import Callable
from typing import Final

from consulpy.clock import Clock, Timer, cancel_timer
from consulpy.serf.interface import LocalSerf
from consulpy.serf.members import Status

#: Seconds between clock lines and flushes of the snapshot.
SNAPSHOT_INTERVAL_S: Final = 0.5


class Ticker:
    """Calls `work` every `interval_s` seconds until stopped."""

    def __init__(self, clock: Clock, interval_s: float, work: Callable[[], None]) -> None:
        self._clock = clock
        self._interval_s = interval_s
        self._work = work
        self._timer: Timer | None = None

    def start(self) -> None:
        """Start; the first call comes after one interval."""
        self._timer = self._clock.callLater(self._interval_s, self._tick)

    def stop(self) -> None:
        """Stop."""
        cancel_timer(self._timer)
        self._timer = None

    def _tick(self) -> None:
        self.start()
        self._work()


class PeriodicTasks:
    """The periodic tasks of one Serf."""

    def __init__(self, serf: LocalSerf) -> None:
        self._serf = serf
        config, clock = serf.config, serf.clock
        self._tickers = [
            Ticker(clock, config.reap_interval_s, self.reap),
            Ticker(clock, config.reconnect_interval_s, self.reconnect),
            Ticker(clock, config.queue_check_interval_s, serf.broadcasts.check),
        ]
        if serf.snapshot is not None:
            self._tickers.append(Ticker(clock, SNAPSHOT_INTERVAL_S, self.write_clocks))

    def start(self) -> None:
        """Start all."""
        for ticker in self._tickers:
            ticker.start()

    def stop(self) -> None:
        """Stop all."""
        for ticker in self._tickers:
            ticker.stop()

    def reap(self) -> None:
        """Remove members that failed or left long ago."""
        serf, config = self._serf, self._serf.config
        serf.membership.reap(
            serf.clock.seconds(), config.reconnect_timeout_s, config.tombstone_timeout_s, config.reap_after_s
        )

    def reconnect(self) -> None:
        """Try to reconnect to a random failed member, with a probability of failed / alive members."""
        serf = self._serf
        failed = list(serf.membership.with_status(Status.FAILED))
        if not failed:
            return
        alive = max(1, serf.membership.count(Status.ALIVE) + serf.membership.count(Status.LEAVING))
        if serf.rng.random() > len(failed) / alive:
            return
        member = serf.rng.choice(failed)
        serf.log("info", f"attempting reconnect to {member.name} {member.address}:{member.port}")
        serf.rejoin_member(member.name, (member.address, member.port), lambda _joined: None)

    def write_clocks(self) -> None:
        """Write the clock line to the snapshot and flush it."""
        serf = self._serf
        if serf.snapshot is not None:
            serf.snapshot.update_clock(serf.ltime.time())
            serf.snapshot.flush()
