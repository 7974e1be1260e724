"""What Serf does from time to time: forget members, try failed ones again, look after its queues and its snapshot.

Source: docs/wire/gossip.md 6.9, 5.7, 6.11.
"""

from collections.abc import Callable
from typing import Final

from consulpy.clock import Clock, Timer
from consulpy.serf.interface import LocalSerf
from consulpy.serf.members import Status

#: The snapshot's clock lines and flushes, in seconds.
SNAPSHOT_INTERVAL_S: Final = 0.5


class Ticker:
    """Calls `work` every `interval_s` seconds until it is stopped."""

    def __init__(self, clock: Clock, interval_s: float, work: Callable[[], None]) -> None:
        self._clock = clock
        self._interval_s = interval_s
        self._work = work
        self._timer: Timer | None = None

    def start(self) -> None:
        """The first call comes after one interval."""
        self._timer = self._clock.callLater(self._interval_s, self._tick)

    def stop(self) -> None:
        """No more calls."""
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def _tick(self) -> None:
        self.start()
        self._work()


class Reaper:
    """The periodic work of one Serf."""

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
        """Begin."""
        for ticker in self._tickers:
            ticker.start()

    def stop(self) -> None:
        """End."""
        for ticker in self._tickers:
            ticker.stop()

    def reap(self) -> None:
        """Forget members that failed or left long ago."""
        serf = self._serf
        serf.roster.reap(serf.clock.seconds(), serf.config.reconnect_timeout_s, serf.config.tombstone_timeout_s)

    def reconnect(self) -> None:
        """Try one failed member again, the more likely the more of them there are for each that is here."""
        serf = self._serf
        failed = list(serf.roster.with_status(Status.FAILED))
        if not failed:
            return
        alive = max(1, serf.roster.count(Status.ALIVE) + serf.roster.count(Status.LEAVING))
        if serf.rng.random() > len(failed) / alive:
            return
        member = serf.rng.choice(failed)
        serf.log("info", f"attempting reconnect to {member.name} {member.address}:{member.port}")
        serf.try_member(member.name, (member.address, member.port), lambda _joined: None)

    def write_clocks(self) -> None:
        """The snapshot's clock lines, and its bytes to the file."""
        serf = self._serf
        if serf.snapshot is not None:
            serf.snapshot.update_clock(serf.ltime.time())
            serf.snapshot.flush()
