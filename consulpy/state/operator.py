"""The autopilot configuration and the federation states of datacenters.

Both are only stored. A server's first log entries write them, so that its indexes equal Consul's (docs/wire/rpc.md 13).
"""

import dataclasses
from collections.abc import Sequence

from consulpy.state.change import TableChange
from consulpy.state.indexes import Indexes
from consulpy.state.table import Table
from consulpy.state.watch import WatchSet
from consulpy.structs.operator import AutopilotConfig, FederationState

AUTOPILOT = "autopilot-config"
FEDERATION_STATES = "federation-states"


class Operator:
    """Tables of the autopilot configuration (one row) and the federation states (one row per datacenter)."""

    def __init__(self, indexes: Indexes) -> None:
        self._indexes = indexes
        self.autopilot_table: Table[AutopilotConfig] = Table(AUTOPILOT)
        self.federation_table: Table[FederationState] = Table(FEDERATION_STATES)

    def autopilot(self, watch: WatchSet | None) -> tuple[int, AutopilotConfig | None]:
        """The autopilot configuration, None before a leader wrote one."""
        return self._indexes.max(watch, AUTOPILOT), self.autopilot_table.get(AUTOPILOT)

    def set_autopilot(self, change: TableChange, config: AutopilotConfig, *, check_and_set: bool) -> bool:
        """Write the configuration; with `check_and_set` only if its index is still `config.modify_index`."""
        old = self.autopilot_table.get(AUTOPILOT)
        if check_and_set and config.modify_index != (old.modify_index if old else 0):
            return False
        new = dataclasses.replace(
            config, create_index=old.create_index if old else change.index, modify_index=change.index
        )
        change.put(self.autopilot_table, (AUTOPILOT,), new)
        change.bump(AUTOPILOT)
        return True

    def federation_state(self, watch: WatchSet | None, datacenter: str) -> tuple[int, FederationState | None]:
        """The federation state of a datacenter."""
        return self._indexes.max(watch, FEDERATION_STATES), self.federation_table.get(datacenter)

    def federation_states(self, watch: WatchSet | None) -> tuple[int, Sequence[FederationState]]:
        """All federation states, by datacenter."""
        return self._indexes.max(watch, FEDERATION_STATES), self.federation_table.all()

    def set_federation_state(self, change: TableChange, state: FederationState) -> None:
        """Write the federation state of a datacenter."""
        old = self.federation_table.get(state.datacenter)
        new = dataclasses.replace(
            state,
            primary_modify_index=state.primary_modify_index or change.index,  # this is the primary datacenter
            create_index=old.create_index if old else change.index,
            modify_index=change.index,
        )
        change.put(self.federation_table, (state.datacenter,), new)
        change.bump(FEDERATION_STATES)

    def remove_federation_state(self, change: TableChange, datacenter: str) -> None:
        """Remove the federation state of a datacenter; a missing one changes nothing."""
        if self.federation_table.get(datacenter) is not None:
            change.remove(self.federation_table, (datacenter,))
            change.bump(FEDERATION_STATES)
