"""Results of checks, and the interface of checks to the runner."""

from typing import Final, Protocol

from twisted.internet.defer import Deferred

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.structs.check import CRITICAL

#: Bytes of output that are stored, unless the check sets its own limit.
OUTPUT_MAX_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one run. `status`: passing, warning or critical."""

    status: str
    output: str = ""


class Probe(Protocol):
    """A type of check that the runner runs at an interval."""

    #: Seconds after which a run is cancelled.
    timeout_s: float

    def check(self) -> None:
        """Raise `CheckFailed` if no run can succeed; called at registration."""

    def run(self) -> Deferred[Result]:
        """Run once. Cancelling the Deferred ends the run and releases its resources."""

    def timed_out(self) -> Result:
        """The result of a run that exceeded `timeout_s`."""


class CheckFailed(Exception):
    """A run failed; the text is the output of the check."""

    def result(self) -> Result:
        """The result of the run: critical."""
        return Result(CRITICAL, str(self))


class Tail:
    """The last `limit` bytes of an output stream (0: the default limit). `total`: bytes written."""

    def __init__(self, limit: int) -> None:
        self.limit = limit or OUTPUT_MAX_BYTES
        self.total = 0
        self._data = bytearray()

    def write(self, data: bytes) -> None:
        """Append output."""
        self.total += len(data)
        self._data += data
        if len(self._data) > self.limit:
            del self._data[: -self.limit]

    @property
    def data(self) -> bytes:
        """The stored bytes."""
        return bytes(self._data)

    @property
    def text(self) -> str:
        """The stored bytes, as text."""
        return self._data.decode("utf-8", "replace")

    @property
    def captured(self) -> str:
        """The stored bytes as text, with a first line that says so if they are not all."""
        if self.total <= self.limit:
            return self.text
        return f"Captured {self.limit} of {self.total} bytes\n...\n{self.text}"


def seconds_text(seconds: float) -> str:
    """A duration as Go prints it, for the range of timeouts: `1s`, `500ms`, `1m30s`."""
    milliseconds = round(seconds * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, remainder = divmod(milliseconds, 60_000)
    shown = f"{remainder / 1000:g}s"
    if minutes < 60:
        return f"{minutes}m{shown}" if minutes else shown
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{shown}"
