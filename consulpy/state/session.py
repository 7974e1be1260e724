"""Sessions: made on a node that is registered, ended by hand, by time, or with the checks that they hang on.

What ends a session is part of the change that causes it: who sees a check critical sees its sessions gone. Times (TTL,
lock delay) are not part of the state: the leader counts them (`consulpy.leader.session_ttl`).
"""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from consulpy.errors import RPCError
from consulpy.state.indexes import Indexes
from consulpy.state.table import Table
from consulpy.state.uuid_index import check_uuid
from consulpy.state.watch import WatchSet
from consulpy.structs.check import CRITICAL
from consulpy.structs.session import DELETE_KEYS, RELEASE, Session

if TYPE_CHECKING:
    from consulpy.state.store import Change

SESSIONS: Final = "sessions"


class Sessions:
    """All sessions, by id."""

    def __init__(self, indexes: Indexes) -> None:
        self._indexes = indexes
        self.table: Table[Session] = Table(
            SESSIONS,
            node=lambda row: (row.node.lower(),),
            check=lambda row: [(row.node.lower(), check.lower()) for check in row.check_ids()],
        )

    def find(self, session_id: str) -> Session | None:
        """One by its id. Raises `RPCError` for a text that is no id."""
        check_uuid(session_id, "failed session lookup")
        return self.table.get(session_id.lower())

    def get(self, watch: WatchSet | None, session_id: str) -> tuple[int, Session | None]:
        """One by its id. Raises `RPCError`."""
        return self._indexes.max(watch, SESSIONS), self.find(session_id)

    def every(self, watch: WatchSet | None) -> tuple[int, Sequence[Session]]:
        """All, by id."""
        return self._indexes.max(watch, SESSIONS), self.table.all()

    def of_node(self, watch: WatchSet | None, node: str) -> tuple[int, Sequence[Session]]:
        """Those of one node."""
        return self._indexes.max(watch, SESSIONS), self.table.by("node", node.lower())

    def create(self, change: "Change", session: Session) -> None:
        """Write a new one. Raises `RPCError` when its node or a check is missing, or a check critical."""
        if not session.id:
            raise RPCError("Missing session ID")
        if session.behavior not in ("", RELEASE, DELETE_KEYS):
            raise RPCError(f"Invalid session behavior: {session.behavior}")
        catalog = change.store.catalog
        if not catalog.has_node(session.node):
            raise RPCError("Missing node registration")
        for check_id in session.check_ids():
            check = catalog.check(session.node, check_id)
            if check is None:
                raise RPCError(f"Missing check '{check_id}' registration")
            if check.status == CRITICAL:
                raise RPCError(f"Check '{check_id}' is in {CRITICAL} state")
        new = dataclasses.replace(
            session, behavior=session.behavior or RELEASE, create_index=change.index, modify_index=change.index
        )
        change.put(self.table, (session.id.lower(),), new)
        change.bump(SESSIONS)

    def destroy(self, change: "Change", session_id: str) -> None:
        """End one, and with it its locks and its prepared queries; a missing one changes nothing."""
        session = self.table.get(session_id.lower())
        if session is None:
            return
        store = change.store
        change.remove(self.table, (session.id.lower(),))
        change.bump(SESSIONS)
        held = store.kv.end_session(change, session.id, delete=session.behavior == DELETE_KEYS)
        if session.lock_delay > 0:
            change.lock_delays.extend((key, session.lock_delay) for key in held)
        store.queries.remove_of_session(change, session.id)

    def check_failed(self, change: "Change", node: str, check_id: str) -> None:
        """A check turned critical or is gone: end the sessions that hang on it."""
        for session in self.table.by("check", (node.lower(), check_id.lower())):
            self.destroy(change, session.id)

    def node_gone(self, change: "Change", node: str) -> None:
        """A node is gone: end all of its sessions."""
        for session in self.table.by("node", node.lower()):
            self.destroy(change, session.id)
