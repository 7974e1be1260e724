"""Rate limited warnings about malformed packets and stream messages."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from consulpy.clock import Clock
from consulpy.memberlist.member import Address

#: Seconds between two warnings about one IP address.
_INTERVAL_S: Final = 10.0
#: IP addresses whose last warning is remembered; above it the oldest is dropped.
_SOURCES_MAX: Final = 256


class BadPacketLog:
    """Logs at most one warning per source IP address in 10 seconds. `log(level, text)` writes it."""

    def __init__(self, clock: Clock, log: Callable[[str, str], None]) -> None:
        self._clock = clock
        self._log = log
        self._warned_at_s: OrderedDict[str, float] = OrderedDict()

    def warn(self, source: Address, text: str) -> None:
        """Log that a packet from `source` was dropped because of `text`, unless a warning was logged recently."""
        now_s = self._clock.seconds()
        last_s = self._warned_at_s.get(source[0])
        if last_s is not None and now_s - last_s < _INTERVAL_S:
            return
        self._warned_at_s[source[0]] = now_s
        self._warned_at_s.move_to_end(source[0])
        if len(self._warned_at_s) > _SOURCES_MAX:
            self._warned_at_s.popitem(last=False)
        self._log("warn", f"dropped from {source[0]}:{source[1]}: {text}")
