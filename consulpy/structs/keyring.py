"""Key operations on the gossip pools of all datacenters (Internal.KeyringOperation, docs/wire/rpc.md 10)."""

from typing import Any, Final

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.record import Record, go
from consulpy.structs.options import QueryMeta, QueryOptions

LIST_KEYS, INSTALL_KEY, USE_KEY, REMOVE_KEY = "list", "install", "use", "remove"
OPERATIONS: Final = frozenset({LIST_KEYS, INSTALL_KEY, USE_KEY, REMOVE_KEY})


@dataclass(slots=True)
class KeyringRequest(Record):
    """Internal.KeyringOperation. `key`: base64; `local_only`: not in the WAN pool, not in other datacenters.

    `origin`: the datacenter of the agent that began; it is no destination. `forwarded`: only in the LAN pool of the
    server that is called.
    """

    operation: str = ""
    key: str = ""
    origin: str = go("Datacenter", default="")
    forwarded: bool = False
    relay_factor: int = 0
    local_only: bool = False
    options: QueryOptions = go(inline=True, default_factory=QueryOptions)


@dataclass(slots=True)
class KeyringResponse(Record):
    """The result in one pool: numbers of members by key; `messages` and `error`: what failed, on which members."""

    wan: bool = go("WAN", default=False)
    datacenter: str = ""
    segment: str = ""
    messages: dict[str, str] | None = None
    keys: dict[str, int] | None = None
    primary_keys: dict[str, int] | None = None
    num_nodes: int = 0
    error: str = ""

    def errors(self) -> list[str]:
        """The failures, in a line for the pool and one for each member; empty if nothing did."""
        if not self.error:
            return []
        where = "WAN" if self.wan else f"{self.datacenter} (LAN)"
        members = [f"{name}: {text}" for name, text in sorted((self.messages or {}).items())]
        return [f"{where} error: {self.error}", *members]

    def to_json(self) -> dict[str, Any]:
        """As the API shows it."""
        return {
            "WAN": self.wan,
            "Datacenter": self.datacenter,
            "Segment": self.segment,
            **({"Messages": self.messages} if self.messages else {}),
            "Keys": self.keys or {},
            "PrimaryKeys": self.primary_keys or {},
            "NumNodes": self.num_nodes,
        }


@dataclass(slots=True)
class KeyringReply(Record):
    """Reply of Internal.KeyringOperation: one result for each pool."""

    responses: list[KeyringResponse] | None = None
    meta: QueryMeta = go(inline=True, default_factory=QueryMeta)
