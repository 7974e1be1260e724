"""The table of intentions by id, unique by source and destination."""

import dataclasses
from collections.abc import Sequence
from typing import Final

from consulpy.errors import RPCError
from consulpy.state.change import TableChange
from consulpy.state.indexes import Indexes
from consulpy.state.table import Table
from consulpy.state.watch import WatchSet
from consulpy.structs.intention import WILDCARD, Intention, ends, precedence_of, sort_key

INTENTIONS: Final = "connect-intentions"


class Intentions:
    """Reads and changes of intentions. Reads return `(index, result)`."""

    def __init__(self, indexes: Indexes) -> None:
        self._indexes = indexes
        self.table: Table[Intention] = Table(
            INTENTIONS,
            ends=lambda row: (ends(row),),
            source=lambda row: ((row.source_ns.lower(), row.source_name.lower()),),
            destination=lambda row: ((row.destination_ns.lower(), row.destination_name.lower()),),
        )

    def get(self, watch: WatchSet | None, intention_id: str) -> tuple[int, Intention | None]:
        """An intention by id."""
        return self._indexes.max(watch, INTENTIONS), self.table.get(intention_id)

    def exact(self, watch: WatchSet | None, wanted: Intention) -> tuple[int, Intention | None]:
        """The intention with the same source and destination."""
        return self._indexes.max(watch, INTENTIONS), next(iter(self.table.by("ends", ends(wanted))), None)

    def all(self, watch: WatchSet | None) -> tuple[int, Sequence[Intention]]:
        """All intentions, by precedence."""
        return self._indexes.max(watch, INTENTIONS), sorted(self.table.all(), key=sort_key)

    def matching(self, watch: WatchSet | None, side: str, namespace: str, name: str) -> tuple[int, Sequence[Intention]]:
        """Intentions whose `source` or `destination` (`side`) is this name or a wildcard, by precedence.

        Names match without regard to case.
        """
        namespace, name = namespace.lower(), name.lower()
        wanted = dict.fromkeys(((namespace, name), (namespace, WILDCARD), (WILDCARD, WILDCARD)))
        found = [row for value in wanted for row in self.table.by(side, value)]
        return self._indexes.max(watch, INTENTIONS), sorted(found, key=sort_key)

    def put(self, change: TableChange, intention: Intention) -> None:
        """Write an intention. Raises `RPCError` if another one has the same source and destination."""
        old = self.table.get(intention.id)
        for other in self.table.by("ends", ends(intention)):
            if other.id != intention.id:
                raise RPCError(f"duplicate intention found: {other}")
        new = dataclasses.replace(
            intention,
            precedence=precedence_of(intention),
            created_at=old.created_at if old is not None else intention.created_at,
            create_index=old.create_index if old is not None else change.index,
            modify_index=change.index,
            meta=intention.meta if intention.meta is not None else {},
        )
        change.put(self.table, (intention.id,), new)
        change.bump(INTENTIONS)

    def remove(self, change: TableChange, intention_id: str) -> None:
        """Remove an intention if it exists."""
        if self.table.get(intention_id) is not None:
            change.remove(self.table, (intention_id,))
            change.bump(INTENTIONS)
