"""Packets that are refused by their header alone: the answer's header, as real Consul 1.8.7 sends it."""

import struct

import pytest

from consulpy.dns.wire import Malformed, decode

QUESTION = b"\3web\7service\6consul\0\0\1\0\1"


@pytest.mark.parametrize(
    ("flags", "questions", "answer"),
    [
        (0x0000, 0, "000780010000000000000000"),
        (0x0000, 2, "000780010000000000000000"),
        (0x0130, 0, "000781310000000000000000"),
        (0x0130, 2, "000781310000000000000000"),
        (0x07F0, 2, "000783b10000000000000000"),
        (0x2100, 2, "000781010000000000000000"),
        (0x27FF, 0, "000783b10000000000000000"),
        (0x2800, 1, "0007a8040000000000000000"),
        (0x2BF0, 1, "0007abb40000000000000000"),
        (0x0FFF, 1, "00078bb40000000000000000"),
        (0x7930, 2, "0007f9340000000000000000"),
    ],
)
def test_the_flags_of_the_question_are_repeated(flags: int, questions: int, answer: str) -> None:
    with pytest.raises(Malformed) as refused:
        decode(struct.pack("!6H", 7, flags, questions, 0, 0, 0) + QUESTION * questions)
    assert refused.value.reply.hex() == answer
