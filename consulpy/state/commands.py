"""Raft commands: each change of the state with its type number, its body (the RPC request), and its effect.

An encoded command is `u8 type` and the msgpack of its body (docs/wire/rpc.md 15). Applying is deterministic on every
server and at every replay: times and random values are set before a command is submitted.
"""

from typing import Any, ClassVar, Final, Self

from consulpy.codec.msgpack import pack, unpack
from consulpy.errors import RPCError, WireError
from consulpy.state import registration, txn
from consulpy.state.acl_commands import ACL_COMMANDS
from consulpy.state.command import IGNORE_IF_UNKNOWN, BodyCommand
from consulpy.state.command import Command as Command
from consulpy.state.config_entry import DELETE, DELETE_CAS, UPSERT, UPSERT_CAS, entry_key
from consulpy.state.connect_commands import CONNECT_COMMANDS
from consulpy.state.session_lifecycle import create_session, destroy_session
from consulpy.state.store import Store
from consulpy.structs import kv as verbs
from consulpy.structs.config_entry_requests import EntryRequest
from consulpy.structs.coordinate import Coordinate
from consulpy.structs.intention import IntentionRequest
from consulpy.structs.kv import KVRequest, TombstoneRequest
from consulpy.structs.operator import (
    FEDERATION_DELETE,
    FEDERATION_UPSERT,
    AutopilotSetRequest,
    FederationStateRequest,
)
from consulpy.structs.prepared_query import QueryRequest
from consulpy.structs.requests import DeregisterRequest, RegisterRequest
from consulpy.structs.session import CREATE, DESTROY, SessionRequest
from consulpy.structs.txn import TxnReply, TxnRequest


class Register(BodyCommand):
    """Write a node, optionally with a service and checks."""

    TYPE = 0
    BODY = RegisterRequest

    def apply(self, store: Store, index: int) -> None:
        """See `registration.register`."""
        with store.change(index) as change:
            registration.register(change, self.body)


class Deregister(BodyCommand):
    """Remove a service, a check, or a node with everything on it."""

    TYPE = 1
    BODY = DeregisterRequest

    def apply(self, store: Store, index: int) -> None:
        """See `registration.deregister`."""
        with store.change(index) as change:
            registration.deregister(change, self.body)


class CoordinateBatchUpdate(BodyCommand):
    """Write a batch of coordinates. `body` is a list of `Coordinate`."""

    TYPE = 6 | IGNORE_IF_UNKNOWN

    def encode(self, *, sparse: bool = False) -> bytes:  # noqa: ARG002 - all of it is always set
        """Type number and an array of coordinates."""
        return bytes([self.TYPE]) + pack([update.to_wire() for update in self.body])

    @classmethod
    def decode(cls, data: memoryview) -> Self:
        """Decode an array of coordinates. Raises `WireError`."""
        raw = unpack(data)
        if not isinstance(raw, list):
            raise WireError(f"CoordinateBatchUpdate: a list was expected, not {type(raw).__name__}")
        return cls([Coordinate.from_wire(each) for each in raw])

    def apply(self, store: Store, index: int) -> None:
        """See `Coordinates.update`."""
        with store.change(index) as change:
            store.coordinates.update(change, self.body)


class Autopilot(BodyCommand):
    """Write the autopilot configuration; the result is whether a check-and-set matched."""

    TYPE = 9
    BODY = AutopilotSetRequest

    def apply(self, store: Store, index: int) -> bool:
        """See `Operator.set_autopilot`."""
        with store.change(index) as change:
            return store.operator.set_autopilot(change, self.body.config, check_and_set=self.body.cas)


class PreparedQuery(BodyCommand):
    """Write or remove a prepared query."""

    TYPE = 7
    BODY = QueryRequest

    def apply(self, store: Store, index: int) -> None:
        """See `PreparedQueries.put`."""
        request = self.body
        with store.change(index) as change:
            if request.query is None:
                raise RPCError(f"Invalid PreparedQuery operation '{request.op}'")
            if request.op in ("create", "update"):
                store.queries.put(change, request.query, has_session=_has_session(store, request.query.session))
            elif request.op == "delete":
                store.queries.remove(change, request.query.id)
            else:
                raise RPCError(f"Invalid PreparedQuery operation '{request.op}'")


def _has_session(store: Store, session: str) -> bool:
    return bool(session) and store.sessions.table.get(session.lower()) is not None


class KVS(BodyCommand):
    """Change a key, or all keys under a prefix; the result is whether a check-and-set or a lock succeeded.

    False for operations that cannot fail, as Consul replies.
    """

    TYPE = 2
    BODY = KVRequest

    def apply(self, store: Store, index: int) -> bool:
        """See `KVStore`."""
        op, entry, kv = self.body.op, self.body.dir_ent, store.kv
        with store.change(index) as change:
            if op == verbs.SET:
                kv.set(change, entry)
            elif op == verbs.DELETE:
                kv.delete(change, entry.key)
            elif op == verbs.DELETE_TREE:
                kv.delete_tree(change, entry.key)
            elif op == verbs.DELETE_CAS:
                return kv.delete_cas(change, entry.key, entry.modify_index)
            elif op == verbs.CAS:
                return kv.set_cas(change, entry) is not None
            elif op == verbs.LOCK:
                return kv.lock(change, entry) is not None
            elif op == verbs.UNLOCK:
                return kv.unlock(change, entry) is not None
            else:
                raise RPCError(f"Invalid KVS operation '{op}'")
        return False


class Session(BodyCommand):
    """Create or destroy a session; the result is its id, or None."""

    TYPE = 3
    BODY = SessionRequest

    def apply(self, store: Store, index: int) -> str:
        """See `consulpy.state.session_lifecycle`."""
        op, session = self.body.op, self.body.session
        with store.change(index) as change:
            if op == CREATE:
                create_session(change, session)
                return str(session.id)
            if op == DESTROY:
                destroy_session(change, session.id)
                return ""
            raise RPCError(f"Invalid session operation '{op}'")


class Tombstone(BodyCommand):
    """Remove old tombstones."""

    TYPE = 5
    BODY = TombstoneRequest

    def apply(self, store: Store, index: int) -> None:
        """See `Tombstones.reap`."""
        with store.change(index) as change:
            if self.body.op != "reap":
                raise RPCError(f"Invalid Tombstone operation '{self.body.op}'")
            store.kv.tombstones.reap(change, self.body.reap_index)


class Txn(BodyCommand):
    """Apply several operations, or none of them; the result has their results or errors."""

    TYPE = 8
    BODY = TxnRequest

    def apply(self, store: Store, index: int) -> TxnReply:
        """See `txn.run`."""
        return txn.run(store, index, self.body.ops or [])


class Intention(BodyCommand):
    """Write or remove an intention."""

    TYPE = 12
    BODY = IntentionRequest

    def apply(self, store: Store, index: int) -> None:
        """See `Intentions.put`."""
        with store.change(index) as change:
            txn.change_intention(change, self.body)


class ConfigEntry(BodyCommand):
    """Write or remove a config entry; the result is whether it was written."""

    TYPE = 22
    BODY = EntryRequest

    def apply(self, store: Store, index: int) -> bool:
        """See `ConfigEntries.put`."""
        request, entries = self.body, store.config_entries
        with store.change(index) as change:
            if request.op in (UPSERT, UPSERT_CAS):
                return entries.put(change, request.entry, check_and_set=request.op == UPSERT_CAS)
            if request.op == DELETE:
                entries.remove(change, request.leading_kind or request.entry.kind, request.entry.name)
                return True
            if request.op == DELETE_CAS:
                kind, name = request.leading_kind or request.entry.kind, request.entry.name
                known = entries.table.get(*entry_key(kind, name))
                if known is None or known.modify_index != request.entry.modify_index:
                    return False
                entries.remove(change, kind, name)
                return True
            raise RPCError(f"invalid config entry operation type: {request.op}")


class FederationState(BodyCommand):
    """Write or remove the federation state of one datacenter; True for one that was written."""

    TYPE = 30
    BODY = FederationStateRequest

    def apply(self, store: Store, index: int) -> bool | None:
        """See `Operator.set_federation_state`."""
        op, state = self.body.op, self.body.state
        with store.change(index) as change:
            if state is None or op not in (FEDERATION_UPSERT, FEDERATION_DELETE):
                raise RPCError(f"invalid federation state operation type: {op}")
            if op == FEDERATION_DELETE:
                store.operator.remove_federation_state(change, state.datacenter)
                return None
            store.operator.set_federation_state(change, state)
            return True


class _Marker:
    """A log entry that changes only the index. In Raft these are entry types, not commands."""

    TYPE: ClassVar[int]

    __slots__ = ()

    def encode(self, *, sparse: bool = False) -> bytes:  # noqa: ARG002 - there is nothing to leave out
        """The type number alone."""
        return bytes([self.TYPE])

    @classmethod
    def decode(cls, data: memoryview) -> Self:  # noqa: ARG003
        """Decode a marker."""
        return cls()

    def apply(self, store: Store, index: int) -> None:
        """Advance the store's index."""
        with store.change(index):
            pass

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other)

    __hash__ = None  # type: ignore[assignment]


class Configuration(_Marker):
    """The first entry of a log: its servers (here: this one)."""

    TYPE = 64


class Noop(_Marker):
    """The first entry of each term."""

    TYPE = 65


class Barrier(_Marker):
    """Applied after all earlier entries."""

    TYPE = 66


COMMANDS: Final[dict[int, Any]] = {
    command.TYPE: command
    for command in (
        Register,
        Deregister,
        CoordinateBatchUpdate,
        Autopilot,
        KVS,
        Session,
        Tombstone,
        PreparedQuery,
        Txn,
        Intention,
        ConfigEntry,
        FederationState,
        Configuration,
        Noop,
        Barrier,
        *ACL_COMMANDS,
        *CONNECT_COMMANDS,
    )
}


def decode(data: bytes) -> Command:
    """Decode a log entry. Raises `WireError`; unknown commands with `IGNORE_IF_UNKNOWN` become a `Barrier`."""
    if not data:
        raise WireError("an empty log entry")
    kind = data[0]
    known = COMMANDS.get(kind) or COMMANDS.get(kind ^ IGNORE_IF_UNKNOWN)
    if known is None:
        if kind & IGNORE_IF_UNKNOWN:
            return Barrier()
        raise WireError(f"a log entry of unknown type {kind}")
    command: Command = known.decode(memoryview(data)[1:])
    return command
