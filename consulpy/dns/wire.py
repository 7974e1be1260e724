"""DNS wire format (RFC 1035, EDNS RFC 6891): packets to questions, answers to packets, with `twisted.names` records.

Questions are decoded here, since twisted.names accepts many malformed packets and decodes records that are not needed.
Done here as well, because twisted.names does not encode them as Consul does:

- an SRV target is written in full, but later names may point at it; twisted.names does not, and answers grow;
- compression pointers end at offset 16383; twisted.names goes beyond, which cannot be expressed;
- TXT strings over 255 bytes are split; a client's payload size is echoed whatever it is;
- the question section is copied from the question, so that a label that contains a dot is preserved.
"""

import ipaddress
import struct
from collections.abc import Iterable, Mapping
from dataclasses import field
from io import BytesIO
from itertools import pairwise
from typing import Any, Final

from twisted.names import dns

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.errors import WireError

HEADER_SIZE: Final = 12
#: Offsets from here on are beyond the reach of compression pointers.
POINTER_LIMIT: Final = 0x4000
_POINTER: Final = struct.Struct("!H")
_IS_POINTER: Final = 0xC000
_HEADER: Final = struct.Struct("!6H")
_SRV_FIXED: Final = struct.Struct("!HHH")
_OPTION: Final = struct.Struct("!HH")
_SUBNET: Final = struct.Struct("!HBB")
#: Address family of a client subnet -> longest prefix; 0: no address, as dig sends it with a prefix of 0.
_ADDRESS_BITS: Final = {0: 0, 1: 32, 2: 128}
_TEXT_LIMIT: Final = 255

_RESPONSE: Final = 0x8000
_AUTHORITATIVE: Final = 0x0400
_TRUNCATED: Final = 0x0200
_RECURSION_DESIRED: Final = 0x0100
_RECURSION_AVAILABLE: Final = 0x0080
#: The bits of the opcode, and the flags of a question that a refusal repeats: TC, RD, RA, AD, CD.
_OPCODE: Final = 0x7800
_CLIENT_FLAGS: Final = 0x03B0
_CHECKING_DISABLED: Final = 0x0010

#: Most answer, authority and additional records in a question's packet.
_RECORDS_MAX: Final = (1, 1, 2)
_NAME_SIZE_MAX: Final = 255
_POINTERS_MAX: Final = 126
#: Type, class, TTL, size of the data.
_FIXED: Final = struct.Struct("!HHIH")
_KIND_AND_CLASS: Final = struct.Struct("!HH")
#: Bytes of a label that are not escaped in presentation format.
_PLAIN: Final = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_!#$%&*+,/:<=>?[]^`{|}~")

_CLIENT_SUBNET: Final = 8
#: Smallest limit of a UDP answer in bytes, whatever payload size the client sends.
_SMALLEST_UDP: Final = 512


@dataclass(slots=True)
class Edns:
    """A client's OPT record. `subnet`: the data of its client subnet option (RFC 7871), or None."""

    payload_size: int
    subnet: bytes | None = None

    @property
    def subnet_address(self) -> str:
        """The address in the client subnet option, padded with zeros; "" if there is none or its family is unknown."""
        if self.subnet is None:
            return ""
        size = {1: 4, 2: 16}.get(int.from_bytes(self.subnet[:2], "big"), 0)
        packed = self.subnet[4 : 4 + size].ljust(size, b"\0")
        return str(ipaddress.ip_address(packed)) if size else ""


@dataclass(slots=True)
class Question:
    """A packet with one question.

    `name`: in the letter case of the packet, without the last dot, special characters as `\\DDD` (no node or service
    has such a name). `section`: the question section of the answer.
    """

    id: int
    opcode: int
    recursion_desired: bool
    checking_disabled: bool
    name: str
    kind: int
    cls: int
    edns: Edns | None
    section: bytes
    packet: bytes

    @property
    def largest_udp(self) -> int:
        """The largest answer over UDP that the client accepts, in bytes."""
        return max(self.edns.payload_size, _SMALLEST_UDP) if self.edns is not None else _SMALLEST_UDP


@dataclass(slots=True)
class Answer:
    """An answer's records and flags. `edns`: whether a client's OPT record is answered. `recursion`: the RA bit."""

    rcode: int = dns.OK
    authoritative: bool = True
    truncated: bool = False
    recursion: bool = False
    edns: bool = True
    subnet_scope: bool = False  # whether the answer holds for the client's subnet only
    cacheable: bool = True  # whether it is valid as long as the node or service of the question is unchanged
    answers: list[dns.RRHeader] = field(default_factory=list)
    authority: list[dns.RRHeader] = field(default_factory=list)
    additional: list[dns.RRHeader] = field(default_factory=list)


class Malformed(WireError):
    """A packet that is not a valid question. `reply`: the packet to answer with, b"" for none."""

    def __init__(self, text: str, reply: bytes = b"") -> None:
        super().__init__(text)
        self.reply = reply


def decode(packet: bytes) -> Question:
    """The question in a packet. Raises `Malformed`."""
    if len(packet) < HEADER_SIZE:
        raise Malformed("shorter than a header")
    number, flags, questions, *counts = _HEADER.unpack_from(packet)
    if flags & _RESPONSE:
        raise Malformed("a response")
    opcode = flags >> 11 & 0xF
    if opcode not in (dns.OP_QUERY, dns.OP_NOTIFY):
        raise Malformed("unknown opcode", _refusal(number, flags, dns.ENOTIMP))
    if questions != 1 or any(count > most for count, most in zip(counts, _RECORDS_MAX, strict=True)):
        raise Malformed("unusual counts", _refusal(number, flags, dns.EFORMAT))
    if len(packet) == HEADER_SIZE:
        raise Malformed("no question", _refusal(number, flags, dns.EREFUSED))
    try:
        labels, at = _labels(packet, HEADER_SIZE)
        kind, cls = _KIND_AND_CLASS.unpack_from(packet, at)
    except (IndexError, struct.error, WireError) as error:
        raise Malformed(f"question: {error}", _refusal(number, flags, dns.EFORMAT)) from None
    section = b"".join(bytes([len(label)]) + label for label in labels) + b"\0" + packet[at : at + 4]
    try:
        edns = _find_opt(packet, at + 4, counts)
    except (IndexError, struct.error, WireError) as error:
        header = _refusal(number, flags, dns.EFORMAT, questions=1)
        raise Malformed(f"records: {error}", header + section) from None
    return Question(
        number,
        opcode,
        bool(flags & _RECURSION_DESIRED) and opcode == dns.OP_QUERY,
        bool(flags & _CHECKING_DISABLED) and opcode == dns.OP_QUERY,
        _presentation(labels),
        kind,
        cls,
        edns,
        section,
        packet,
    )


def encode(question: Question, answer: Answer, *, compress: bool = True) -> bytes:
    """The packet that answers a question. Its size is not limited."""
    sections = answer.answers, answer.authority, answer.additional
    records = b"".join(encoded(question, [each for section in sections for each in section], compress=compress))
    return framed(question, answer, records, *map(len, sections))


def encoded(question: Question, records: Iterable[dns.RRHeader], *, compress: bool) -> list[bytes]:
    """The bytes of each of the records behind a question; `compress`: with pointers at the question and each other."""
    names = names_of(question) if compress else None
    body = BytesIO()
    body.write(question.section)
    ends = [body.tell()]
    for each in records:
        each.encode(body, names)
        ends.append(body.tell())
    written = body.getvalue()
    return [written[begin:end] for begin, end in pairwise(ends)]


def names_of(question: Question, targets: Mapping[bytes, int] | None = None) -> dict[bytes, int]:
    """The compression table behind a question and behind names at these offsets of the packet."""
    names = _CompressionTable()
    plain = question.name.rpartition("\\")[2].partition(".")[2] if "\\" in question.name else question.name
    _enter(names, plain.encode(), HEADER_SIZE + len(question.section) - len(plain) - 6)
    for name, offset in (targets or {}).items():
        _enter(names, name, offset)
    return names


def compressed(name: bytes, names: Mapping[bytes, int]) -> bytes:
    """The bytes of a name, with a pointer at its longest suffix in a compression table."""
    out = b""
    while name:
        offset = names.get(name)
        if offset is not None:
            return out + _POINTER.pack(_IS_POINTER | offset)
        label, _, name = name.partition(b".")
        out += bytes([len(label)]) + label
    return out + b"\0"


def framed(
    question: Question, answer: Answer, records: bytes, answers: int, authority: int = 0, additional: int = 0
) -> bytes:
    """The packet around encoded records, given how many are in each section; flags and OPT as in `answer`."""
    opt = _opt(question.edns, answer) if question.edns is not None and answer.edns else b""
    header = _HEADER.pack(question.id, _flags(question, answer), 1, answers, authority, additional + bool(opt))
    return b"".join((header, question.section, records, opt))


def record(name: str | bytes, kind: int, ttl: int, payload: Any) -> dns.RRHeader:
    """A record of class IN."""
    owner = name if isinstance(name, bytes) else name.encode("utf-8", "surrogateescape")
    result = dns.RRHeader(b"", kind, dns.IN, ttl, payload)
    result.name.name = owner.removesuffix(b".")  # as it is: `Name()` would want ASCII
    return result


def host_name(name: str) -> dns.Name:
    """A name for record data."""
    result = dns.Name()
    result.name = name.removesuffix(".").encode("utf-8", "surrogateescape")
    return result


class Srv(dns.Record_SRV):
    """An SRV record whose target is entered into the compression table."""

    def encode(self, strio: Any, compDict: dict[bytes, int] | None = None) -> None:
        """Encode it; see the module's docstring."""
        strio.write(_SRV_FIXED.pack(self.priority, self.weight, self.port))
        if compDict is not None:
            _enter(compDict, self.target.name, strio.tell() + HEADER_SIZE)
        self.target.encode(strio, None)


def texts(value: str) -> list[bytes]:
    """The character strings of a TXT record, of at most 255 bytes each."""
    data = value.encode("utf-8", "surrogateescape")
    return [data[at : at + _TEXT_LIMIT] for at in range(0, len(data), _TEXT_LIMIT)] or [b""]


class _CompressionTable(dict[bytes, int]):
    """The compression table: offsets of names within the reach of a pointer."""

    def __setitem__(self, name: bytes, offset: int) -> None:
        if offset < POINTER_LIMIT:
            super().__setitem__(name, offset)


def _enter(names: dict[bytes, int], name: bytes, offset: int) -> None:
    """Enter `name` at `offset`, and each of its suffixes that is not in the table yet."""
    while name:
        if name not in names:
            names[name] = offset
        label, _, name = name.partition(b".")
        offset += len(label) + 1


def _refusal(number: int, flags: int, rcode: int, questions: int = 0) -> bytes:
    """A header that refuses a packet: the client's flags, opcode 0 unless that is what is refused."""
    kept = _OPCODE | _CLIENT_FLAGS if rcode == dns.ENOTIMP else _CLIENT_FLAGS
    return _HEADER.pack(number, _RESPONSE | flags & kept | rcode, questions, 0, 0, 0)


def _flags(question: Question, answer: Answer) -> int:
    return (
        _RESPONSE
        | question.opcode << 11
        | (_AUTHORITATIVE if answer.authoritative else 0)
        | (_TRUNCATED if answer.truncated else 0)
        | (_RECURSION_DESIRED if question.recursion_desired else 0)
        | (_RECURSION_AVAILABLE if answer.recursion else 0)
        | (_CHECKING_DISABLED if question.checking_disabled else 0)
        | answer.rcode
    )


def _labels(packet: bytes, at: int) -> tuple[list[bytes], int]:
    """The labels of a name, and the offset behind it. Raises WireError, IndexError."""
    labels: list[bytes] = []
    end = size_so_far = pointers = 0
    while True:
        size = packet[at]
        if size == 0:
            return labels, end or at + 1
        if size >= 0xC0:
            pointers += 1
            if pointers > _POINTERS_MAX:
                raise WireError("too many pointers")
            end = end or at + 2
            at = (size & 0x3F) << 8 | packet[at + 1]
            continue
        if size >= 0x40 or at + size >= len(packet):
            raise WireError("bad label")
        size_so_far += size + 1
        if size_so_far >= _NAME_SIZE_MAX:
            raise WireError("name too long")
        labels.append(packet[at + 1 : at + 1 + size])
        at += size + 1


def _presentation(labels: list[bytes]) -> str:
    return ".".join("".join(chr(byte) if byte in _PLAIN else f"\\{byte:03d}" for byte in label) for label in labels)


def _find_opt(packet: bytes, at: int, counts: list[int]) -> Edns | None:
    """The OPT record of a packet, which may hold fewer records than `counts` says. Raises as `_labels`, struct."""
    found = None
    for count, additional in zip(counts, (False, False, True), strict=True):
        for _ in range(count):
            if at == len(packet):
                return found
            _, at = _labels(packet, at)
            kind, cls, _, size = _FIXED.unpack_from(packet, at)
            at += _FIXED.size
            if at + size > len(packet):
                raise WireError("data beyond the end")
            if kind == dns.OPT and additional and found is None:
                found = Edns(cls, _subnet(packet[at : at + size]))
            at += size
    return found


def _subnet(options: bytes) -> bytes | None:
    at, found = 0, None
    while at < len(options):
        code, size = _OPTION.unpack_from(options, at)
        at += _OPTION.size
        if at + size > len(options):
            raise WireError("option beyond the end")
        if code == _CLIENT_SUBNET:
            _check_subnet(options[at : at + size])
            found = found or options[at : at + size]
        at += size
    return found


def _check_subnet(data: bytes) -> None:
    """Raise `WireError` for an invalid client subnet option (RFC 7871 section 6)."""
    if len(data) < 4:
        raise WireError("client subnet: too short")
    family, prefix, scope = _SUBNET.unpack_from(data)
    if family not in _ADDRESS_BITS or max(prefix, scope if family else 0) > _ADDRESS_BITS[family]:
        raise WireError("client subnet: bad family or prefix")


def _opt(edns: Edns | None, answer: Answer) -> bytes:
    """The OPT record: the client's payload size, version 0, its subnet with the scope of the answer."""
    assert edns is not None
    options = b""
    if edns.subnet is not None:
        scope = edns.subnet[2:3] if answer.subnet_scope else b"\0"
        data = edns.subnet[:3] + scope + edns.subnet[4:]
        options = _OPTION.pack(_CLIENT_SUBNET, len(data)) + data
    return b"\0" + struct.pack("!HHIH", dns.OPT, edns.payload_size, 0, len(options)) + options
