"""Framing common to both ends of Raft's connections (docs/wire/raft.md 1): first byte, limits, unpacker.

Bytes are bounded by what a real leader may send: 64 values of 512 kB in one request, 128 requests without an answer.
"""

from typing import Any, Final

import msgpack

from consulpy.codec.msgpack import extension

#: The first byte of a connection.
RAFT_BYTE: Final = b"\x01"
#: Maximum size of a request or answer, in bytes.
MESSAGE_LIMIT: Final = 64 << 20
#: How long a call may take; sending a state may take as long for each `STATE_CHUNK` bytes.
CALL_TIMEOUT_S: Final = 10.0
STATE_CHUNK: Final = 256 << 10
#: Initial buffer of an unpacker, in bytes; its default is a whole MiB.
_READ_SIZE: Final = 1 << 14


#: Maximum entries of a request (real servers send 64), and fields of a map.
ENTRIES_MAX: Final = 1 << 14
_FIELDS_MAX: Final = 64
#: Maximum maps and lists of one message: each entry is one map, all in one list.
_MAPS_MAX: Final = ENTRIES_MAX + 16
_LISTS_MAX: Final = 16


class _Containers:
    """Counts the maps and lists of one message: as objects they take a hundred times the memory of their bytes."""

    def __init__(self) -> None:
        self.maps = self.lists = 0

    def of_map(self, found: Any) -> Any:
        self.maps += 1
        if self.maps > _MAPS_MAX:
            raise ValueError(f"more than {_MAPS_MAX} maps in one message")
        return found

    def of_list(self, found: Any) -> Any:
        self.lists += 1
        if self.lists > _LISTS_MAX:
            raise ValueError(f"more than {_LISTS_MAX} lists in one message")
        return found


class RaftUnpacker:
    """Unpacks one direction of a connection. `finished`: bytes of all values that were returned."""

    def __init__(self) -> None:
        self._containers = _Containers()
        self._unpacker = msgpack.Unpacker(
            raw=True,
            strict_map_key=False,
            ext_hook=extension,
            object_hook=self._containers.of_map,
            list_hook=self._containers.of_list,
            read_size=_READ_SIZE,
            max_buffer_size=MESSAGE_LIMIT + STATE_CHUNK,
            max_array_len=ENTRIES_MAX,
            max_map_len=_FIELDS_MAX,
        )
        self.feed = self._unpacker.feed
        self.finished = 0

    def unpack(self) -> Any:
        """The next value. Raises what `msgpack.Unpacker.unpack` raises, and `ValueError` for one above a limit."""
        value = self._unpacker.unpack()
        self._containers.maps = self._containers.lists = 0
        self.finished = self._unpacker.tell()
        return value

    def read_bytes(self, count: int) -> bytes:
        """Up to `count` bytes that are no value."""
        found: bytes = self._unpacker.read_bytes(count)
        self.finished += len(found)
        return found
