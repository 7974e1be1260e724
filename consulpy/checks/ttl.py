"""TTL checks: the status is set through the API; without an update for the TTL it becomes critical."""

from collections.abc import Callable

from consulpy.checks.result import OUTPUT_MAX_BYTES
from consulpy.clock import Clock, Timer, cancel_timer
from consulpy.structs.check import CRITICAL


class TTLCheck:
    """A running TTL check, from its creation until `stop`. `report(status, output)`: on each update and at expiry."""

    def __init__(self, ttl_s: float, output_max: int, report: Callable[[str, str], None], clock: Clock) -> None:
        self._ttl_s = ttl_s
        self._output_max = output_max or OUTPUT_MAX_BYTES
        self._report = report
        self._clock = clock
        self._last_output = ""
        self._timer: Timer | None = clock.callLater(ttl_s, self._expired)

    def update(self, status: str, output: str) -> None:
        """See `RunningCheck.update`; restarts the TTL."""
        size = len(output.encode("utf-8", "surrogateescape"))
        if size > self._output_max:
            stored = output.encode("utf-8", "surrogateescape")[: self._output_max].decode("utf-8", "replace")
            output = f"{stored} ... (captured {self._output_max} of {size} bytes)"
        self._last_output = output
        self._report(status, output)
        self.stop()
        self._timer = self._clock.callLater(self._ttl_s, self._expired)

    def stop(self) -> None:
        """See `RunningCheck.stop`."""
        cancel_timer(self._timer)
        self._timer = None

    def _expired(self) -> None:
        self._timer = None  # an expired timer still references this check
        output = "TTL expired"
        if self._last_output:
            output += f" (last output before timeout follows): {self._last_output}"
        self._report(CRITICAL, output)
