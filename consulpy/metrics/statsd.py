"""StatsD lines and their dialects, buffered into packets. Pure: the owner of a socket calls `flush`.

`name:value|c`, `|g`, `|ms`: the format that statsd, statsite and DogStatsD share; DogStatsD adds `|#tag:value,...`, for
others labels are parts of the name, as in Consul's sinks.
"""

import re
from collections.abc import Sequence
from typing import Final

from consulpy.metrics.registry import Labels

#: Maximum bytes of a datagram: fits into any Ethernet frame.
PACKET_BYTES: Final = 1432
#: Maximum buffered lines; more are dropped.
LINES_MAX: Final = 8192

_NOT_IN_NAMES: Final = re.compile(r"[:|@\s#,]")


class StatsdLines:
    """A sink of `consulpy.metrics.registry.Registry`.

    `tagged`: write DogStatsD's tags, with `tags` ("name:value") on every line.
    """

    def __init__(self, *, tagged: bool = False, tags: Sequence[str] = ()) -> None:
        self._tagged = tagged
        self._tags = tuple(tags)
        self._lines: list[bytes] = []
        #: Number of lines dropped.
        self.dropped = 0

    def add(self, kind: str, name: str, labels: Labels, value: float) -> None:
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
        """Remove all lines from the buffer, joined into packets of at most `PACKET_BYTES` (a longer
        line is a packet).
        """
        lines, self._lines = self._lines, []
        packets: list[bytes] = []
        gathered = b""
        for line in lines:
            if gathered and len(gathered) + len(line) + 1 > PACKET_BYTES:
                packets.append(gathered)
                gathered = b""
            gathered += line + b"\n"
        return [*packets, gathered] if gathered else packets
