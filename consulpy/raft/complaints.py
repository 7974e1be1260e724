"""Log lines about refused requests: one of each kind per interval, however many a peer sends."""

from collections.abc import Callable
from typing import Final

from consulpy.clock import Clock

#: Seconds between two lines of a kind.
INTERVAL_S: Final = 10.0
#: Maximum length of a line, in characters: texts of peers have no limit.
_LENGTH_MAX: Final = 300


class Complaints:
    """Logs errors. `say(level, text)`: writes a line."""

    def __init__(self, clock: Clock, say: Callable[[str, str], None]) -> None:
        self._clock = clock
        self._say = say
        #: By kind: time of the last line, and number of lines suppressed since.
        self._last: dict[str, tuple[float, int]] = {}

    def about(self, kind: str, text: str) -> None:
        """Log an error, unless one of this kind was logged shortly ago; the next one says how many there were."""
        now_s = self._clock.seconds()
        last_s, more = self._last.get(kind, (None, 0))
        if last_s is not None and now_s - last_s < INTERVAL_S:
            self._last[kind] = (last_s, more + 1)
            return
        self._last[kind] = (now_s, 0)
        text = text if len(text) <= _LENGTH_MAX else f"{text[:_LENGTH_MAX]}..."
        self._say("error", f"{text} ({more} more since the last such line)" if more else text)
