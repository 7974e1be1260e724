"""Whether a packet is the reply to the question that a recursor was asked, and whole: nothing else is passed on.

A reply has the query's id and its question, byte by byte (RFC 5452 section 9.1; whoever copies another name, type or
class answers somebody else), and ends where its records end.
"""

import struct
from typing import Final

from consulpy.dns.wire import HEADER_SIZE

_HEADER: Final = struct.Struct("!HHHHHH")
_RECORD: Final = struct.Struct("!HHIH")
_RESPONSE, _OPCODE, _TRUNCATED = 0x8000, 0x7800, 0x0200
_QUESTION_TAIL_SIZE: Final = 4
_POINTER: Final = 0xC0


class _Unsound(Exception):
    """The packet ends within a record, or a name is none."""


def answers(query: bytes, reply: bytes) -> bool:
    """Whether `reply` claims to be the one to `query`, a packet with one question."""
    if len(reply) < HEADER_SIZE:
        return False
    asked, said = _HEADER.unpack_from(query), _HEADER.unpack_from(reply)
    if said[0] != asked[0] or not said[1] & _RESPONSE or (said[1] ^ asked[1]) & _OPCODE or said[2] != 1:
        return False
    try:
        end = _name_end(query, HEADER_SIZE) + _QUESTION_TAIL_SIZE
    except _Unsound:
        return False
    return reply[HEADER_SIZE:end] == query[HEADER_SIZE:end] and len(reply) >= end


def is_whole(reply: bytes) -> bool:
    """Whether a reply holds the records that it announces, and nothing behind them. One that was cut may hold fewer."""
    _, flags, questions, *counts = _HEADER.unpack_from(reply)
    at = HEADER_SIZE
    try:
        for _ in range(questions):
            at = _name_end(reply, at) + _QUESTION_TAIL_SIZE
        for _ in range(sum(counts)):
            if at == len(reply) and flags & _TRUNCATED:
                return True
            at = _name_end(reply, at)
            if at + _RECORD.size > len(reply):
                return False
            at += _RECORD.size + _RECORD.unpack_from(reply, at)[3]
    except _Unsound:
        return False
    return at == len(reply)


def _name_end(packet: bytes, at: int) -> int:
    """Where the name that begins at `at` ends. Raises `_Unsound`."""
    began = at
    while at < len(packet):
        size = packet[at]
        if size >= _POINTER:
            if at + 2 > len(packet) or not HEADER_SIZE <= (size & ~_POINTER) << 8 | packet[at + 1] < began:
                raise _Unsound
            return at + 2
        if size > 63 or at - began > 255:
            raise _Unsound
        at += 1 + size
        if not size:
            return at
    raise _Unsound
