"""Packets to questions and answers to packets, with the records of `twisted.names`.

What twisted.names does not do as miekg's Go library (which Consul and its clients know), and so is done here:

- an SRV target is written in full, but what follows may point at it; twisted.names forgets it, and answers grow;
- twisted.names makes compression pointers beyond offset 16383, which can't be expressed;
- texts over 255 bytes are split; a client's payload size is echoed whatever it is;
- a label with a dot in it comes back as it came: the question is copied, not written anew.
"""

import struct
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, Final

from twisted.names import dns

from consulpy.errors import WireError

HEADER_SIZE: Final = 12
_HEADER: Final = struct.Struct("!6H")
_SRV_FIXED: Final = struct.Struct("!HHH")
_OPTION: Final = struct.Struct("!HH")
_POINTER_LIMIT: Final = 0x4000
_TEXT_LIMIT: Final = 255

_RESPONSE: Final = 0x8000
_AUTHORITATIVE: Final = 0x0400
_TRUNCATED: Final = 0x0200
_RECURSION_DESIRED: Final = 0x0100
_RECURSION_AVAILABLE: Final = 0x0080

_CLIENT_SUBNET: Final = 8
#: A UDP answer is never cut below this, whatever the client says.
_SMALLEST_UDP: Final = 512


@dataclass(slots=True)
class Edns:
    """What a client's OPT record said. `subnet`: the data of a client subnet option, or None."""

    payload_size: int
    subnet: bytes | None = None


@dataclass(slots=True)
class Question:
    """A packet that asks one thing. `name` in the letter case of the packet, without the last dot."""

    id: int
    opcode: int
    recursion_desired: bool
    name: str
    kind: int
    cls: int
    edns: Edns | None
    raw: bytes  # the question section as it came
    packet: bytes

    @property
    def largest_udp(self) -> int:
        """The largest answer over UDP that the client takes, in bytes."""
        return max(self.edns.payload_size, _SMALLEST_UDP) if self.edns is not None else _SMALLEST_UDP


@dataclass(slots=True)
class Answer:
    """What is answered. `edns`: whether an OPT record of the client is answered. `recursion`: the RA bit."""

    rcode: int = dns.OK
    authoritative: bool = True
    truncated: bool = False
    recursion: bool = False
    edns: bool = True
    subnet_scope: bool = False  # whether the answer holds for the client's subnet only
    answers: list[dns.RRHeader] = field(default_factory=list)
    authority: list[dns.RRHeader] = field(default_factory=list)
    additional: list[dns.RRHeader] = field(default_factory=list)


class Malformed(WireError):
    """A packet that is no proper question; `reply` is what its sender is told, b"" for nothing."""

    def __init__(self, text: str, reply: bytes = b"") -> None:
        super().__init__(text)
        self.reply = reply


def decode(packet: bytes) -> Question:
    """The question in a packet. Raises `Malformed`."""
    if len(packet) < HEADER_SIZE:
        raise Malformed("shorter than a header")
    number, flags, questions, answers, authority, additional = _HEADER.unpack_from(packet)
    if flags & _RESPONSE:
        raise Malformed("a response")
    opcode = flags >> 11 & 0xF
    if opcode not in (dns.OP_QUERY, dns.OP_NOTIFY):
        raise Malformed("unknown opcode", _refusal(number, flags, dns.ENOTIMP))
    if questions != 1 or answers > 1 or authority > 1 or additional > 2:
        raise Malformed("unusual counts", _refusal(number, flags, dns.EFORMAT))
    message = dns.Message()
    try:
        message.fromStr(packet)
    except Exception as error:  # decoders of records raise whatever their bytes lead to
        raise Malformed(f"undecodable: {error}", _refusal(number, flags, dns.EFORMAT)) from None
    end = _end_of_name(packet, HEADER_SIZE) + 4
    if len(message.queries) != 1 or end > len(packet):
        raise Malformed("no question", _refusal(number, flags, dns.EFORMAT))
    asked = message.queries[0]
    return Question(
        number,
        opcode,
        bool(flags & _RECURSION_DESIRED) and opcode == dns.OP_QUERY,
        asked.name.name.decode("utf-8", "surrogateescape"),
        asked.type,
        asked.cls,
        _edns(message.additional),
        packet[HEADER_SIZE:end],
        packet,
    )


def encode(question: Question, answer: Answer, *, compress: bool = True) -> bytes:
    """The packet that answers a question. It may be of any size."""
    names = _Names() if compress else None
    body = BytesIO()
    asked = dns.Name()
    asked.name = question.name.encode("utf-8", "surrogateescape")
    asked.encode(body, names)
    same_size = body.tell() + 4 == len(question.raw)
    body.write(question.raw[-4:])
    for section in answer.answers, answer.authority, answer.additional:
        for record in section:
            record.encode(body, names)
    opt = _opt(question.edns, answer) if question.edns is not None and answer.edns else b""
    packed = body.getvalue()
    if same_size:
        packed = question.raw + packed[len(question.raw) :]
    counts = (1, len(answer.answers), len(answer.authority), len(answer.additional) + bool(opt))
    return _HEADER.pack(question.id, _flags(question, answer), *counts) + packed + opt


def record(name: str | bytes, kind: int, ttl: int, payload: Any) -> dns.RRHeader:
    """One record; class IN, whatever the question's is."""
    owner = name if isinstance(name, bytes) else name.encode("utf-8", "surrogateescape")
    made = dns.RRHeader(b"", kind, dns.IN, ttl, payload)
    made.name.name = owner.removesuffix(b".")  # as it is: `Name()` would want ASCII
    return made


def host_name(name: str) -> dns.Name:
    """A name for record data."""
    made = dns.Name()
    made.name = name.removesuffix(".").encode("utf-8", "surrogateescape")
    return made


class Srv(dns.Record_SRV):
    """An SRV record at whose target later names may point."""

    def encode(self, strio: Any, compDict: dict[bytes, int] | None = None) -> None:
        """Write it; see the module's text."""
        strio.write(_SRV_FIXED.pack(self.priority, self.weight, self.port))
        if compDict is not None:
            name, offset = self.target.name, strio.tell() + HEADER_SIZE
            while name:
                compDict.setdefault(name, offset)
                label, _, name = name.partition(b".")
                offset += len(label) + 1
        self.target.encode(strio, None)


def texts(value: str) -> list[bytes]:
    """The character strings of a TXT record, each short enough."""
    data = value.encode("utf-8", "surrogateescape")
    return [data[at : at + _TEXT_LIMIT] for at in range(0, len(data), _TEXT_LIMIT)] or [b""]


class _Names(dict[bytes, int]):
    """Where names stand in a packet, as far as a pointer reaches."""

    def __setitem__(self, name: bytes, offset: int) -> None:
        if offset < _POINTER_LIMIT:
            super().__setitem__(name, offset)

    def setdefault(self, name: bytes, offset: int = 0) -> int:  # type: ignore[override]
        return super().setdefault(name, offset) if offset < _POINTER_LIMIT else offset


def _refusal(number: int, flags: int, rcode: int) -> bytes:
    """A header alone: opcode and RD as they came."""
    return _HEADER.pack(number, _RESPONSE | flags & 0x7900 | rcode, 0, 0, 0, 0)


def _flags(question: Question, answer: Answer) -> int:
    return (
        _RESPONSE
        | question.opcode << 11
        | (_AUTHORITATIVE if answer.authoritative else 0)
        | (_TRUNCATED if answer.truncated else 0)
        | (_RECURSION_DESIRED if question.recursion_desired else 0)
        | (_RECURSION_AVAILABLE if answer.recursion else 0)
        | answer.rcode
    )


def _end_of_name(packet: bytes, at: int) -> int:
    while at < len(packet):
        size = packet[at]
        if size >= 0xC0:
            return at + 2
        at += 1 + size
        if size == 0:
            return at
    return at


def _edns(additional: list[dns.RRHeader]) -> Edns | None:
    for each in additional:
        if each.type == dns.OPT:
            data = getattr(each.payload, "data", b"")
            return Edns(each.cls, _subnet(data))
    return None


def _subnet(options: bytes) -> bytes | None:
    at = 0
    while at + _OPTION.size <= len(options):
        code, size = _OPTION.unpack_from(options, at)
        at += _OPTION.size
        if code == _CLIENT_SUBNET and 4 <= size <= len(options) - at:
            return options[at : at + size]
        at += size
    return None


def _opt(edns: Edns | None, answer: Answer) -> bytes:
    """The OPT record: the client's payload size, version 0; its subnet with the scope for which the answer holds."""
    assert edns is not None
    options = b""
    if edns.subnet is not None:
        scope = edns.subnet[2:3] if answer.subnet_scope else b"\0"
        data = edns.subnet[:3] + scope + edns.subnet[4:]
        options = _OPTION.pack(_CLIENT_SUBNET, len(data)) + data
    return b"\0" + struct.pack("!HHIH", dns.OPT, edns.payload_size, 0, len(options)) + options
