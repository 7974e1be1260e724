"""What one run of a check found, and how a run is described to the runner."""

from dataclasses import dataclass
from typing import Final, Protocol

from twisted.internet.defer import Deferred

from consulpy.structs.check import CRITICAL

#: How much output is kept unless the check says otherwise, in bytes.
OUTPUT_MAX_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class Result:
    """`status` is passing, warning or critical; `output` is for people."""

    status: str
    output: str = ""


class Probe(Protocol):
    """A check that is run again and again."""

    #: Seconds after which a run is given up.
    timeout_s: float

    def check(self) -> None:
        """Raise `CheckFailed` if it could never run."""

    def run(self) -> Deferred[Result]:
        """Run once. Cancelling the Deferred ends the run and frees all that it holds."""

    def timed_out(self) -> Result:
        """What is reported when a run was given up."""


class CheckFailed(Exception):
    """The check could not be made; the text is its output."""

    def result(self) -> Result:
        """As a result."""
        return Result(CRITICAL, str(self))


class Tail:
    """The last `limit` bytes of a stream of output, and how many there were."""

    def __init__(self, limit: int) -> None:
        self.limit = limit or OUTPUT_MAX_BYTES
        self.total = 0
        self._kept = bytearray()

    def write(self, data: bytes) -> None:
        """More output."""
        self.total += len(data)
        self._kept += data
        if len(self._kept) > self.limit:
            del self._kept[: -self.limit]

    @property
    def data(self) -> bytes:
        """What is kept."""
        return bytes(self._kept)

    @property
    def text(self) -> str:
        """What is kept."""
        return self._kept.decode("utf-8", "replace")

    @property
    def captured(self) -> str:
        """What is kept, with a line that says so if it is not all."""
        if self.total <= self.limit:
            return self.text
        return f"Captured {self.limit} of {self.total} bytes\n...\n{self.text}"


def seconds_text(seconds: float) -> str:
    """A duration as Go prints it, for the range of timeouts: `1s`, `500ms`, `1m30s`."""
    milliseconds = round(seconds * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    shown = f"{rest / 1000:g}s"
    if minutes < 60:
        return f"{minutes}m{shown}" if minutes else shown
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{shown}"
