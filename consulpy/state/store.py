"""The state store: tables, indexes and watches. It changes only by applying commands of the log.

A result's index is the largest of some *index keys*: a table's name, or a finer one such as `("service", "web")`. A
change sets index keys to its own index; a read adds the keys that it used to its `WatchSet`. So a watch fires exactly
when the index of its result changed. Rules: docs/wire/rpc.md 14.
"""

from collections.abc import Callable

from consulpy.state.acl import Acl
from consulpy.state.catalog import Catalog
from consulpy.state.change import TableChange
from consulpy.state.config_entry import ConfigEntries
from consulpy.state.connect_ca import ConnectCA
from consulpy.state.coordinate import Coordinates
from consulpy.state.indexes import Indexes
from consulpy.state.intention import Intentions
from consulpy.state.kv import KVStore
from consulpy.state.operator import Operator
from consulpy.state.prepared_query import PreparedQueries
from consulpy.state.session import Sessions
from consulpy.state.watch import RESTORED, WatchRegistry


class Store:
    """All tables. `index`: of the last applied command."""

    def __init__(self) -> None:
        self.index = 0
        self.watchers = WatchRegistry()
        #: Called with the keys released by an ended session, and the nanoseconds of their lock delay
        #: (`leader.session_ttl`).
        self.on_lock_delay: Callable[[list[str], int], None] = lambda _keys, _delay_ns: None
        self._empty()

    def _empty(self) -> None:
        self.indexes = Indexes()
        self.catalog = Catalog(self.indexes)
        self.coordinates = Coordinates(self.indexes, self.catalog)
        self.operator = Operator(self.indexes)
        self.config_entries = ConfigEntries(self.indexes)
        self.intentions = Intentions(self.indexes)
        self.queries = PreparedQueries(self.indexes)
        self.sessions = Sessions(self.indexes)
        self.kv = KVStore(self.indexes, self.sessions)
        self.acl = Acl(self.indexes)
        self.connect_ca = ConnectCA(self.indexes)
        #: Records of a restored snapshot that are only stored (`consulpy.state.snapshot`).
        self.unused_records: tuple[bytes, ...] = ()

    @property
    def rows(self) -> int:
        """The approximate number of rows, of the tables that grow large."""
        catalog = self.catalog
        things = len(catalog.nodes_table) + len(catalog.services_table) + len(catalog.checks_table)
        return things + len(self.kv.table)

    def change(self, index: int) -> "Change":
        """A context manager for one atomic change at `index`: all of it is applied, or (when the
        block raises) nothing.
        """
        assert index > self.index, f"index {index} was applied already: {self.index}"
        self.index = index
        return Change(self, index)

    def replace_by(self, other: "Store") -> None:
        """Take over the tables of `other` (a restored snapshot); all watches fire."""
        self.index = other.index
        self.indexes = other.indexes
        self.catalog = other.catalog
        self.coordinates = other.coordinates
        self.operator = other.operator
        self.config_entries = other.config_entries
        self.intentions = other.intentions
        self.queries = other.queries
        self.sessions = other.sessions
        self.kv = other.kv
        self.acl = other.acl
        self.connect_ca = other.connect_ca
        self.unused_records = other.unused_records
        self.watchers.changed([RESTORED])


class Change(TableChange):
    """One atomic change of the whole store; a context manager.

    At the end of the block the watches on its changed keys fire; if the block raised, all of it is undone.
    """

    __slots__ = ("store",)

    def __init__(self, store: Store, index: int) -> None:
        super().__init__(store.indexes, index)
        self.store = store

    def __enter__(self) -> "Change":
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is not None:
            self._undo()
            return
        for released, delay_ns in self.lock_delays:
            self.store.on_lock_delay(released, delay_ns)
        self.store.watchers.changed(self.changed_keys)
        for keys in self.changed_kv:
            self.store.watchers.changed_kv(keys)
