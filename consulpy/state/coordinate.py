"""The table of network coordinates, one row per node and segment (docs/wire/rpc.md 10, 13)."""

from collections.abc import Sequence

from consulpy.state.catalog import Catalog
from consulpy.state.change import TableChange
from consulpy.state.indexes import COORDINATES, Indexes
from consulpy.state.table import Table
from consulpy.state.watch import WatchSet
from consulpy.structs.coordinate import Coord, Coordinate


class Coordinates:
    """Reads and changes of coordinates. Reads return `(index, result)`."""

    def __init__(self, indexes: Indexes, catalog: Catalog) -> None:
        self._indexes = indexes
        self._catalog = catalog
        self.table: Table[Coordinate] = Table("coordinates", node=lambda row: (row.node.lower(),))

    def all(self, watch: WatchSet | None) -> tuple[int, Sequence[Coordinate]]:
        """All coordinates, by node and segment."""
        return self._indexes.max(watch, COORDINATES), self.table.all()

    def node(self, watch: WatchSet | None, node: str) -> tuple[int, Sequence[Coordinate]]:
        """The coordinates of a node, by segment; the index is the table's, also for an unknown node."""
        return self._indexes.max(watch, COORDINATES), self.table.by("node", node.lower())

    def by_segment(self, node: str) -> dict[str, Coord]:
        """The coordinates of a node as a map by segment, for sorting by distance."""
        return {row.segment: row.coord for row in self.table.by("node", node.lower()) if row.coord is not None}

    def update(self, change: TableChange, updates: Sequence[Coordinate]) -> None:
        """Write a batch; coordinates of unknown nodes are ignored."""
        for update in updates:
            if update.coord is not None and self._catalog.has_node(update.node):
                change.put(self.table, (update.node.lower(), update.segment), update)
        change.bump(COORDINATES)

    def remove_node(self, change: TableChange, node: str) -> None:
        """Remove the coordinates of a deregistered node."""
        rows = self.table.by("node", node.lower())
        for row in rows:
            change.remove(self.table, (row.node.lower(), row.segment))
        if rows:
            change.bump(COORDINATES)
