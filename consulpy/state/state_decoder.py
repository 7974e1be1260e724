"""A `state.bin` that comes in pieces: a msgpack map `{LastIndex}`, then records of `u8 type` and a msgpack value.

Types are below 128, which msgpack reads as integers: the whole file is one stream of values.
"""

from typing import Any, Final

import msgpack

from consulpy.codec.msgpack import extension
from consulpy.errors import WireError

#: The largest record, in bytes.
RECORD_LIMIT: Final = 64 << 20
#: What the decoder sets aside for its input at first, in bytes.
_READ_SIZE: Final = 1 << 14


class StateDecoder:
    """Splits the pieces into records. Its memory is that of one piece and one record."""

    def __init__(self) -> None:
        self._unpacker = msgpack.Unpacker(
            raw=True, strict_map_key=False, ext_hook=extension, read_size=_READ_SIZE, max_buffer_size=RECORD_LIMIT
        )
        self._has_header = False
        self._has_type = False
        self._pending = bytearray()  # from the beginning of the unfinished record on
        self._offset = 0  # of that beginning
        #: Records so far.
        self.count = 0

    def feed(self, piece: bytes) -> None:
        """Add bytes of the file. Raises `WireError` for a record beyond `RECORD_LIMIT`."""
        self._pending += piece
        try:
            self._unpacker.feed(piece)
        except msgpack.BufferFull:
            raise self._damaged(f"it has more than {RECORD_LIMIT} bytes") from None

    def next(self) -> tuple[bytes, Any] | None:
        """The next record whole, and its value decoded; None if more is needed. Raises `WireError`."""
        try:
            if not self._has_header:
                if not isinstance(self._unpacker.unpack(), dict):
                    raise self._damaged("no header")
                self._has_header = True
                self._take()
            if not self._has_type:
                if self._pending and self._pending[0] >= 128:
                    raise self._damaged(f"unknown type {self._pending[0]}")
                self._unpacker.unpack()
                self._has_type = True
            value = self._unpacker.unpack()
        except msgpack.OutOfData:
            return None
        except (ValueError, TypeError, RecursionError, MemoryError, msgpack.UnpackException) as error:
            raise self._damaged(str(error) or type(error).__name__) from None
        self._has_type = False
        self.count += 1
        return self._take(), value

    def end(self) -> None:
        """The file ends here. Raises `WireError` if a record, or the header, is cut short."""
        if self._pending or not self._has_header:
            raise self._damaged("it is cut short")

    def _take(self) -> bytes:
        size = self._unpacker.tell() - self._offset
        taken = bytes(self._pending[:size])
        del self._pending[:size]
        self._offset += size
        return taken

    def _damaged(self, why: str) -> WireError:
        return WireError(f"record {self.count} of state.bin is damaged: {why}")
