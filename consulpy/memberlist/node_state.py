"""The nodes of a push/pull, encoded and decoded; those that say the same are one object.

Members of one pool send the same nodes in each push/pull, by far most of them unchanged: what was decoded once is found
by its bytes. Source: docs/wire/gossip.md 4.1.
"""

from functools import lru_cache
from typing import Any, ClassVar, Final, Self

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.msgpack import pack, unpack_whole
from consulpy.errors import WireError
from consulpy.memberlist.member import Encodable, Member
from consulpy.memberlist.messages import (
    CACHED_MAX,
    Body,
    member_name,
    metadata,
    pack_address,
    unpack_address,
    versions,
)

_U16: Final = 0xFFFF
_U32: Final = 0xFFFFFFFF


class _Encoded:
    """Has an encoding, from the first `encode` on or from where it was decoded."""

    __slots__ = ("packed",)

    packed: bytes


@dataclass(slots=True, frozen=True)
class NodeState(_Encoded):
    """One node in a push/pull. `state`: 0 alive, 1 suspect, 2 dead, 3 left."""

    ORDER: ClassVar[tuple[str, ...]] = ("Name", "Addr", "Port", "Meta", "Incarnation", "State", "Vsn")
    name: str
    address: str
    port: int
    meta: bytes
    incarnation: int
    state: int
    vsn: tuple[int, ...]

    def encode(self) -> bytes:
        """The body; nodes in a push/pull have no type byte."""
        try:
            return self.packed
        except AttributeError:
            packed = self._pack()
            object.__setattr__(self, "packed", packed)
            return packed

    def _pack(self) -> bytes:
        assert self.name
        assert len(self.vsn) in (0, 6), "a shorter Vsn crashes real peers"
        return pack(
            {
                "Addr": pack_address(self.address),
                "Incarnation": self.incarnation,
                "Meta": self.meta,
                "Name": self.name,
                "Port": self.port,
                "State": self.state,
                "Vsn": bytes(self.vsn),
            }
        )

    @classmethod
    def decode(cls, raw: Any) -> Self:
        """Decode a body. Raises `WireError`."""
        body = Body(raw, cls.ORDER)
        return cls(
            member_name(body, b"Name"),
            unpack_address(body.raw(b"Addr")),
            body.whole(b"Port", _U16),
            metadata(body),
            body.whole(b"Incarnation", _U32),
            body.whole(b"State", 3),
            versions(body),
        )


@lru_cache(maxsize=CACHED_MAX)
def _node(
    name: str, address: str, port: int, meta: bytes, incarnation: int, state: int, vsn: tuple[int, ...]
) -> NodeState:
    return NodeState(name, address, port, meta, incarnation, state, vsn)


def node_of(member: Member) -> Encodable:
    """A member as a node of a push/pull; it is `member.node` until the member changes."""
    node = member.node
    if node is None:
        node = member.node = _node(
            member.name, member.address, member.port, member.meta, member.incarnation, int(member.state), member.vsn
        )
    return node


#: The first bytes of a node as agents send it: a map of seven, the first key.
_BEGIN: Final = b"\x87\xa4Addr"


def decode_nodes(data: bytes, count: int, nodes: list[NodeState]) -> bytes:
    """Fast path: append nodes at the start of `data`, fewer than `count`, to `nodes`; the data behind them.

    What is between two `_BEGIN` is a node if it is a whole value and nothing else: then the next node begins there. The
    last one, and what is not understood, are left.
    """
    first, *pieces = data.split(_BEGIN, count)
    if first:
        return data
    done = 0
    try:
        for piece in pieces[:-1]:
            nodes.append(_decode_piece(piece))
            done += 1
    except WireError:
        pass
    return b"".join([_BEGIN + piece for piece in pieces[done:]])


def shared(node: NodeState) -> NodeState:
    """The object that is decoded from this node's encoding."""
    return _decode_piece(node.encode()[len(_BEGIN) :])


@lru_cache(maxsize=CACHED_MAX)
def _decode_piece(piece: bytes) -> NodeState:
    return NodeState.decode(unpack_whole(_BEGIN + piece))
