"""What both ends of Raft's connections share (docs/wire/raft.md 1): the first byte, limits, and the unpacker.

Bytes are bounded by what a real leader may send: 64 values of 512 kB in one request, 128 requests without an answer.
"""

from typing import Any, Final

import msgpack

from consulpy.codec.msgpack import extension

#: The first byte of a connection.
RAFT_BYTE: Final = b"\x01"
#: The largest request or answer, in bytes.
MESSAGE_LIMIT: Final = 64 << 20
#: How long a call may take; sending a state may take as long for each `STATE_CHUNK` bytes.
CALL_TIMEOUT_S: Final = 10.0
STATE_CHUNK: Final = 256 << 10
#: What an unpacker sets aside for its input at first, in bytes; a whole MiB unless it is told.
_READ_SIZE: Final = 1 << 14


def make_unpacker() -> Any:
    """For one direction of a connection."""
    size = MESSAGE_LIMIT + STATE_CHUNK
    return msgpack.Unpacker(
        raw=True, strict_map_key=False, ext_hook=extension, read_size=_READ_SIZE, max_buffer_size=size
    )
