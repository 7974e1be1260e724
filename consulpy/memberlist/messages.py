"""memberlist's messages: one class each; a type byte and a msgpack struct on the wire.

Source: docs/wire/gossip.md 2.1 and 4; field names are the wire's, in declaration order (a peer may send an array).
"""

import ipaddress
from functools import lru_cache
from typing import Any, ClassVar, Final, Self

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.msgpack import pack, text, unpack
from consulpy.errors import WireError

# Message types without a class.
PUSH_PULL: Final = 6
COMPOUND: Final = 7
USER: Final = 8
COMPRESS: Final = 9
ENCRYPT: Final = 10
HAS_CRC: Final = 12
HAS_LABEL: Final = 244

#: Maximum bytes of a member's name and of its metadata, so that each message fits into a packet.
NAME_MAX_BYTES: Final = 512
META_MAX_BYTES: Final = 512
#: Number of decoded messages about members that are cached, as they are received repeatedly, and the maximum bytes of
#: each.
CACHED_MAX: Final = 8192
_CACHED_MAX_BYTES: Final = 1400
_GOSSIP: Final = (3, 4, 5)
#: Maximum bytes of the versions field. Newer peers may send more than six versions.
_VSN_MAX_BYTES: Final = 64

_U16: Final = 0xFFFF
_U32: Final = 0xFFFFFFFF


@lru_cache(maxsize=8192)
def pack_address(address: str) -> bytes:
    """Pack an IP address: 4 or 16 bytes."""
    return ipaddress.ip_address(address).packed


@lru_cache(maxsize=8192)
def unpack_address(raw: bytes) -> str:
    """Unpack 4 or 16 bytes; v4-mapped addresses become IPv4. Raises `WireError` for another length."""
    if len(raw) == 4:
        return f"{raw[0]}.{raw[1]}.{raw[2]}.{raw[3]}"
    if len(raw) != 16:
        raise WireError(f"an IP address has 4 or 16 bytes, not {len(raw)}")
    found = ipaddress.IPv6Address(raw)
    return str(found.ipv4_mapped or found)


class Body:
    """Fields of an unpacked struct by wire name; missing and nil ones are zero, unknown ones ignored."""

    __slots__ = ("_fields",)

    def __init__(self, raw: Any, order: tuple[str, ...]) -> None:
        if isinstance(raw, list):
            raw = {name.encode(): value for name, value in zip(order, raw, strict=False)}
        elif raw is None:
            raw = {}
        elif not isinstance(raw, dict):
            raise WireError(f"a struct was expected, not {type(raw).__name__}")
        self._fields = raw

    def whole(self, name: bytes, limit: int) -> int:
        """An unsigned integer of at most `limit`. Raises `WireError`."""
        value = self._fields.get(name)
        if value is None:
            return 0
        if type(value) is not int or not 0 <= value <= limit:
            raise WireError(f"{name.decode()}: an integer of 0..{limit} was expected")
        return value

    def raw(self, name: bytes) -> bytes:
        """Bytes. Raises `WireError`."""
        value = self._fields.get(name)
        if value is None:
            return b""
        if type(value) is not bytes:
            raise WireError(f"{name.decode()}: bytes were expected")
        return value

    def text(self, name: bytes) -> str:
        """Text. Raises `WireError`."""
        return text(self.raw(name))

    def flag(self, name: bytes) -> bool:
        """A boolean. Raises `WireError`."""
        value = self._fields.get(name)
        if value is None:
            return False
        if type(value) is not bool:
            raise WireError(f"{name.decode()}: a boolean was expected")
        return value


@dataclass(slots=True)
class Ping:
    """A ping. An empty `node` addresses any receiver. The ack goes to the source fields if they are given."""

    TYPE: ClassVar[int] = 0
    ORDER: ClassVar[tuple[str, ...]] = ("SeqNo", "Node", "SourceAddr", "SourcePort", "SourceNode")
    seq_no: int
    node: str
    source_address: str = ""
    source_port: int = 0
    source_node: str = ""

    def encode(self) -> bytes:
        """Type byte and body."""
        return PingEncoder(self.source_address, self.source_port, self.source_node).encode(self.seq_no, self.node)

    @classmethod
    def decode(cls, body: Body) -> Self:
        """Decode a body. Raises `WireError`."""
        source = body.raw(b"SourceAddr")
        return cls(
            body.whole(b"SeqNo", _U32),
            body.text(b"Node"),
            unpack_address(source) if source else "",
            body.whole(b"SourcePort", _U16),
            body.text(b"SourceNode"),
        )


class PingEncoder:
    """Encodes the pings of one member: all but number and receiver is the same in each (`Ping`)."""

    __slots__ = ("_body",)

    def __init__(self, source_address: str, source_port: int, source_node: str) -> None:
        self._body: dict[str, Any] = {"Node": "", "SeqNo": 0}
        if source_address:
            self._body["SourceAddr"] = pack_address(source_address)
        if source_node:
            self._body["SourceNode"] = source_node
        if source_port:
            self._body["SourcePort"] = source_port

    def encode(self, seq_no: int, node: str) -> bytes:
        """Type byte and body."""
        body = self._body
        body["Node"], body["SeqNo"] = node, seq_no
        return b"\0" + pack(body)


@dataclass(slots=True)
class IndirectPing:
    """A request to ping `target`; with `nack`, to send a nack if it does not ack."""

    TYPE: ClassVar[int] = 1
    ORDER: ClassVar[tuple[str, ...]] = (
        "SeqNo",
        "Target",
        "Port",
        "Node",
        "Nack",
        "SourceAddr",
        "SourcePort",
        "SourceNode",
    )
    seq_no: int
    target: str
    port: int
    node: str
    nack: bool
    source_address: str = ""
    source_port: int = 0
    source_node: str = ""

    def encode(self) -> bytes:
        """Type byte and body."""
        body: dict[str, Any] = {"Nack": self.nack, "Node": self.node, "Port": self.port, "SeqNo": self.seq_no}
        if self.source_address:
            body["SourceAddr"] = pack_address(self.source_address)
        if self.source_node:
            body["SourceNode"] = self.source_node
        if self.source_port:
            body["SourcePort"] = self.source_port
        body["Target"] = pack_address(self.target)
        return b"\1" + pack(body)

    @classmethod
    def decode(cls, body: Body) -> Self:
        """Decode a body. Raises `WireError`."""
        source = body.raw(b"SourceAddr")
        return cls(
            body.whole(b"SeqNo", _U32),
            unpack_address(body.raw(b"Target")),
            body.whole(b"Port", _U16),
            body.text(b"Node"),
            body.flag(b"Nack"),
            unpack_address(source) if source else "",
            body.whole(b"SourcePort", _U16),
            body.text(b"SourceNode"),
        )


@dataclass(slots=True)
class Ack:
    """The ack of a ping. `payload`: the delegate's (Serf: a coordinate); nil in forwarded and TCP acks."""

    TYPE: ClassVar[int] = 2
    ORDER: ClassVar[tuple[str, ...]] = ("SeqNo", "Payload")
    seq_no: int
    payload: bytes = b""

    def encode(self) -> bytes:
        """Type byte and body."""
        return b"\2" + pack({"Payload": self.payload or None, "SeqNo": self.seq_no})

    @classmethod
    def decode(cls, body: Body) -> Self:
        """Decode a body. Raises `WireError`."""
        return cls(body.whole(b"SeqNo", _U32), body.raw(b"Payload"))


@dataclass(slots=True, frozen=True)
class Suspect:
    """`accuser` suspects that `node` failed."""

    TYPE: ClassVar[int] = 3
    ORDER: ClassVar[tuple[str, ...]] = ("Incarnation", "Node", "From")
    incarnation: int
    node: str
    accuser: str  # wire name "From"

    def encode(self) -> bytes:
        """Type byte and body."""
        return b"\3" + pack({"From": self.accuser, "Incarnation": self.incarnation, "Node": self.node})

    @classmethod
    def decode(cls, body: Body) -> Self:
        """Decode a body. Raises `WireError`."""
        return cls(body.whole(b"Incarnation", _U32), member_name(body), _accuser(body))


@dataclass(slots=True, frozen=True)
class Dead:
    """`accuser` declares `node` dead; left, if both are the same."""

    TYPE: ClassVar[int] = 5
    ORDER: ClassVar[tuple[str, ...]] = ("Incarnation", "Node", "From")
    incarnation: int
    node: str
    accuser: str

    def encode(self) -> bytes:
        """Type byte and body."""
        return b"\5" + pack({"From": self.accuser, "Incarnation": self.incarnation, "Node": self.node})

    @classmethod
    def decode(cls, body: Body) -> Self:
        """Decode a body. Raises `WireError`."""
        return cls(body.whole(b"Incarnation", _U32), member_name(body), _accuser(body))


@dataclass(slots=True, frozen=True)
class Alive:
    """`node` is alive, with its metadata and protocol versions. Port 0: the receiver's own bind port."""

    TYPE: ClassVar[int] = 4
    ORDER: ClassVar[tuple[str, ...]] = ("Incarnation", "Node", "Addr", "Port", "Meta", "Vsn")
    incarnation: int
    node: str
    address: str
    port: int
    meta: bytes
    vsn: tuple[int, ...]

    def encode(self) -> bytes:
        """Type byte and body."""
        assert self.node
        assert len(self.vsn) in (0, 6), "a shorter Vsn crashes real peers"
        return b"\4" + pack(
            {
                "Addr": pack_address(self.address),
                "Incarnation": self.incarnation,
                "Meta": self.meta,
                "Node": self.node,
                "Port": self.port,
                "Vsn": bytes(self.vsn),
            }
        )

    @classmethod
    def decode(cls, body: Body) -> Self:
        """Decode a body. Raises `WireError`."""
        return cls(
            body.whole(b"Incarnation", _U32),
            member_name(body),
            unpack_address(body.raw(b"Addr")),
            body.whole(b"Port", _U16),
            metadata(body),
            versions(body),
        )


@dataclass(slots=True)
class Nack:
    """The target of an indirect ping did not ack in time."""

    TYPE: ClassVar[int] = 11
    ORDER: ClassVar[tuple[str, ...]] = ("SeqNo",)
    seq_no: int

    def encode(self) -> bytes:
        """Type byte and body."""
        return b"\x0b" + pack({"SeqNo": self.seq_no})

    @classmethod
    def decode(cls, body: Body) -> Self:
        """Decode a body. Raises `WireError`."""
        return cls(body.whole(b"SeqNo", _U32))


@dataclass(slots=True)
class Err:
    """Error reply on a stream: the message was refused, and why."""

    TYPE: ClassVar[int] = 13
    ORDER: ClassVar[tuple[str, ...]] = ("Error",)
    error: str

    def encode(self) -> bytes:
        """Type byte and body."""
        return b"\x0d" + pack({"Error": self.error})

    @classmethod
    def decode(cls, body: Body) -> Self:
        """Decode a body. Raises `WireError`."""
        return cls(body.text(b"Error"))


Message = Ping | IndirectPing | Ack | Suspect | Alive | Dead | Nack | Err

#: Message classes by type byte.
CLASSES: Final[dict[int, type[Message]]] = {
    cls.TYPE: cls for cls in (Ping, IndirectPing, Ack, Suspect, Alive, Dead, Nack, Err)
}


def decode(data: bytes) -> Message:
    """Decode type byte and body. Raises `WireError`."""
    if not data:
        raise WireError("an empty message")
    if data[0] in _GOSSIP and len(data) <= _CACHED_MAX_BYTES:
        return _decode_gossip(data)
    return _decode(data)


def _decode(data: bytes) -> Message:
    cls = CLASSES.get(data[0])
    if cls is None:
        raise WireError(f"message type {data[0]} is not known here")
    try:
        raw = unpack(data[1:])
        if type(raw) is dict:
            found = _plain_ping(raw) if cls is Ping else _plain_ack(raw) if cls is Ack else None
            if found is not None:
                return found
        return cls.decode(Body(raw, cls.ORDER))
    except WireError as error:
        raise WireError(f"{cls.__name__}: {error}") from None


_decode_gossip = lru_cache(maxsize=CACHED_MAX)(_decode)


# Fast paths: pings and acks as every agent sends them. None: another form, for `decode` of the class.


def _plain_ping(fields: dict[Any, Any]) -> Ping | None:
    get = fields.get
    seq_no, node, source = get(b"SeqNo"), get(b"Node"), get(b"SourceNode")
    address, port = get(b"SourceAddr"), get(b"SourcePort")
    if (
        type(seq_no) is type(port) is int
        and type(node) is type(source) is type(address) is bytes
        and 0 <= seq_no <= _U32
        and 0 <= port <= _U16
        and address
    ):
        return Ping(seq_no, text(node), unpack_address(address), port, text(source))
    return None


def _plain_ack(fields: dict[Any, Any]) -> Ack | None:
    seq_no, payload = fields.get(b"SeqNo"), fields.get(b"Payload")
    if type(seq_no) is int and type(payload) is bytes and 0 <= seq_no <= _U32:
        return Ack(seq_no, payload)
    return None


def member_name(body: Body, field: bytes = b"Node") -> str:
    """A member's name. Raises `WireError`."""
    name = body.raw(field)
    if not 0 < len(name) <= NAME_MAX_BYTES:
        raise WireError("a member has no name" if not name else f"a member's name has {len(name)} bytes")
    return text(name)


def _accuser(body: Body) -> str:
    name = body.raw(b"From")
    if len(name) > NAME_MAX_BYTES:
        raise WireError(f"an accuser's name has {len(name)} bytes")
    return text(name)


def metadata(body: Body) -> bytes:
    """A member's metadata. Raises `WireError`."""
    meta = body.raw(b"Meta")
    if len(meta) > META_MAX_BYTES:
        raise WireError(f"a member's metadata has {len(meta)} bytes, at most {META_MAX_BYTES} are allowed")
    return meta


def versions(body: Body) -> tuple[int, ...]:
    """A member's protocol versions. Raises `WireError`."""
    return _versions(body.raw(b"Vsn"))


@lru_cache(maxsize=64)
def _versions(vsn: bytes) -> tuple[int, ...]:
    if vsn and not 6 <= len(vsn) <= _VSN_MAX_BYTES:
        raise WireError(f"Vsn has {len(vsn)} bytes, 6 were expected")
    return tuple(vsn[:6])
