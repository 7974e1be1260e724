"""Rate limited warnings about malformed packets and stream messages."""

from collections.abc import Callable

from consulpy.clock import Clock
from consulpy.log_limit import OncePerAddress
from consulpy.memberlist.member import Address


class BadPacketLog:
    """Logs at most one warning per source IP address in 10 seconds. `log(level, text)` writes it."""

    def __init__(self, clock: Clock, log: Callable[[str, str], None]) -> None:
        self._limit = OncePerAddress(clock.seconds)
        self._log = log

    def warn(self, source: Address, text: str) -> None:
        """Log that a packet from `source` was dropped because of `text`, unless a warning was logged recently."""
        if self._limit.allows(source[0]):
            self._log("warn", f"dropped from {source[0]}:{source[1]}: {text}")
