"""The queue of what is to be gossiped: each entry is sent a limited number of times, the least sent first.

A newer entry of the same name replaces an older one. Serf has three such queues, where every entry is unique.
Source: docs/wire/gossip.md 5.7; tests/vectors/gossip/timers.json.
"""

import math
from bisect import insort
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

#: Entries that a queue holds at most; then the most transmitted go.
DEPTH_MAX: Final = 4096


def retransmit_limit(mult: int, nodes: int) -> int:
    """How often a broadcast is sent: mult * ceil(log10(nodes + 1))."""
    return mult * math.ceil(math.log10(nodes + 1))


@dataclass(slots=True, eq=False)
class Broadcast:
    """One message in the queue. `finished` is called when it was sent often enough, replaced, or dropped."""

    message: bytes
    name: str = ""
    finished: Callable[[], None] | None = None
    transmits: int = 0
    id: int = field(default=0)

    def order(self) -> tuple[int, int, int]:
        """Fewest transmits first, then the longest, then the newest."""
        return (self.transmits, -len(self.message), -self.id)

    def _finish(self) -> None:
        finished, self.finished = self.finished, None
        if finished is not None:
            finished()


class BroadcastQueue:
    """What is to be gossiped. `nodes()`: how many members there are, which sets how often each entry is sent."""

    def __init__(self, retransmit_mult: int, nodes: Callable[[], int], *, depth_max: int = DEPTH_MAX) -> None:
        self._mult = retransmit_mult
        self._nodes = nodes
        self.depth_max = depth_max
        self._entries: list[Broadcast] = []
        self._by_name: dict[str, Broadcast] = {}
        self._next_id = 1
        #: Entries that were dropped because the queue was full.
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._entries)

    def queue(self, message: bytes, name: str = "", finished: Callable[[], None] | None = None) -> None:
        """Gossip `message` from now on. A `name` that is not empty replaces what was queued under it."""
        assert message, "an empty message crashes real peers"
        entry = Broadcast(message, name, finished, id=self._next_id)
        self._next_id += 1
        if name:
            self.drop(name)
            self._by_name[name] = entry
        insort(self._entries, entry, key=Broadcast.order)
        if len(self._entries) > self.depth_max:
            self.prune(self.depth_max)

    def drop(self, name: str) -> None:
        """Forget what is queued under `name`."""
        old = self._by_name.pop(name, None)
        if old is not None:
            self._entries.remove(old)
            old._finish()

    def get(self, overhead: int, limit: int) -> list[bytes]:
        """Messages for one packet: each costs its length plus `overhead`, all together at most `limit` bytes.

        Each picked one counts as transmitted, whatever becomes of the packet.
        """
        if not self._entries:
            return []
        picked: list[Broadcast] = []
        kept: list[Broadcast] = []
        for entry in self._entries:
            cost = overhead + len(entry.message)
            if cost <= limit:
                limit -= cost
                picked.append(entry)
            else:
                kept.append(entry)
        if not picked:
            return []
        self._entries = kept
        most = retransmit_limit(self._mult, self._nodes())
        for entry in picked:
            entry.transmits += 1
            if entry.transmits >= most:
                if self._by_name.get(entry.name) is entry:
                    del self._by_name[entry.name]
                entry._finish()
            else:
                insort(self._entries, entry, key=Broadcast.order)
        return [entry.message for entry in picked]

    def prune(self, depth: int) -> int:
        """Keep the `depth` entries that were sent least; how many were dropped."""
        gone = self._entries[depth:]
        del self._entries[depth:]
        for entry in gone:
            if self._by_name.get(entry.name) is entry:
                del self._by_name[entry.name]
            entry._finish()
        self.dropped += len(gone)
        return len(gone)

    def clear(self) -> None:
        """Forget everything."""
        self.prune(0)
