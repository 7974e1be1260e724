"""Serf's messages: one class per type, with encoding and decoding.

A Serf message is a type byte and a msgpack struct; it is carried in memberlist's user messages, in the user state of a
push/pull (`PushPull`), or in the payload of a query or response (key and conflict messages). Only a relay has more:
another complete message follows its struct. Source: docs/wire/gossip.md section 6.
"""

import dataclasses
from dataclasses import field
from typing import Any, ClassVar, Final, Self

from consulpy.codec.coerce import as_int, as_map
from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.msgpack import pack, text, unpack, unpack_from
from consulpy.codec.record import Record, camel, go
from consulpy.errors import WireError

#: Bits of `QueryMessage.flags` and `QueryResponseMessage.flags`.
FLAG_ACK: Final = 1
FLAG_NO_BROADCAST: Final = 2

#: Message classes by type byte; filled by `Message.__init_subclass__`.
TYPES: dict[int, type["Message"]] = {}


class Struct(Record):
    """A record with the gossip decoder's rules: also from arrays (in declared order), integers within their width."""

    __slots__ = ()

    #: Width in bits of each unsigned integer field.
    UNSIGNED: ClassVar[dict[str, int]] = {}

    @classmethod
    def from_wire(cls, raw: Any) -> Self:
        """The struct in an unpacked value. Raises `WireError` naming the field."""
        if isinstance(raw, list):
            names = (each.metadata.get("go") or camel(each.name) for each in dataclasses.fields(cls))  # type: ignore[arg-type]
            raw = dict(zip((name.encode() for name in names), raw, strict=False))
        struct = super().from_wire(raw)
        for name, bits in cls.UNSIGNED.items():
            if not 0 <= getattr(struct, name) < 1 << bits:
                raise WireError(f"{cls.__name__}.{name}: {getattr(struct, name)} does not fit in {bits} bits")
        return struct


class Message(Struct):
    """Base of all Serf messages."""

    __slots__ = ()

    TYPE: ClassVar[int]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        TYPES[cls.TYPE] = cls  # `dataclass(slots=True)` makes a second class, which replaces the first

    def encode(self) -> bytes:
        """The message with its type byte."""
        return bytes((self.TYPE,)) + self.pack()

    @classmethod
    def decode_body(cls, body: bytes) -> Self:
        """Decode the bytes after the type byte. Raises `WireError`."""
        return cls.unpack(body)


@dataclass(slots=True)
class LeaveIntent(Message):
    """A member leaves, or a failed member is declared left."""

    TYPE: ClassVar[int] = 0
    UNSIGNED: ClassVar[dict[str, int]] = {"ltime": 64}

    ltime: int = go("LTime", default=0)
    node: str = ""
    prune: bool = False


@dataclass(slots=True)
class JoinIntent(Message):
    """A member joined (again)."""

    TYPE: ClassVar[int] = 1
    UNSIGNED: ClassVar[dict[str, int]] = {"ltime": 64}

    ltime: int = go("LTime", default=0)
    node: str = ""


@dataclass(slots=True)
class PastEvent(Struct):
    """A user event in a push/pull."""

    name: str = ""
    payload: bytes | None = None


@dataclass(slots=True)
class PastEvents(Struct):
    """The user events of one Lamport time."""

    UNSIGNED: ClassVar[dict[str, int]] = {"ltime": 64}

    ltime: int = go("LTime", default=0)
    events: list[PastEvent] | None = None


def _ltimes(value: Any) -> dict[str, int]:
    """Lamport times by name, one of each member. Raises `WireError`."""
    if type(value) is dict and set(map(type, value)) == {bytes} and set(map(type, value.values())) == {int}:
        names = text(b"\0".join(value)).split("\0")  # several times as fast as name by name
        if len(names) == len(value):  # no name has a zero byte in it
            return dict(zip(names, value.values(), strict=True))
    return as_map(value, as_int)


@dataclass(slots=True)
class PushPull(Message):
    """User state of a push/pull: clocks, status times, left members, recent user events (slots may be nil)."""

    TYPE: ClassVar[int] = 2
    UNSIGNED: ClassVar[dict[str, int]] = {"ltime": 64, "event_ltime": 64, "query_ltime": 64}

    ltime: int = go("LTime", default=0)
    status_ltimes: dict[str, int] | None = go("StatusLTimes", decode=_ltimes, default_factory=dict)
    left_members: list[str] | None = field(default_factory=list)
    event_ltime: int = go("EventLTime", default=0)
    events: list[PastEvents | None] | None = field(default_factory=list)
    query_ltime: int = go("QueryLTime", default=0)


@dataclass(slots=True)
class UserEventMessage(Message):
    """A user event; `cc`: it may be coalesced."""

    TYPE: ClassVar[int] = 3
    UNSIGNED: ClassVar[dict[str, int]] = {"ltime": 64}

    ltime: int = go("LTime", default=0)
    name: str = ""
    payload: bytes | None = None
    cc: bool = go("CC", default=False)


@dataclass(slots=True)
class QueryMessage(Message):
    """A query; `timeout` is in nanoseconds."""

    TYPE: ClassVar[int] = 4
    UNSIGNED: ClassVar[dict[str, int]] = {"ltime": 64, "id": 32, "port": 16, "flags": 32, "relay_factor": 8}

    ltime: int = go("LTime", default=0)
    id: int = go("ID", default=0)
    addr: bytes | None = None
    port: int = 0
    source_node: str = ""
    filters: list[bytes] | None = None
    flags: int = 0
    relay_factor: int = 0
    timeout: int = 0
    name: str = ""
    payload: bytes | None = None


@dataclass(slots=True)
class QueryResponseMessage(Message):
    """A response to a query, or with `FLAG_ACK` an ack."""

    TYPE: ClassVar[int] = 5
    UNSIGNED: ClassVar[dict[str, int]] = {"ltime": 64, "id": 32, "flags": 32}

    ltime: int = go("LTime", default=0)
    id: int = go("ID", default=0)
    from_: str = go("From", default="")
    flags: int = 0
    payload: bytes | None = None

    @property
    def is_ack(self) -> bool:
        """Whether it is an ack."""
        return bool(self.flags & FLAG_ACK)


@dataclass(slots=True)
class MemberRecord(Struct):
    """A member in a conflict response."""

    UNSIGNED: ClassVar[dict[str, int]] = {"port": 16}

    name: str = ""
    addr: bytes | None = None
    port: int = 0
    tags: dict[str, str] | None = field(default_factory=dict)
    status: int = 0
    protocol_min: int = 0
    protocol_max: int = 0
    protocol_cur: int = 0
    delegate_min: int = 0
    delegate_max: int = 0
    delegate_cur: int = 0


@dataclass(slots=True)
class ConflictResponse(Message):
    """The member known by the queried name; None if there is none."""

    TYPE: ClassVar[int] = 6

    member: MemberRecord | None = None

    def encode(self) -> bytes:
        """The message with its type byte; the body is the member itself."""
        return bytes((self.TYPE,)) + pack(None if self.member is None else self.member.to_wire())

    @classmethod
    def decode_body(cls, body: bytes) -> Self:
        """Decode the bytes after the type byte. Raises `WireError`."""
        raw = unpack(body)
        return cls(None if raw is None else MemberRecord.from_wire(raw))


@dataclass(slots=True)
class KeyRequest(Message):
    """The key of a key query; empty for a list."""

    TYPE: ClassVar[int] = 7

    key: bytes = b""


@dataclass(slots=True)
class KeyResponseMessage(Message):
    """One member's response to a key query; keys in base64."""

    TYPE: ClassVar[int] = 8

    result: bool = False
    message: str = ""
    keys: list[str] | None = None
    primary_key: str = ""


@dataclass(slots=True)
class UDPAddress(Struct):
    """Go's `net.UDPAddr`."""

    UNSIGNED: ClassVar[dict[str, int]] = {"port": 16}

    ip: bytes | None = go("IP", default=None)
    port: int = 0
    zone: str = ""


@dataclass(slots=True)
class RelayHeader(Struct):
    """Destination of a relayed message."""

    dest_addr: UDPAddress = field(default_factory=UDPAddress)
    dest_name: str = ""


@dataclass(slots=True)
class Relay(Message):
    """Asks the receiver to forward `inner` (a complete message) to the header's address."""

    TYPE: ClassVar[int] = 9

    header: RelayHeader = field(default_factory=RelayHeader)
    inner: bytes = b""

    def encode(self) -> bytes:
        """The message with its type byte."""
        return bytes((self.TYPE,)) + self.header.pack() + self.inner

    @classmethod
    def decode_body(cls, body: bytes) -> Self:
        """Decode the bytes after the type byte. Raises `WireError`."""
        raw, length = unpack_from(body)
        if length >= len(body):
            raise WireError("relay: there is no message in it")
        return cls(RelayHeader.from_wire(raw), bytes(body[length:]))


def decode(data: bytes) -> Message:
    """Decode a message with its type byte. Raises `WireError`."""
    if not data:
        raise WireError("a Serf message without a byte")
    message_class = TYPES.get(data[0])
    if message_class is None:
        raise WireError(f"unknown Serf message type {data[0]}")
    return message_class.decode_body(data[1:])
