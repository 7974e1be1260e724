"""TTL checks: somebody says regularly how things stand; silence for the time to live is critical."""

from collections.abc import Callable

from consulpy.checks.result import OUTPUT_MAX_BYTES
from consulpy.clock import Clock, Timer
from consulpy.structs.check import CRITICAL


class TTLCheck:
    """Runs from its creation until `stop`. `report(status, output)` is called for each word and for silence."""

    def __init__(self, ttl_s: float, output_max: int, report: Callable[[str, str], None], clock: Clock) -> None:
        self._ttl_s = ttl_s
        self._output_max = output_max or OUTPUT_MAX_BYTES
        self._report = report
        self._clock = clock
        self._last_output = ""
        self._timer: Timer | None = clock.callLater(ttl_s, self._expired)

    def update(self, status: str, output: str) -> None:
        """Somebody says how it stands; the time to live begins anew."""
        size = len(output.encode("utf-8", "surrogateescape"))
        if size > self._output_max:
            kept = output.encode("utf-8", "surrogateescape")[: self._output_max].decode("utf-8", "replace")
            output = f"{kept} ... (captured {self._output_max} of {size} bytes)"
        self._last_output = output
        self._report(status, output)
        self.stop()
        self._timer = self._clock.callLater(self._ttl_s, self._expired)

    def stop(self) -> None:
        """End it."""
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def _expired(self) -> None:
        self._timer = None  # a call that was made still holds this check
        output = "TTL expired"
        if self._last_output:
            output += f" (last output before timeout follows): {self._last_output}"
        self._report(CRITICAL, output)
