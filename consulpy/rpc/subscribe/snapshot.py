"""A snapshot of a feed: its events in parts, made when the first subscriber can take them and shared by all."""

from collections.abc import Iterator
from typing import Final

from consulpy.rpc.grpc.framing import framed
from consulpy.rpc.subscribe.instance_message import encode_instance
from consulpy.rpc.subscribe.messages import Op, end_of_snapshot, health_event, new_snapshot_to_follow
from consulpy.structs.service import CheckServiceNode

#: Bytes of one part: about what one frame of HTTP/2 takes.
PART_BYTES: Final = 16 * 1024


class Row:
    """An instance, encoded when it is first needed."""

    __slots__ = ("_encoded", "instance")

    def __init__(self, instance: CheckServiceNode) -> None:
        self.instance = instance
        self._encoded = b""

    def encoded(self) -> bytes:
        """See `encode_instance`."""
        if not self._encoded:
            self._encoded = encode_instance(self.instance)
        return self._encoded

    def is_same(self, other: CheckServiceNode) -> bool:
        """Whether it is of the same objects of the state, which never change, or equal to it."""
        one = self.instance
        left, right = one.checks or (), other.checks or ()
        is_identical = (
            one.node is other.node
            and one.service is other.service
            and len(left) == len(right)
            and all(a is b for a, b in zip(left, right, strict=True))
        )
        return is_identical or one == other


class Snapshot:
    """The instances at one index."""

    def __init__(self, index: int, rows: list[Row]) -> None:
        self._index = index
        self._rows = rows
        self._next = 0
        self._is_whole = False
        self._parts: list[bytes] = []

    def parts(self, *, is_another: bool) -> Iterator[bytes]:
        """Its framed events; `is_another`: the subscriber must forget the state that it has."""
        if is_another:
            yield framed(new_snapshot_to_follow())
        at = 0
        while at < len(self._parts) or self._make():
            yield self._parts[at]
            at += 1

    def __len__(self) -> int:
        """Number of instances."""
        return len(self._rows)

    def _make(self) -> bool:
        """Make the next part; False if there are no more."""
        if self._is_whole:
            return False
        events: list[bytes] = []
        size = 0
        while self._next < len(self._rows) and size < PART_BYTES:
            events.append(framed(health_event(self._index, Op.REGISTER, self._rows[self._next].encoded())))
            size += len(events[-1])
            self._next += 1
        if self._next == len(self._rows):
            self._is_whole = True
            events.append(framed(end_of_snapshot(self._index)))
        self._parts.append(b"".join(events))
        return True
