"""Transmit-limited broadcast queue: each message is gossiped a limited number of times, the least transmitted first.

A newer message of the same name invalidates an older one. Serf has three such queues, with unnamed messages. Source:
docs/wire/gossip.md 5.7; tests/vectors/gossip/timers.json.
"""

import math
from bisect import bisect_left, insort
from collections.abc import Callable
from dataclasses import field
from operator import attrgetter
from typing import Final

from consulpy.codec.lazy_dataclass import dataclass

#: Maximum entries in a queue; above it the most transmitted are dropped.
DEPTH_MAX: Final = 4096


def retransmit_limit(mult: int, nodes: int) -> int:
    """Maximum transmissions of a broadcast: mult * ceil(log10(nodes + 1))."""
    return mult * math.ceil(math.log10(nodes + 1))


@dataclass(slots=True, eq=False)
class Broadcast:
    """A queued message. `finished` is called when it reached the transmit limit, was invalidated, or was dropped."""

    message: bytes
    name: str
    finished: Callable[[], None] | None
    id: int
    transmits: int = 0
    #: Sort key among entries with as many transmissions: the longest first, then the newest.
    place: tuple[int, int] = field(init=False)

    def __post_init__(self) -> None:
        self.place = (-len(self.message), -self.id)

    def _finish(self) -> None:
        finished, self.finished = self.finished, None
        if finished is not None:
            finished()


_place = attrgetter("place")


class BroadcastQueue:
    """A queue of messages to gossip. `nodes()`: the number of members, which sets the transmit limit.

    `queued()` is called after each new entry.
    """

    def __init__(
        self,
        retransmit_mult: int,
        nodes: Callable[[], int],
        *,
        queued: Callable[[], None] = lambda: None,
        depth_max: int = DEPTH_MAX,
    ) -> None:
        self._mult = retransmit_mult
        self._nodes = nodes
        self._queued = queued
        self.depth_max = depth_max
        #: Entries by number of transmissions, each list sorted by `Broadcast.place`.
        self._buckets: dict[int, list[Broadcast]] = {}
        self._by_name: dict[str, Broadcast] = {}
        self._next_id = 1
        self._size = 0
        #: Number of entries dropped because the queue was full.
        self.dropped = 0

    def __len__(self) -> int:
        return self._size

    def queue(self, message: bytes, name: str = "", finished: Callable[[], None] | None = None) -> None:
        """Queue a message. A non-empty `name` invalidates the entry queued under it."""
        assert message, "an empty message crashes real peers"
        entry = Broadcast(message, name, finished, self._next_id)
        self._next_id += 1
        if name:
            self.drop(name)
            self._by_name[name] = entry
        self._insert(entry)
        if self._size > self.depth_max:
            self.prune(self.depth_max)
        self._queued()

    def drop(self, name: str) -> None:
        """Remove the entry queued under `name`."""
        old = self._by_name.pop(name, None)
        if old is None:
            return
        bucket = self._buckets[old.transmits]
        del bucket[bisect_left(bucket, old.place, key=_place)]
        self._entry_removed(old.transmits, bucket)
        old._finish()

    def get(self, overhead: int, limit: int) -> list[bytes]:
        """Messages for one packet: each costs its length plus `overhead`, together at most `limit` bytes.

        Each returned message counts as transmitted.
        """
        if not self._size:
            return []
        picked: list[Broadcast] = []
        for transmits in sorted(self._buckets):
            bucket, at = self._buckets[transmits], 0
            while limit > overhead:
                at = bisect_left(bucket, (overhead - limit, -self._next_id), at, key=_place)
                if at == len(bucket):
                    break
                entry = bucket.pop(at)
                limit -= overhead + len(entry.message)
                picked.append(entry)
                self._entry_removed(transmits, bucket)
        most = retransmit_limit(self._mult, self._nodes()) if picked else 0
        for entry in picked:
            entry.transmits += 1
            if entry.transmits >= most:
                self._finish_entry(entry)
            else:
                self._insert(entry)
        return [entry.message for entry in picked]

    def prune(self, depth: int) -> int:
        """Keep the `depth` least transmitted entries; the number dropped."""
        gone: list[Broadcast] = []
        for transmits in sorted(self._buckets, reverse=True):
            bucket = self._buckets[transmits]
            while bucket and self._size > depth:
                gone.append(bucket.pop())
                self._entry_removed(transmits, bucket)
        for entry in gone:
            self._finish_entry(entry)
        self.dropped += len(gone)
        return len(gone)

    def clear(self) -> None:
        """Drop all entries."""
        self.prune(0)

    def _insert(self, entry: Broadcast) -> None:
        insort(self._buckets.setdefault(entry.transmits, []), entry, key=_place)
        self._size += 1

    def _entry_removed(self, transmits: int, bucket: list[Broadcast]) -> None:
        self._size -= 1
        if not bucket:
            del self._buckets[transmits]

    def _finish_entry(self, entry: Broadcast) -> None:
        if self._by_name.get(entry.name) is entry:
            del self._by_name[entry.name]
        entry._finish()
