"""The body of an answer to an HTTP check: its end is kept, and it is not read without end.

Source: Go's HTTP client undoes gzip where it has asked for it; what is wrong with a body is no matter of the status.
"""

import zlib
from typing import Final

from consulpy.checks.result import Tail

#: A longer body is not read further, in bytes: as if it had ended there.
BODY_MAX_BYTES: Final = 16 << 20
#: How much is unpacked at a time, in bytes.
_STEP_BYTES: Final = 65536


class BodyTail:
    """Takes the parts of a body into `tail`. `gzip`: whether they are packed."""

    def __init__(self, tail: Tail, *, gzip: bool = False) -> None:
        self.tail = tail
        self._taken = 0
        self._unpacking = zlib.decompressobj(16 + zlib.MAX_WBITS) if gzip else None

    def write(self, data: bytes) -> bool:
        """Take more; False if no more is wanted."""
        self._taken += len(data)
        if self._unpacking is None:
            self.tail.write(data)
        elif not self._unpack(data):
            return False
        return max(self._taken, self.tail.total) < BODY_MAX_BYTES

    def _unpack(self, data: bytes) -> bool:
        assert self._unpacking is not None
        try:
            while data and self.tail.total < BODY_MAX_BYTES:
                self.tail.write(self._unpacking.decompress(data, _STEP_BYTES))
                data = self._unpacking.unconsumed_tail
        except zlib.error:
            return False
        return not self._unpacking.eof
