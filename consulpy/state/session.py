"""The table of sessions. What creates and ends them is in `consulpy.state.session_lifecycle`."""

from collections.abc import Sequence
from typing import Final

from consulpy.state.indexes import Indexes
from consulpy.state.table import Table
from consulpy.state.uuid_index import check_uuid
from consulpy.state.watch import WatchSet
from consulpy.structs.session import Session

SESSIONS: Final = "sessions"


class Sessions:
    """Reads of sessions. They return `(index, result)`, except `find`."""

    def __init__(self, indexes: Indexes) -> None:
        self._indexes = indexes
        self.table: Table[Session] = Table(
            SESSIONS,
            node=lambda row: (row.node.lower(),),
            check=lambda row: [(row.node.lower(), check.lower()) for check in row.check_ids()],
        )

    def find(self, session_id: str) -> Session | None:
        """A session by id. Raises `RPCError` for an invalid id."""
        check_uuid(session_id, "failed session lookup")
        return self.table.get(session_id.lower())

    def get(self, watch: WatchSet | None, session_id: str) -> tuple[int, Session | None]:
        """A session by id. Raises `RPCError` for an invalid id."""
        return self._indexes.max(watch, SESSIONS), self.find(session_id)

    def all(self, watch: WatchSet | None) -> tuple[int, Sequence[Session]]:
        """All sessions, by id."""
        return self._indexes.max(watch, SESSIONS), self.table.all()

    def node(self, watch: WatchSet | None, node: str) -> tuple[int, Sequence[Session]]:
        """The sessions of a node."""
        return self._indexes.max(watch, SESSIONS), self.table.by("node", node.lower())
