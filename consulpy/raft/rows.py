"""Encoding of entries and metadata in the rows of the log file (`consulpy.raft.disk`)."""

from collections.abc import Iterator, Sequence
from typing import Final

from consulpy.codec.msgpack import pack, text, unpack
from consulpy.errors import WireError
from consulpy.raft.configuration import Configuration
from consulpy.raft.messages import COMMAND, LogEntry
from consulpy.raft.storage import HardState, SnapshotMeta
from consulpy.state.disk import UnreadableLog

#: Begins a row of entries with a term; neither a command nor a row of format 2 does.
_ROW: Final = b"\xfe"
#: The most entries of one row, so that cutting and reading never touches much.
_ROW_ENTRIES: Final = 512


def pack_meta(meta: SnapshotMeta) -> bytes:
    """Encode a snapshot's metadata as it is stored."""
    return pack([meta.index, meta.term, meta.configuration.pack(), meta.configuration_index])


def unpack_meta(data: bytes) -> SnapshotMeta:
    """The reverse. Raises `WireError` or `ValueError`."""
    index, term, configuration, configuration_index = unpack(data)
    return SnapshotMeta(index, term, Configuration.unpack(configuration), configuration_index)


def pack_hard_state(state: HardState) -> bytes:
    """Term and vote, as they are stored."""
    return pack([state.term, state.voted_term, state.voted_for])


def unpack_hard_state(data: bytes) -> HardState:
    """The reverse. Raises `WireError` or `ValueError`."""
    term, voted_term, voted_for = unpack(data)
    return HardState(term, voted_term, text(voted_for))


def rows_of(entries: Sequence[LogEntry]) -> Iterator[tuple[int, bytes]]:
    """Rows of entries of one term each: the index of the first, and the row."""
    start = 0
    while start < len(entries):
        end, term = min(start + _ROW_ENTRIES, len(entries)), entries[start].term
        while entries[end - 1].term != term:  # terms never fall
            end -= 1
        items = [
            entry.data
            if entry.type == COMMAND and entry.extensions is None and entry.data is not None
            else [entry.type, entry.data, entry.extensions]
            for entry in entries[start:end]
        ]
        yield entries[start].index, _ROW + pack([term, items])
        start = end


def entries_in(first: int, row: bytes) -> Iterator[LogEntry]:
    """The entries in a row. Raises `WireError`, or `UnreadableLog` for one of another format."""
    if not row.startswith(_ROW):
        raise UnreadableLog(f"the entries from {first} on have no term")
    raw = unpack(memoryview(row)[1:])
    if not isinstance(raw, list) or len(raw) != 2 or not isinstance(raw[1], list):
        raise WireError(f"the row of entries from {first} on is damaged")
    term, items = raw
    for number, item in enumerate(items):
        if isinstance(item, bytes):
            yield LogEntry(item, None, first + number, term, COMMAND)
        else:
            kind, data, extensions = item
            yield LogEntry(data, extensions, first + number, term, kind)
