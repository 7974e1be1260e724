"""The tables of Connect's CA: roots, states of the built-in provider, the configuration, the counter of serials."""

import dataclasses
from collections.abc import Sequence
from typing import Final

from consulpy.errors import RPCError
from consulpy.state.change import TableChange
from consulpy.state.indexes import Indexes
from consulpy.state.table import Table
from consulpy.state.watch import WatchSet
from consulpy.structs.connect_ca import CAConfiguration, CAProviderState, CARoot

ROOTS: Final = "connect-ca-roots"
PROVIDER: Final = "connect-ca-builtin"
#: An index that is a counter: the serial of the newest certificate.
SERIAL: Final = "connect-ca-builtin-serial"
#: Key of watches on the configuration, which has no index in Consul's table of indexes.
CONFIG: Final = "connect-ca-config"


class ConnectCA:
    """The state of the CA."""

    def __init__(self, indexes: Indexes) -> None:
        self._indexes = indexes
        self.root_table: Table[CARoot] = Table(ROOTS)
        self.provider_table: Table[CAProviderState] = Table(PROVIDER)
        self.config_table: Table[CAConfiguration] = Table(CONFIG)

    # -- reads

    def roots(self, watch: WatchSet | None) -> tuple[int, Sequence[CARoot]]:
        """All roots, by id."""
        return self._indexes.max(watch, ROOTS), self.root_table.all()

    @property
    def active_root(self) -> CARoot | None:
        """The root that signs."""
        return next((root for root in self.root_table.all() if root.active), None)

    def configuration(self, watch: WatchSet | None) -> CAConfiguration | None:
        """The configuration, None before the first leader with Connect."""
        if watch is not None:
            watch.add(CONFIG)
        return self.config_table.get(CONFIG)

    def provider_state(self, state_id: str) -> CAProviderState | None:
        """The state of the built-in provider with one configuration."""
        return self.provider_table.get(state_id)

    # -- changes

    def set_roots(self, change: TableChange, read_index: int, roots: Sequence[CARoot]) -> bool:
        """Replace all roots if none changed since `read_index`; whether it was. Raises `RPCError`."""
        if sum(root.active for root in roots) != 1:
            raise RPCError("there must be exactly one active CA")
        if any(not root.id for root in roots):
            raise RPCError("Missing CA root ID")
        if self._indexes.get(ROOTS) != read_index:
            return False
        old = {root.id: root for root in self.root_table.all()}
        for root_id in old:
            change.remove(self.root_table, (root_id,))
        for root in roots:
            created = old[root.id].create_index if root.id in old else change.index
            fresh = dataclasses.replace(root, create_index=created, modify_index=change.index)
            change.put(self.root_table, (root.id,), fresh)
        change.bump(ROOTS)
        return True

    def set_configuration(
        self, change: TableChange, config: CAConfiguration, *, read_index: int | None = None, index: int = 0
    ) -> bool:
        """Write the configuration, with `read_index` only if it is unchanged since; whether it was.

        `index`: its index, by default that of the change.
        """
        old = self.config_table.get(CONFIG)
        if read_index is not None and read_index != (old.modify_index if old is not None else 0):
            return False
        index = index or change.index
        fresh = dataclasses.replace(
            config,
            cluster_id=config.cluster_id or (old.cluster_id if old is not None else ""),
            create_index=old.create_index if old is not None else index,
            modify_index=index,
        )
        change.put(self.config_table, (CONFIG,), fresh)
        change.mark_changed(CONFIG)
        return True

    def set_provider_state(self, change: TableChange, state: CAProviderState) -> None:
        """Write the provider's state."""
        old = self.provider_table.get(state.id)
        created = old.create_index if old is not None else change.index
        fresh = dataclasses.replace(state, create_index=created, modify_index=change.index)
        change.put(self.provider_table, (state.id,), fresh)
        change.bump(PROVIDER)

    def delete_provider_state(self, change: TableChange, state_id: str) -> None:
        """Remove a state of the provider if it exists; its table's index stays, as in Consul."""
        if self.provider_table.get(state_id) is not None:
            change.remove(self.provider_table, (state_id,))

    def next_serial(self, change: TableChange) -> int:
        """Count the serial of the next certificate. The first one follows the index of the provider's table."""
        serial = (self._indexes.get(SERIAL) or self._indexes.get(PROVIDER)) + 1
        change.set_index(SERIAL, serial)
        return serial
