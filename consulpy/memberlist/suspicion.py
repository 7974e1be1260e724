"""Suspicion timeouts: Lifeguard's timeout that shrinks with each confirmation.

It shrinks logarithmically from maximum to minimum. Source: docs/wire/gossip.md 5.5; tests/vectors/gossip/timers.json.
"""

import math
from collections.abc import Callable

from consulpy.clock import Clock, Timer


def suspicion_timeout_s(mult: int, nodes: int, probe_interval_s: float) -> float:
    """The minimum timeout in seconds: mult * max(1, log10(nodes)) * interval, the factor truncated to 3 decimals."""
    scale = max(1.0, math.log10(max(1.0, nodes)))
    return mult * math.floor(scale * 1000) / 1000 * probe_interval_s


def remaining_s(confirmed: int, expected: int, elapsed_s: float, min_s: float, max_s: float) -> float:
    """Seconds left of the timeout after `elapsed_s`, with `confirmed` of `expected` confirmations."""
    if expected < 1:
        return min_s - elapsed_s
    shrunk = max_s - math.log(confirmed + 1) / math.log(expected + 1) * (max_s - min_s)
    return max(math.floor(shrunk * 1000) / 1000, min_s) - elapsed_s


class Suspicion:
    """The timer of one suspect. `expire(confirmations)` is called at its end unless it was cancelled."""

    __slots__ = (
        "_accusers",
        "_clock",
        "_expected",
        "_expire",
        "_max_s",
        "_min_s",
        "_started_s",
        "_timer",
        "confirmed",
    )

    def __init__(
        self,
        clock: Clock,
        accuser: str,
        *,
        expected: int,
        min_s: float,
        max_s: float,
        expire: Callable[[int], None],
    ) -> None:
        self._clock = clock
        self._accusers = {accuser}
        self._expected = expected
        self._min_s = min_s
        self._max_s = max_s
        self._expire = expire
        self._started_s = clock.seconds()
        self.confirmed = 0
        self._timer: Timer = clock.callLater(max_s if expected > 0 else min_s, self._fire)

    def confirm(self, accuser: str) -> bool:
        """Another member suspects it too; whether that is a new confirmation, which shortens the timeout."""
        if self.confirmed >= self._expected or accuser in self._accusers:
            return False
        self._accusers.add(accuser)
        self.confirmed += 1
        elapsed_s = self._clock.seconds() - self._started_s
        left_s = remaining_s(self.confirmed, self._expected, elapsed_s, self._min_s, self._max_s)
        self.cancel()
        self._timer = self._clock.callLater(max(left_s, 0.0), self._fire)
        return True

    def cancel(self) -> None:
        """Cancel the timer: the suspicion was refuted, or the member is gone."""
        if self._timer.active():
            self._timer.cancel()

    def _fire(self) -> None:
        self._expire(self.confirmed)
