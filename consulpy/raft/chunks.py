"""Reassembly of commands that were too large for one entry (go-raftchunking, docs/wire/raft.md 19).

`extensions` of each part is a protobuf: 1 = number of the operation, 2 = number of the part, 3 = how many there are.
"""

from typing import Final

from consulpy.codec.protobuf import fields
from consulpy.errors import WireError
from consulpy.raft.messages import LogEntry

#: Parts of one command that are accepted: 512 KiB each.
PARTS_LIMIT = 1024
#: How the extensions of a checkpoint begin by which newer servers compare their logs (raft-wal, Consul 1.15): no part.
CHECKPOINT: Final = (0xAFD1_F9D6_0392_A503).to_bytes(8, "little")


class Chunks:
    """Parts that wait for the rest of their command. Parts of an older term are given up."""

    def __init__(self) -> None:
        self._term = 0
        self._parts: dict[int, dict[int, bytes]] = {}

    def add(self, entry: LogEntry) -> bytes | None:
        """The whole command if this was its last part. Raises `WireError`."""
        part = _varints(entry.extensions or b"")
        operation, number, count = part.get(1, 0), part.get(2, 0), part.get(3, 0)
        if not 0 <= number < count <= PARTS_LIMIT:
            raise WireError(f"part {number} of {count}")
        if entry.term != self._term:
            self._term = entry.term
            self._parts.clear()
        parts = self._parts.setdefault(operation, {})
        parts[number] = entry.data or b""
        if len(parts) < count:
            return None
        del self._parts[operation]
        return b"".join(parts[each] for each in range(count))


def _varints(data: bytes) -> dict[int, int]:
    """The varint fields of a protobuf message. Raises `WireError` for other ones."""
    found: dict[int, int] = {}
    for number, value in fields(data):
        if not isinstance(value, int):
            raise WireError(f"extensions of an entry have another field {number}")
        found[number] = value
    return found
