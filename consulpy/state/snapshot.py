"""The whole state as a list of records, and back; a log is compacted into it.

Records and their order are those of Consul's `state.bin` (docs/wire/rpc.md 15): `u8 type` and msgpack; nodes, services
and checks as Register bodies, coordinates, sessions, ACL tables, keys, tombstones, autopilot, federation states, and at
the end the index of every key.
"""

import dataclasses
from collections.abc import Callable, Hashable, Iterable, Iterator
from functools import partial
from typing import Any, Final, TypeVar

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.msgpack import pack, unpack_from
from consulpy.codec.record import Record
from consulpy.errors import WireError
from consulpy.state import commands
from consulpy.state.acl import BOOTSTRAP, with_current_links
from consulpy.state.acl import tables_of as acl_tables
from consulpy.state.acl_commands import (
    AclBootstrap,
    AuthMethodSet,
    BindingRuleSet,
    LegacyAclChange,
    PolicySet,
    RoleSet,
    TokenSet,
    legacy_token,
)
from consulpy.state.catalog import Instance
from consulpy.state.commands import Autopilot, CoordinateBatchUpdate, FederationState, Register
from consulpy.state.config_entry import UPSERT, entry_key
from consulpy.state.connect_ca import CONFIG as CA_CONFIG_KEY
from consulpy.state.intention import INTENTIONS
from consulpy.state.operator import AUTOPILOT
from consulpy.state.store import Store
from consulpy.state.table import Table
from consulpy.structs.acl import AuthMethod, BindingRule, LegacyAcl, Policy, Role, Token
from consulpy.structs.check import HealthCheck
from consulpy.structs.config_entry import SERVICE_INTENTIONS
from consulpy.structs.config_entry_requests import EntryRequest, RestoredEntry
from consulpy.structs.connect_ca import CAConfiguration, CAProviderState, CARoot
from consulpy.structs.coordinate import Coordinate
from consulpy.structs.intention import Intention
from consulpy.structs.kv import DirEntry
from consulpy.structs.newer_selectors import foreign_selector
from consulpy.structs.node import Node
from consulpy.structs.operator import FEDERATION_UPSERT, AutopilotConfig, FederationStateRequest
from consulpy.structs.operator import FederationState as State
from consulpy.structs.prepared_query import PreparedQuery
from consulpy.structs.requests import RegisterRequest
from consulpy.structs.service_intentions import restored
from consulpy.structs.session import Session

#: Type of a record with the index of one key; only in snapshots.
INDEX: Final = 16
#: Type of incomplete large values of a Raft log; never written here.
CHUNKING: Final = 29
#: Types of real Consul's records that are not used here (areas); stored, so that a snapshot taken here has them too.
UNUSED_TYPES: Final = frozenset({10, 21})
#: Newer records of what newer servers derive from other records, or settings of theirs: system metadata, virtual IPs
#: of services in use and free, names of services by kind (Consul 1.9 to 1.12).
DERIVED_TYPES: Final = frozenset({31, 32, 33, 34})
#: Newer records that mean something, and what.
_NEWER_TYPES: Final = {
    **dict.fromkeys(range(35, 41), "cluster peering of Consul 1.13"),
    42: "resources of Consul 1.16",
    43: "virtual IPs of Consul 1.18",
}
#: Prefix of index keys since Consul 1.13 of what belongs to the own cluster, and of what any peer's is.
_OWN_INDEX, _PEER_INDEX = "peer.internal:", "peer."
#: Types of the records of Connect's CA.
CA_ROOT, CA_PROVIDER_STATE, CA_CONFIG = 13, 14, 15
#: How index keys that are not tables are encoded in a snapshot: prefix and rest.
_PREFIXES: Final = {"service": "service.", "kind": "service_kind.", "connect": "service_connect."}
#: The encoded kind of ordinary services.
TYPICAL: Final = "typical"


Row = TypeVar("Row", bound=Record)
_Restore = Callable[[Store, object], None]


@dataclass(slots=True)
class IndexEntry(Record):
    """The index of one key."""

    key: str = ""
    value: int = 0


@dataclass(slots=True)
class Snapshot:
    """The state at one index. Creating one copies references only; `records` may then run in another thread."""

    index: int
    nodes: list[Node]
    services: list[Instance]
    checks: list[HealthCheck]
    coordinates: list[Coordinate]
    autopilot: list[AutopilotConfig]
    federation_states: list[State]
    sessions: list[Session]
    keys: list[DirEntry]
    tombstones: list[DirEntry]
    queries: list[PreparedQuery]
    intentions: list[Intention]
    config_entries: list[Any]
    ca_roots: list[CARoot]
    ca_provider_states: list[CAProviderState]
    ca_config: list[CAConfiguration]
    #: Tokens, policies, roles, binding rules and auth methods, each with its record type.
    acl: list[tuple[int, list[Any]]]
    unused_records: tuple[bytes, ...]
    indexes: list[tuple[Hashable, int]]

    @classmethod
    def of(cls, store: Store) -> "Snapshot":
        """The current state of `store`."""
        return cls(
            index=store.index,
            nodes=store.catalog.nodes_table.unordered(),
            services=store.catalog.services_table.unordered(),
            checks=store.catalog.checks_table.unordered(),
            coordinates=store.coordinates.table.unordered(),
            autopilot=store.operator.autopilot_table.unordered(),
            federation_states=store.operator.federation_table.unordered(),
            sessions=store.sessions.table.unordered(),
            keys=store.kv.table.unordered(),
            tombstones=store.kv.tombstones.table.unordered(),
            queries=store.queries.table.unordered(),
            intentions=store.intentions.table.unordered(),
            config_entries=store.config_entries.table.unordered(),
            ca_roots=store.connect_ca.root_table.unordered(),
            ca_provider_states=store.connect_ca.provider_table.unordered(),
            ca_config=store.connect_ca.config_table.unordered(),
            acl=list(zip(_ACL_RECORDS, map(Table.unordered, acl_tables(store.acl)), strict=True)),
            unused_records=store.unused_records,
            indexes=list(store.indexes.items()),
        )

    def records(self) -> Iterator[bytes]:
        """All records, in a fixed order."""
        services: dict[str, list[Instance]] = {}
        for row in self.services:
            services.setdefault(row.node, []).append(row)
        checks: dict[str, list[HealthCheck]] = {}
        for check in self.checks:
            checks.setdefault(check.node.lower(), []).append(check)
        for node in sorted(self.nodes, key=lambda node: node.node.lower()):
            name = node.node.lower()
            yield _register(node)
            for row in sorted(services.get(name, ()), key=lambda row: row.service.id.lower()):
                yield _register(node, row)
            for check in sorted(checks.get(name, ()), key=lambda check: check.check_id.lower()):
                yield _register(node, check=check)
        for coordinate in sorted(self.coordinates, key=lambda row: (row.node.lower(), row.segment)):
            yield bytes([CoordinateBatchUpdate.TYPE & 127]) + pack([coordinate.to_wire()])
        for session in sorted(self.sessions, key=lambda session: session.id):
            yield bytes([commands.Session.TYPE]) + session.pack()
        names = {kind: {row.id.lower(): row.name for row in rows}.get for kind, rows in self.acl if kind in _NAMED}
        for kind, rows in self.acl:
            if kind in _WITH_LINKS:
                rows = [with_current_links(row, names[PolicySet.TYPE], names[RoleSet.TYPE]) for row in rows]
            for packed in sorted(row.pack() for row in rows):
                yield bytes([kind]) + packed
        for kind, entries in ((commands.KVS.TYPE, self.keys), (commands.Tombstone.TYPE, self.tombstones)):
            for entry in sorted(entries, key=lambda entry: entry.key):
                yield bytes([kind]) + entry.pack()
        for query in sorted(self.queries, key=lambda query: query.id):
            yield bytes([commands.PreparedQuery.TYPE]) + query.pack()
        for config in self.autopilot:
            yield bytes([Autopilot.TYPE]) + config.pack()
        for intention in sorted(self.intentions, key=lambda intention: intention.id):
            yield bytes([commands.Intention.TYPE]) + intention.pack()
        for kind, ca_rows in (
            (CA_ROOT, sorted(self.ca_roots, key=lambda root: root.id)),
            (CA_PROVIDER_STATE, sorted(self.ca_provider_states, key=lambda state: state.id)),
            (CA_CONFIG, self.ca_config),
        ):
            for ca_row in ca_rows:
                yield bytes([kind]) + ca_row.pack()
        for config_entry in sorted(self.config_entries, key=lambda entry: (entry.kind, entry.name)):
            yield bytes([commands.ConfigEntry.TYPE]) + EntryRequest(op=UPSERT, entry=config_entry).pack()
        for state in sorted(self.federation_states, key=lambda state: state.datacenter):
            yield bytes([FederationState.TYPE]) + FederationStateRequest(op=FEDERATION_UPSERT, state=state).pack()
        yield from self.unused_records
        for key, value in sorted((_encode_key(key), value) for key, value in self.indexes):
            yield bytes([INDEX]) + IndexEntry(key, value).pack()


class Restoration:
    """A store that is made of the records of a snapshot at `index`, one after the other."""

    def __init__(self, index: int) -> None:
        self._store = Store()
        self._store.index = index
        self._carried: list[bytes] = []

    def add(self, record: bytes, value: Any) -> None:
        """The next record, and what follows its type, decoded. Raises `WireError`."""
        kind = record[0]
        if kind in UNUSED_TYPES:
            self._carried.append(record)
        elif kind != CHUNKING and kind not in DERIVED_TYPES:
            put = _RESTORE.get(kind)
            if put is None:
                feature = _NEWER_TYPES.get(kind)
                known = f"type {kind}: {feature}, which is not served here" if feature else f"unknown type {kind}"
                raise WireError(f"a snapshot record of {known}")
            put(self._store, value)

    def finish(self) -> Store:
        """The store: there are no more records."""
        self._store.unused_records = tuple(self._carried)
        return self._store


def restore(index: int, records: Iterable[bytes]) -> Store:
    """The store restored from the records of a snapshot at `index`. Raises `WireError`."""
    restoration = Restoration(index)
    for record in records:
        if not record:
            raise WireError("an empty snapshot record")
        restoration.add(record, unpack_from(memoryview(record)[1:])[0])
    return restoration.finish()


def _register(node: Node, row: Instance | None = None, check: HealthCheck | None = None) -> bytes:
    request = RegisterRequest.of(node)
    request.service, request.check = row.service if row is not None else None, check
    request.create_index, request.modify_index = node.create_index, node.modify_index
    return bytes([Register.TYPE]) + request.pack()


def _restore_registration(store: Store, raw: object) -> None:
    if foreign := foreign_selector(raw):
        raise WireError(f"a snapshot record of a node: {foreign}")
    request = RegisterRequest.from_wire(raw)
    catalog, name = store.catalog, request.node.lower()
    if request.service is not None:
        catalog.services_table._replace((name, request.service.id.lower()), Instance(name, request.service))
    elif request.check is not None:
        catalog.checks_table._replace((name, request.check.check_id.lower()), request.check)
    else:
        node = request.catalog_node(request.create_index, request.modify_index)
        catalog.nodes_table._replace((name,), node)


def _restore_coordinates(store: Store, raw: object) -> None:
    if not isinstance(raw, list):
        raise WireError("coordinates: a list was expected")
    for coordinate in map(Coordinate.from_wire, raw):
        store.coordinates.table._replace((coordinate.node.lower(), coordinate.segment), coordinate)


def _row(kind: type[Row], table_of: Callable[[Store], Table[Row]], key_of: Callable[[Row], str]) -> _Restore:
    """The function that restores records of one row each."""

    def restore_row(store: Store, raw: object) -> None:
        row = kind.from_wire(raw)
        table_of(store)._replace((key_of(row),), row)

    return restore_row


def _restore_config_entry(store: Store, raw: object) -> None:
    entry = RestoredEntry.from_wire(raw).entry
    if entry.kind == SERVICE_INTENTIONS:  # newer servers keep intentions so
        for intention in restored(entry):
            store.intentions.table._replace((intention.id,), intention)
        store.indexes._replace(INTENTIONS, max(entry.modify_index, store.indexes.get(INTENTIONS)))
        return
    store.config_entries.table._replace(entry_key(entry.kind, entry.name), entry)


def _restore_federation_state(store: Store, raw: object) -> None:
    state = FederationStateRequest.from_wire(raw).state
    if state is None:  # earlier snapshots of this program had the bare record
        state = State.from_wire(raw)
    store.operator.federation_table._replace((state.datacenter,), state)


def _restore_acl(store: Store, raw: object, kind: int) -> None:
    record: Any = _ACL_RECORDS[kind].from_wire(raw)
    table = dict(zip(_ACL_RECORDS, acl_tables(store.acl), strict=True))[kind]
    key = record.secret_id if kind == TokenSet.TYPE else getattr(record, "id", None) or record.name
    table._replace((key if kind == TokenSet.TYPE else key.lower(),), record)


def _restore_legacy_acl(store: Store, raw: object) -> None:
    token = legacy_token(LegacyAcl.from_wire(raw))
    store.acl.tokens._replace((token.secret_id,), dataclasses.replace(token, hash=token.content_hash()))


def _restore_legacy_bootstrap(store: Store, raw: object) -> None:
    store.indexes._replace(BOOTSTRAP, LegacyAcl.from_wire(raw).modify_index)


def _restore_index(store: Store, raw: object) -> None:
    entry = IndexEntry.from_wire(raw)
    key = entry.key.removeprefix(_OWN_INDEX)
    if not key.startswith(_PEER_INDEX):
        decoded = _decode_key(key)
        store.indexes._replace(decoded, max(entry.value, store.indexes.get(decoded)))


#: Record types of the ACL tables, in the order of `acl_tables`.
_ACL_RECORDS: Final[dict[int, type[Record]]] = {
    TokenSet.TYPE: Token,
    PolicySet.TYPE: Policy,
    RoleSet.TYPE: Role,
    BindingRuleSet.TYPE: BindingRule,
    AuthMethodSet.TYPE: AuthMethod,
}
#: Types whose records contain the names of linked rows, and those of these rows.
_WITH_LINKS: Final = (TokenSet.TYPE, RoleSet.TYPE)
_NAMED: Final = (PolicySet.TYPE, RoleSet.TYPE)

_RESTORE: Final[dict[int, _Restore]] = {
    Register.TYPE: _restore_registration,
    CoordinateBatchUpdate.TYPE & 127: _restore_coordinates,
    commands.Session.TYPE: _row(Session, lambda store: store.sessions.table, lambda row: row.id.lower()),
    commands.KVS.TYPE: _row(DirEntry, lambda store: store.kv.table, lambda row: row.key),
    commands.Tombstone.TYPE: _row(DirEntry, lambda store: store.kv.tombstones.table, lambda row: row.key),
    commands.PreparedQuery.TYPE: _row(PreparedQuery, lambda store: store.queries.table, lambda row: row.id.lower()),
    Autopilot.TYPE: _row(AutopilotConfig, lambda store: store.operator.autopilot_table, lambda _: AUTOPILOT),
    commands.Intention.TYPE: _row(Intention, lambda store: store.intentions.table, lambda row: row.id),
    commands.ConfigEntry.TYPE: _restore_config_entry,
    FederationState.TYPE: _restore_federation_state,
    CA_ROOT: _row(CARoot, lambda store: store.connect_ca.root_table, lambda row: row.id),
    CA_PROVIDER_STATE: _row(CAProviderState, lambda store: store.connect_ca.provider_table, lambda row: row.id),
    CA_CONFIG: _row(CAConfiguration, lambda store: store.connect_ca.config_table, lambda _: CA_CONFIG_KEY),
    LegacyAclChange.TYPE: _restore_legacy_acl,
    AclBootstrap.TYPE: _restore_legacy_bootstrap,
    INDEX: _restore_index,
    **{kind: partial(_restore_acl, kind=kind) for kind in _ACL_RECORDS},
}


def _encode_key(key: Hashable) -> str:
    if isinstance(key, str):
        return key
    assert isinstance(key, tuple)
    if key[0] == "kind" and not key[1]:
        return _PREFIXES["kind"] + TYPICAL
    return _PREFIXES[key[0]] + str(key[1])


def _decode_key(encoded: str) -> Hashable:
    for family, prefix in _PREFIXES.items():
        if encoded.startswith(prefix):
            rest = encoded.removeprefix(prefix)
            return (family, "" if family == "kind" and rest == TYPICAL else rest)
    return encoded
