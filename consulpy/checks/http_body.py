"""The body of an HTTP check's response: its last bytes are stored, and its size is limited.

As Go's HTTP client: gzip is decoded where it was requested; a malformed body does not change the status.
"""

import zlib
from typing import Any, Final

from consulpy.checks.result import Tail

#: Bytes after which a body is not read further.
BODY_MAX_BYTES: Final = 16 << 20
#: Bytes decompressed at a time.
_STEP_BYTES: Final = 65536


class BodyTail:
    """Writes a body to `tail`. `gzip`: whether it is compressed, in one member or several (RFC 1952, 2.2)."""

    def __init__(self, tail: Tail, *, gzip: bool = False) -> None:
        self.tail = tail
        self._received = 0
        self._decompressor = _member() if gzip else None

    def write(self, data: bytes) -> bool:
        """Write the next part; False if no more is needed."""
        self._received += len(data)
        if self._decompressor is None:
            self.tail.write(data)
        elif not self._decompress(data):
            return False
        return max(self._received, self.tail.total) < BODY_MAX_BYTES

    def _decompress(self, data: bytes) -> bool:
        """Whether what follows can be decoded."""
        assert self._decompressor is not None
        while data and self.tail.total < BODY_MAX_BYTES:
            if self._decompressor.eof:
                self._decompressor = _member()
            try:
                self.tail.write(self._decompressor.decompress(data, _STEP_BYTES))
            except zlib.error:
                return False
            data = self._decompressor.unconsumed_tail or self._decompressor.unused_data
        return True


def _member() -> Any:
    return zlib.decompressobj(16 + zlib.MAX_WBITS)
