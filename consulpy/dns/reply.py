"""Validation of a recursor's reply: nothing else is passed on to clients.

A reply has the id and the question of its query (RFC 5452 section 9.1), in whatever letter case, and ends with its last
record.
"""

import struct
from typing import Final

from consulpy.dns.wire import HEADER_SIZE

_HEADER: Final = struct.Struct("!HHHHHH")
_RECORD: Final = struct.Struct("!HHIH")
_RESPONSE, _OPCODE, _TRUNCATED = 0x8000, 0x7800, 0x0200
_QUESTION_TAIL_SIZE: Final = 4
_POINTER: Final = 0xC0


class _Malformed(Exception):
    """The packet ends within a record, or a name is not valid."""


def is_reply_to(query: bytes, reply: bytes) -> bool:
    """Whether `reply` has the id, opcode and question of `query`, a packet with one question."""
    if len(reply) < HEADER_SIZE:
        return False
    sent, received = _HEADER.unpack_from(query), _HEADER.unpack_from(reply)
    if received[0] != sent[0] or not received[1] & _RESPONSE:
        return False
    if (received[1] ^ sent[1]) & _OPCODE or received[2] != 1:
        return False
    try:
        end = _name_end(query, HEADER_SIZE)
    except _Malformed:
        return False
    if reply[HEADER_SIZE:end].lower() != query[HEADER_SIZE:end].lower():
        return False
    tail = slice(end, end + _QUESTION_TAIL_SIZE)
    return reply[tail] == query[tail] and len(reply) >= tail.stop


def is_complete(reply: bytes) -> bool:
    """Whether a reply holds the records that its header counts and nothing else; with the TC bit it may hold fewer."""
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
    except _Malformed:
        return False
    return at == len(reply)


def _name_end(packet: bytes, at: int) -> int:
    """The offset behind the name at `at`. Raises `_Malformed`."""
    began = at
    while at < len(packet):
        size = packet[at]
        if size >= _POINTER:
            if at + 2 > len(packet) or not HEADER_SIZE <= (size & ~_POINTER) << 8 | packet[at + 1] < began:
                raise _Malformed
            return at + 2
        if size > 63 or at - began > 255:
            raise _Malformed
        at += 1 + size
        if not size:
            return at
    raise _Malformed
