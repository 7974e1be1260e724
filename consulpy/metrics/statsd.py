"""Values as lines of StatsD and its dialects, gathered into packets. Pure; who has a socket calls `flush`.

`name:value|c`, `|g`, `|ms`: the format that statsd, statsite and DogStatsD share; DogStatsD adds `|#tag:value,...`,
others get labels as parts of the name, as Consul's sinks write them.
"""

import re
from collections.abc import Sequence
from typing import Final

from consulpy.metrics.registry import Labels

#: What one datagram holds at most, in bytes: what passes any Ethernet whole.
PACKET_BYTES: Final = 1432
#: Lines kept until the next flush; more are dropped.
LINES_MAX: Final = 8192

_NOT_IN_NAMES: Final = re.compile(r"[:|@\s#,]")


class StatsdLines:
    """A sink of `consulpy.metrics.registry.Registry`.

    `tagged`: DogStatsD's tags, with `tags` ("name:value") on every line.
    """

    def __init__(self, *, tagged: bool = False, tags: Sequence[str] = ()) -> None:
        self._tagged = tagged
        self._tags = tuple(tags)
        self._lines: list[bytes] = []
        #: Lines for which there was no room.
        self.dropped = 0

    def take(self, kind: str, name: str, labels: Labels, value: float) -> None:
        """See `Sink.take`."""
        if len(self._lines) >= LINES_MAX:
            self.dropped += 1
            return
        if not self._tagged:
            name = ".".join((name, *(text for _, text in labels)))
        line = f"{_NOT_IN_NAMES.sub('_', name)}:{value:f}|{kind}"
        if self._tagged and (labels or self._tags):
            line += "|#" + ",".join((*self._tags, *(f"{label}:{text}" for label, text in labels)))
        self._lines.append(line.replace("\n", "_").encode("utf-8", "replace"))

    def flush(self) -> list[bytes]:
        """All lines so far, each with its end, in pieces of at most `PACKET_BYTES` (a longer line is a piece alone)."""
        lines, self._lines = self._lines, []
        packets: list[bytes] = []
        gathered = b""
        for line in lines:
            if gathered and len(gathered) + len(line) + 1 > PACKET_BYTES:
                packets.append(gathered)
                gathered = b""
            gathered += line + b"\n"
        return [*packets, gathered] if gathered else packets
