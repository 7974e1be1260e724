"""The state store: tables, their indexes, and who waits for them. It changes only by applying commands of the log.

A result's index is the largest of some *index keys*: a table's name, or a finer thing such as `("service", "web")`.
A change raises index keys to its own index; a read notes in its `WatchSet` the keys that it consulted. So a waiter is
woken exactly when the index of its result moved. Rules: docs/wire/rpc.md 14.
"""

from collections.abc import Callable, Hashable
from typing import Any

from consulpy.state.acl import Acl
from consulpy.state.catalog import Catalog
from consulpy.state.config_entry import ConfigEntries
from consulpy.state.coordinate import Coordinates
from consulpy.state.indexes import Indexes
from consulpy.state.intention import Intentions
from consulpy.state.kv import KV
from consulpy.state.operator import Operator
from consulpy.state.prepared_query import Queries
from consulpy.state.session import Sessions
from consulpy.state.table import Key, Row, Table
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
        self.coordinates = Coordinates(self.indexes)
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


class Change:
    """What one command may do to the store: replace rows, raise indexes, name what it touched.

    A context manager: at its end waiters wake; if it raised, all of it is undone.
    """

    __slots__ = ("_journal", "index", "lock_delays", "store", "touched")

    def __init__(self, store: Store, index: int) -> None:
        self.store = store
        self.index = index
        self.touched: dict[Hashable, None] = {}
        #: Keys whose session was ended, and how long (ns) they stay closed.
        self.lock_delays: list[tuple[str, int]] = []
        self._journal: list[tuple[Any, ...]] = []

    def __enter__(self) -> "Change":
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is not None:
            self._undo()
            return
        for key, delay_ns in self.lock_delays:
            self.store.on_lock_delay(key, delay_ns)
        self.store.watchers.changed(self.touched)

    def put(self, table: Table[Row], key: Key, row: Row) -> None:
        """Insert or replace a row."""
        self._journal.append((table._replace, key, table._replace(key, row)))

    def remove(self, table: Table[Row], key: Key) -> None:
        """Remove a row."""
        self._journal.append((table._replace, key, table._replace(key, None)))

    def bump(self, *keys: Hashable) -> None:
        """Raise these index keys to this change's index, and wake who depends on them."""
        for key in keys:
            self._set_index(key, self.index)

    def forget(self, key: Hashable) -> None:
        """Drop an index key (of a service that disappeared), and wake who depends on it."""
        self._set_index(key, 0)

    def touch(self, *keys: Hashable) -> None:
        """Wake who depends on these without an index of their own."""
        for key in keys:
            self.touched[key] = None

    def _set_index(self, key: Hashable, index: int) -> None:
        indexes = self.store.indexes
        self._journal.append((indexes._replace, key, indexes._replace(key, index)))
        self.touched[key] = None

    def _undo(self) -> None:
        for replace, key, old in reversed(self._journal):
            replace(key, old)
