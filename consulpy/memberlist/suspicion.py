"""Suspicion timeouts: Lifeguard's timeout that shrinks with each confirmation.

It shrinks logarithmically from maximum to minimum. Source: docs/wire/gossip.md 5.5; tests/vectors/gossip/timers.json.
"""

import math
from collections.abc import Callable
from typing import Final

from consulpy.clock import Clock, Timer, cancel_timer

#: How many probe intervals before the end of a suspicion its member is asked itself, the last times.
LAST_ASKED: Final = (2, 1)


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
    """The timer of one suspect. `expire(confirmations)` is called at its end unless it was cancelled.

    `ask()` is called `LAST_ASKED` intervals before the end, so that a member whose refutation was lost is heard.
    """

    __slots__ = (
        "_accusers",
        "_ask",
        "_asked",
        "_clock",
        "_expected",
        "_expire",
        "_interval_s",
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
        interval_s: float,
        ask: Callable[[], None],
        expire: Callable[[int], None],
    ) -> None:
        self._clock = clock
        self._accusers = {accuser}
        self._expected = expected
        self._min_s = min_s
        self._max_s = max_s
        self._interval_s = interval_s
        self._ask = ask
        self._asked = 0
        self._expire = expire
        self._started_s = clock.seconds()
        self.confirmed = 0
        self._timer: Timer = self._wait(max_s if expected > 0 else min_s)

    def confirm(self, accuser: str) -> bool:
        """Count a suspicion of another member; whether it is a new confirmation, which shortens the timeout."""
        if self.confirmed >= self._expected or accuser in self._accusers:
            return False
        self._accusers.add(accuser)
        self.confirmed += 1
        elapsed_s = self._clock.seconds() - self._started_s
        left_s = remaining_s(self.confirmed, self._expected, elapsed_s, self._min_s, self._max_s)
        self.cancel()
        self._timer = self._wait(max(left_s, 0.0))
        return True

    def cancel(self) -> None:
        """Cancel the timer: the suspicion was refuted, or the member is gone."""
        cancel_timer(self._timer)

    def _wait(self, left_s: float) -> Timer:
        """Wait for the end, or for the next time to ask before it."""
        for number, intervals in enumerate(LAST_ASKED[self._asked :], self._asked + 1):
            before_s = intervals * self._interval_s
            if left_s >= before_s:
                return self._clock.callLater(left_s - before_s, self._ask_at, number, before_s)
        return self._clock.callLater(left_s, self._fire)

    def _ask_at(self, number: int, left_s: float) -> None:
        self._asked = number
        self._timer = self._wait(left_s)
        self._ask()

    def _fire(self) -> None:
        self._expire(self.confirmed)
