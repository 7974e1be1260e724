"""Transactions: operations that are applied together or not at all (docs/wire/rpc.md 10)."""

from dataclasses import field
from typing import Final

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.record import Record, go
from consulpy.structs.check import HealthCheck
from consulpy.structs.intention import IntentionRequest
from consulpy.structs.kv import CHECK_INDEX, CHECK_NOT_EXISTS, CHECK_SESSION, GET, GET_OR_EMPTY, GET_TREE, DirEntry
from consulpy.structs.node import Node
from consulpy.structs.options import QueryMeta, QueryOptions
from consulpy.structs.requests import Write
from consulpy.structs.service import NodeService
from consulpy.structs.session import Session

#: Maximum operations of a transaction (Consul 1.14; 64 in 1.8.7).
OPERATIONS_MAX: Final = 128
#: Verbs of reads.
READING: Final = frozenset({GET, GET_OR_EMPTY, GET_TREE, CHECK_INDEX, CHECK_SESSION, CHECK_NOT_EXISTS})


@dataclass(slots=True)
class KVOp(Record):
    """An operation on a key."""

    verb: str = ""
    dir_ent: DirEntry = field(default_factory=DirEntry)


@dataclass(slots=True)
class NodeOp(Record):
    """An operation on a node."""

    verb: str = ""
    node: Node = field(default_factory=Node)


@dataclass(slots=True)
class ServiceOp(Record):
    """An operation on a service of a node."""

    verb: str = ""
    node: str = ""
    service: NodeService = field(default_factory=NodeService)


@dataclass(slots=True)
class CheckOp(Record):
    """An operation on a check."""

    verb: str = ""
    check: HealthCheck = field(default_factory=HealthCheck)


@dataclass(slots=True)
class SessionOp(Record):
    """An operation on a session."""

    verb: str = ""
    session: Session = field(default_factory=Session)


@dataclass(slots=True)
class TxnOp(Record):
    """One operation: exactly one field is set. Intentions: by leaders only; sessions: by RPC only."""

    kv: KVOp | None = go("KV", default=None)
    intention: IntentionRequest | None = None
    node: NodeOp | None = None
    service: ServiceOp | None = None
    check: CheckOp | None = None
    session: SessionOp | None = None


@dataclass(slots=True)
class TxnRequest(Write):
    """Txn.Apply and its log entry."""

    ops: list[TxnOp] | None = None


@dataclass(slots=True)
class TxnReadRequest(Record):
    """Txn.Read: read operations only."""

    datacenter: str = ""
    ops: list[TxnOp] | None = None
    options: QueryOptions = go(inline=True, default_factory=QueryOptions)


@dataclass(slots=True)
class TxnError(Record):
    """Error of one operation. `missing`: the right that the token lacks; the wire of 1.8.7 has no such field."""

    op_index: int = 0
    what: str = ""
    missing: str = go(json="-", is_optional=True, default="")


@dataclass(slots=True)
class TxnResult(Record):
    """Result of one operation: exactly one field is set."""

    kv: DirEntry | None = go("KV", omit_empty=True, default=None)
    node: Node | None = go(omit_empty=True, default=None)
    service: NodeService | None = go(omit_empty=True, default=None)
    check: HealthCheck | None = go(omit_empty=True, default=None)


@dataclass(slots=True)
class TxnReply(Record):
    """Txn.Apply: results, or (nothing was applied) errors."""

    results: list[TxnResult] | None = None
    errors: list[TxnError] | None = None


@dataclass(slots=True)
class TxnReadReply(TxnReply):
    """Txn.Read."""

    meta: QueryMeta = go(inline=True, default_factory=QueryMeta)
