"""Headers of yamux frames: 12 bytes, big endian (docs/wire/rpc.md 2).

version u8 = 0 | type u8 | flags u16 | stream u32 | length u32      then, for type Data only, `length` bytes
"""

from enum import IntEnum, IntFlag
from struct import Struct
from typing import Final

HEADER: Final = Struct(">BBHII")
VERSION: Final = 0


class Type(IntEnum):
    """Frame types."""

    DATA = 0
    WINDOW_UPDATE = 1
    PING = 2
    GO_AWAY = 3


class Flag(IntFlag):
    """Frame flags."""

    SYN = 1
    ACK = 2
    FIN = 4
    RST = 8


#: As plain numbers: `IntFlag` arithmetic costs microseconds on each frame.
SYN, ACK, FIN, RST = 1, 2, 4, 8


class Reason(IntEnum):
    """Reasons of a go-away."""

    NORMAL = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2


def frame(kind: int, flags: int, stream: int, length: int) -> bytes:
    """A frame's header."""
    return HEADER.pack(VERSION, kind, flags, stream, length)
