"""How long a suspect may take to refute: Lifeguard's shrinking timeout.

With each new accuser the timeout shrinks from `max` towards `min`, logarithmically. Source: docs/wire/gossip.md 5.5;
tests/vectors/gossip/timers.json.
"""

import math
from collections.abc import Callable

from consulpy.clock import Clock, Timer


def suspicion_timeout_s(mult: int, nodes: int, probe_interval_s: float) -> float:
    """The least timeout: mult * max(1, log10(nodes)) * interval, the factor cut to 3 decimals."""
    scale = max(1.0, math.log10(max(1.0, nodes)))
    return mult * math.floor(scale * 1000) / 1000 * probe_interval_s


def remaining_s(confirmed: int, expected: int, elapsed_s: float, least_s: float, most_s: float) -> float:
    """What is left of the timeout after `elapsed_s`, with `confirmed` of `expected` confirmations."""
    if expected < 1:
        return least_s - elapsed_s
    shrunk = most_s - math.log(confirmed + 1) / math.log(expected + 1) * (most_s - least_s)
    return max(math.floor(shrunk * 1000) / 1000, least_s) - elapsed_s


class Suspicion:
    """One suspect's timer. `expire(confirmations)` is called unless `cancel` is."""

    __slots__ = (
        "_accusers",
        "_clock",
        "_expected",
        "_expire",
        "_least_s",
        "_most_s",
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
        least_s: float,
        most_s: float,
        expire: Callable[[int], None],
    ) -> None:
        self._clock = clock
        self._accusers = {accuser}
        self._expected = expected
        self._least_s = least_s
        self._most_s = most_s
        self._expire = expire
        self._started_s = clock.seconds()
        self.confirmed = 0
        self._timer: Timer = clock.callLater(most_s if expected > 0 else least_s, self._fire)

    def confirm(self, accuser: str) -> bool:
        """Another member suspects it too; whether that is news."""
        if self.confirmed >= self._expected or accuser in self._accusers:
            return False
        self._accusers.add(accuser)
        self.confirmed += 1
        elapsed_s = self._clock.seconds() - self._started_s
        left_s = remaining_s(self.confirmed, self._expected, elapsed_s, self._least_s, self._most_s)
        self.cancel()
        self._timer = self._clock.callLater(max(left_s, 0.0), self._fire)
        return True

    def cancel(self) -> None:
        """It is no suspect any more."""
        if self._timer.active():
            self._timer.cancel()

    def _fire(self) -> None:
        self._expire(self.confirmed)
