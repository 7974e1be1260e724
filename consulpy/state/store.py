"""The state store: tables, their indexes, and who waits for them. It changes only by applying commands of the log.

A result's index is the largest of some *index keys*: a table's name, or a finer thing such as `("service", "web")`.
A change raises index keys to its own index; a read notes in its `WatchSet` the keys that it consulted. So a waiter is
woken exactly when the index of its result moved. Rules: docs/wire/rpc.md 14.
"""

from collections.abc import Callable

from consulpy.state.acl import Acl
from consulpy.state.catalog import Catalog
from consulpy.state.change import TableChange
from consulpy.state.config_entry import ConfigEntries
from consulpy.state.coordinate import Coordinates
from consulpy.state.indexes import Indexes
from consulpy.state.intention import Intentions
from consulpy.state.kv import KV
from consulpy.state.operator import Operator
from consulpy.state.prepared_query import Queries
from consulpy.state.session import Sessions
from consulpy.state.watch import RESTORED, WatchRegistry


class Store:
    """All tables. `index` is the index of the last command that was applied."""

    def __init__(self) -> None:
        self.index = 0
        self.watchers = WatchRegistry()
        #: Told of each key that its session lost, and for how many ns nobody may lock it (`leader.session_ttl`).
        self.on_lock_delay: Callable[[str, int], None] = lambda _key, _delay_ns: None
        self._empty()

    def _empty(self) -> None:
        self.indexes = Indexes()
        self.catalog = Catalog(self.indexes)
        self.coordinates = Coordinates(self.indexes, self.catalog)
        self.operator = Operator(self.indexes)
        self.config_entries = ConfigEntries(self.indexes)
        self.intentions = Intentions(self.indexes)
        self.queries = Queries(self.indexes)
        self.sessions = Sessions(self.indexes)
        self.kv = KV(self.indexes, self.sessions)
        self.acl = Acl(self.indexes)
        #: Records of a restored snapshot that nothing here acts on (`consulpy.state.snapshot`).
        self.carried: tuple[bytes, ...] = ()

    @property
    def rows(self) -> int:
        """About how many rows there are: those of the tables that grow large."""
        catalog = self.catalog
        things = len(catalog.nodes_table) + len(catalog.services_table) + len(catalog.checks_table)
        return things + len(self.kv.table)

    def change(self, index: int) -> "Change":
        """`with` it, one atomic change at `index`: everything inside happens, or (when it raises) nothing."""
        assert index > self.index, f"index {index} was applied already: {self.index}"
        self.index = index
        return Change(self, index)

    def replace_by(self, other: "Store") -> None:
        """Become `other` (a restored snapshot); everybody who waits is woken."""
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
        self.carried = other.carried
        self.watchers.changed([RESTORED])


class Change(TableChange):
    """One atomic change of the whole store; a context manager.

    At the end of the block the watches of what it touched fire; if the block raised, all of it is undone.
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
        for key, delay_ns in self.lock_delays:
            self.store.on_lock_delay(key, delay_ns)
        self.store.watchers.changed(self.touched)
