"""Base classes of Raft commands."""

from typing import Any, ClassVar, Final, Protocol, Self

from consulpy.codec.msgpack import pack, unpack
from consulpy.codec.record import Record
from consulpy.errors import WireError
from consulpy.state.store import Store
from consulpy.structs.newer_selectors import foreign_selector

#: Flag in a type number: a server that does not know the command may ignore it.
IGNORE_IF_UNKNOWN: Final = 128


class Command(Protocol):
    """A log entry."""

    TYPE: ClassVar[int]

    def encode(self, *, sparse: bool = False) -> bytes:
        """Type number and body, as in Consul's log; with `sparse` unset fields are left out."""

    def apply(self, store: Store, index: int) -> Any:
        """Apply to the store at `index`; the result. On `RPCError` only the store's index changes."""


class BodyCommand:
    """A command whose body is one record."""

    TYPE: ClassVar[int]
    BODY: ClassVar[type[Record]]

    __slots__ = ("body",)

    def __init__(self, body: Any) -> None:
        self.body = body

    def encode(self, *, sparse: bool = False) -> bytes:
        """Type number and body; with `sparse` unset fields are left out."""
        return bytes([self.TYPE]) + pack(self.body.to_sparse() if sparse else self.body.to_wire())

    @classmethod
    def decode(cls, data: memoryview) -> Self:
        """Decode a command's body. Raises `WireError`."""
        raw = unpack(data)
        if foreign := foreign_selector(raw):
            raise WireError(foreign)
        return cls(cls.BODY.from_wire(raw))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.body!r})"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.body == other.body

    __hash__ = None  # type: ignore[assignment]
