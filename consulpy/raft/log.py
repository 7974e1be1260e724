"""The log as the machine sees it: the terms of all its entries, and the newest entries themselves.

Terms are stored as runs, so that a long log costs little; entries beyond `cache_bytes` are read back from storage.
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

from consulpy.raft.messages import LogEntry

#: Size of the entries that stay in memory, in bytes; older ones that are durable are read from storage.
CACHE_BYTES: Final = 8 << 20
#: Memory of an entry beside its data, in bytes.
ENTRY_BYTES: Final = 200


class RaftLog:
    """Entries `first_index`..`last_entry` after a snapshot. Indexes begin at 1; 0 stands before all entries."""

    def __init__(self, cache_bytes: int = CACHE_BYTES) -> None:
        #: The newest snapshot: the last index and term that it contains.
        self.snapshot_index = 0
        self.snapshot_term = 0
        self.first_index = 1
        self.last_entry = 0
        self._runs: list[tuple[int, int]] = []  # (first index, term)
        self._cache: list[LogEntry] = []
        self._sizes: list[int] = []  # of each entry of the cache
        self._cache_start = 1  # index of the first entry of the cache
        self._evicted = 0  # entries at the head of `_cache` that are gone
        self._cache_size = 0
        self._cache_bytes = cache_bytes

    @property
    def last_index(self) -> int:
        """The last index of the log or the snapshot."""
        return self.last_entry if self.last_entry > self.snapshot_index else self.snapshot_index

    @property
    def last_term(self) -> int:
        """The term at `last_index`."""
        return self.term(self.last_index) or 0

    def term(self, index: int) -> int | None:
        """The term of the entry at `index`; None if that is not known here."""
        if index == 0:
            return 0
        if self.first_index <= index <= self.last_entry:
            return self._runs[bisect_right(self._runs, index, key=_first) - 1][1]
        return self.snapshot_term if index == self.snapshot_index else None

    def append(self, entries: Sequence[LogEntry]) -> None:
        """Add entries that follow the last one without a gap."""
        if entries:
            assert entries[0].index == self.last_index + 1, f"entry {entries[0].index} does not follow"
            self._append(entries)

    def _append(self, entries: Sequence[LogEntry]) -> None:
        index = self.last_entry
        if index < self.first_index:  # the log was empty
            self.first_index = self._cache_start = index + 1
            self._cache, self._sizes, self._evicted, self._runs = [], [], 0, []
        runs = self._runs
        term = runs[-1][1] if runs else None
        for entry in entries:
            index += 1
            assert entry.index == index, f"entry {entry.index} does not follow {index - 1}"
            if entry.term != term:
                term = entry.term
                runs.append((index, term))
        sizes = [_size(entry) for entry in entries]
        self._cache_size += sum(sizes)
        self._cache += entries
        self._sizes += sizes
        self.last_entry = index

    def append_stored(self, entry: LogEntry) -> None:
        """Add an entry that was found in storage; the first one may be older than the snapshot.

        So may some that a snapshot overtook before the entries between were stored: they are dropped.
        """
        if self.last_entry + 1 != entry.index == self.snapshot_index + 1:
            self.reset(self.snapshot_index, self.snapshot_term)
        if self.last_entry < self.first_index:
            self.last_entry = entry.index - 1
        self._append([entry])

    def truncate(self, index: int) -> None:
        """Drop the entries from `index` on."""
        index = max(index, self.first_index)
        while self._runs and self._runs[-1][0] >= index:
            self._runs.pop()
        length = max(index - self._cache_start, 0) + self._evicted
        self._cache_size -= sum(self._sizes[length:])
        del self._cache[length:], self._sizes[length:]
        self._cache_start = min(self._cache_start, index)
        self.last_entry = index - 1
        if not self._runs:
            self.reset(self.snapshot_index, self.snapshot_term)

    def reset(self, snapshot_index: int, snapshot_term: int) -> None:
        """Drop all entries: the log begins after this snapshot."""
        self.snapshot_index, self.snapshot_term = snapshot_index, snapshot_term
        self._cache, self._sizes, self._runs, self._evicted, self._cache_size = [], [], [], 0, 0
        self.first_index = self._cache_start = snapshot_index + 1
        self.last_entry = snapshot_index

    def compact(self, snapshot_index: int, snapshot_term: int, keep_from: int) -> None:
        """A snapshot was taken: drop the entries before `keep_from`, which may not be beyond the snapshot's end."""
        self.snapshot_index, self.snapshot_term = snapshot_index, snapshot_term
        keep_from = min(keep_from, snapshot_index + 1)
        if keep_from > self.last_entry:
            self.reset(snapshot_index, snapshot_term)
        elif keep_from > self.first_index:
            self._drop_cached(keep_from)
            term = self.term(keep_from) or 0
            self._runs = [(keep_from, term)] + [run for run in self._runs if run[0] > keep_from]
            self.first_index = keep_from

    def cached(self, first: int, most_entries: int, most_bytes: int) -> list[LogEntry] | None:
        """Entries from `first` on, at least one; empty at the end of the log; None if they are in storage only."""
        if first > self.last_entry:
            return []
        if first < self._cache_start:
            return None
        start = first - self._cache_start + self._evicted
        sizes = self._sizes[start : start + most_entries]
        if sum(sizes) > most_bytes:
            most_entries = max(bisect_right(list(accumulate(sizes)), most_bytes), 1)
        return self._cache[start : start + most_entries]

    def stored_count(self, first: int) -> int:
        """Number of entries from `first` on that are in storage only. More may wait to be truncated or written."""
        return self._cache_start - first

    def evict(self, durable_index: int) -> None:
        """Evict the oldest entries beyond the size limit, if they are durable."""
        if self._cache_size <= self._cache_bytes:
            return
        size, start, last = self._cache_size, self._cache_start, min(durable_index, self.last_entry)
        position = self._evicted
        while size > self._cache_bytes and start <= last:
            size -= self._sizes[position]
            position += 1
            start += 1
        self._drop_cached(start)

    def _drop_cached(self, before: int) -> None:
        kept = min(self._evicted + max(before - self._cache_start, 0), len(self._cache))
        self._cache_size -= sum(self._sizes[self._evicted : kept])
        self._evicted = kept
        self._cache_start = max(self._cache_start, before)
        if self._evicted > 1024 or self._evicted == len(self._cache):
            del self._cache[: self._evicted], self._sizes[: self._evicted]
            self._evicted = 0


def _first(run: tuple[int, int]) -> int:
    return run[0]


def _size(entry: LogEntry) -> int:
    data, extensions = entry.data, entry.extensions
    return ENTRY_BYTES + (len(data) if data else 0) + (len(extensions) if extensions else 0)
