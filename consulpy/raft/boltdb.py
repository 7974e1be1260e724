"""Reads a real server's `raft.db` (BoltDB): its term, its vote, and its log (docs/wire/raft.md 20).

    page     u64 id, u16 flags, u16 count, u32 overflow, elements; little endian
    meta     (flags 4) u32 magic, u32 version, u32 page size, u32 flags, u64 root page, u64 sequence, u64 freelist,
             u64 pages, u64 transaction, u64 FNV-1a of what stands before; the newer of the first two pages counts
    branch   (1) elements u32 position, u32 key size, u64 page
    leaf     (2) elements u32 flags, u32 position, u32 key size, u32 value size; flag 1: the value is a bucket, u64 root
             page and u64 sequence, with an inline page behind it if the root is 0

Positions count from their element. Buckets: `conf` (CurrentTerm, LastVoteTerm, LastVoteCand) and `logs` (u64 big endian
index: msgpack entry).
"""

import struct
from collections.abc import Iterator
from typing import Final

from consulpy.codec.msgpack import text
from consulpy.errors import WireError
from consulpy.raft.messages import LogEntry
from consulpy.raft.storage import HardState

_HEADER: Final = struct.Struct("<QHHI")
_META: Final = struct.Struct("<IIIIQQQQQQ")
_BRANCH: Final = struct.Struct("<IIQ")
_LEAF: Final = struct.Struct("<IIII")
_BUCKET: Final = struct.Struct("<QQ")
_MAGIC: Final = 0xED0CDAED
_VERSION: Final = 2
_IS_BRANCH, _IS_LEAF, _IS_META = 1, 2, 4
_IS_BUCKET: Final = 1
#: Maximum depth of a tree: a deeper one has a cycle.
_DEPTH_LIMIT: Final = 32


class BoltFile:
    """The bytes of a whole file. Raises `WireError` for a file that is no BoltDB, or damaged."""

    def __init__(self, data: bytes | memoryview) -> None:
        self._data = memoryview(data)
        metas = [meta for offset in self._meta_offsets() if (meta := self._meta(offset)) is not None]
        if not metas:
            raise WireError("no BoltDB file, or both of its meta pages are damaged")
        _, self._page_size, self._root = max(metas)
        #: Pages that may still be visited: each belongs to one place, unless the file is damaged.
        self._pages_left = 2 * len(self._data) // self._page_size

    def bucket(self, name: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Keys and values of a bucket, in order. Raises `WireError` if there is none of this name."""
        self._pages_left = 2 * len(self._data) // self._page_size
        known = False
        for flags, key, value in self._walk(self._root, 0):
            if key == name and flags & _IS_BUCKET:
                if len(value) < _BUCKET.size:
                    raise WireError("a bucket of BoltDB is cut short")
                known = True
                root, _ = _BUCKET.unpack_from(value)
                inside = self._walk(root, 0) if root else self._elements(value[_BUCKET.size :], 0)
                yield from ((bytes(inner), bytes(found)) for _, inner, found in inside)
        if not known:
            raise WireError(f"BoltDB has no bucket {name.decode()}")

    def _meta_offsets(self) -> list[int]:
        sizes = (1024, 2048, 4096, 8192, 16384, 32768, 65536)
        return [0, *sizes]

    def _meta(self, offset: int) -> tuple[int, int, int] | None:
        """(transaction, page size, root page) of a meta page that is whole."""
        start = offset + _HEADER.size
        if len(self._data) < start + _META.size:
            return None
        _, flags, _, _ = _HEADER.unpack_from(self._data, offset)
        magic, version, page_size, _, root, _, _, _, transaction, checksum = _META.unpack_from(self._data, start)
        if not flags & _IS_META or magic != _MAGIC or version != _VERSION or offset not in (0, page_size):
            return None
        return (transaction, page_size, root) if checksum == _fnv1a(self._data[start : start + 56]) else None

    def _walk(self, page: int, depth: int) -> Iterator[tuple[int, memoryview, memoryview]]:
        offset = page * self._page_size
        self._pages_left -= 1
        if self._pages_left < 0:
            raise WireError("the pages of BoltDB go in circles")
        if depth > _DEPTH_LIMIT or len(self._data) < offset + _HEADER.size:
            raise WireError(f"page {page} of BoltDB is beyond the end of the file")
        found, kind, count, _ = _HEADER.unpack_from(self._data, offset)
        if found != page or kind not in (_IS_BRANCH, _IS_LEAF) or (kind == _IS_BRANCH and not count):
            raise WireError(f"page {page} of BoltDB is damaged")
        return self._elements(self._data[offset:], depth)

    def _elements(self, page: memoryview, depth: int) -> Iterator[tuple[int, memoryview, memoryview]]:
        """(flags, key, value) of the leaves below a page."""
        try:
            _, kind, count, _ = _HEADER.unpack_from(page)
            for number in range(count):
                at = _HEADER.size + 16 * number
                if kind & _IS_BRANCH:
                    _, _, child = _BRANCH.unpack_from(page, at)
                    yield from self._walk(child, depth + 1)
                elif kind & _IS_LEAF:
                    flags, position, key_size, value_size = _LEAF.unpack_from(page, at)
                    start = at + position
                    middle, end = start + key_size, start + key_size + value_size
                    if end > len(page):
                        raise WireError("an element of BoltDB is beyond the end of the file")
                    yield flags, page[start:middle], page[middle:end]
                else:
                    raise WireError(f"a page of BoltDB has the unknown flags {kind}")
        except struct.error:
            raise WireError("a page of BoltDB is cut short") from None


def read_raft_db(data: bytes | memoryview) -> tuple[HardState, list[LogEntry]]:
    """Term and vote, and the entries of the log after its last gap. Raises `WireError`."""
    file = BoltFile(data)
    conf = dict(file.bucket(b"conf"))
    entries: list[LogEntry] = []
    for key, value in file.bucket(b"logs"):
        entry = LogEntry.unpack(value)
        if len(key) != 8 or entry.index != int.from_bytes(key, "big"):
            raise WireError("an entry of the log stands under another index")
        if entries and entry.index != entries[-1].index + 1:  # a snapshot was put in the place of those before
            entries = []
        entries.append(entry)
    hard = HardState(
        int.from_bytes(conf.get(b"CurrentTerm", b""), "big"),
        int.from_bytes(conf.get(b"LastVoteTerm", b""), "big"),
        text(conf.get(b"LastVoteCand", b"")),
    )
    if any(entry.term > hard.term for entry in entries):
        raise WireError(f"the log has entries after the current term {hard.term}")
    return hard, entries


def _fnv1a(data: memoryview) -> int:
    value = 0xCBF29CE484222325
    for byte in data:
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value
