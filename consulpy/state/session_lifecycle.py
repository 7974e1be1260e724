"""The lifecycle of sessions: created on a registered node; destroyed by request, by TTL, or with a node or check.

A session ends in the same change that causes it: a reader that sees a check critical sees its sessions gone. TTL and
lock delay are timers, not state; the leader runs them (`consulpy.leader.session_ttl`). Source: docs/wire/rpc.md 10.
"""

import dataclasses

from consulpy.errors import RPCError
from consulpy.state.session import SESSIONS
from consulpy.state.store import Change
from consulpy.structs.check import CRITICAL
from consulpy.structs.session import DELETE_KEYS, RELEASE, Session


def create_session(change: Change, session: Session) -> None:
    """Write a new session. Raises `RPCError` if its node or a check is missing, or a check is critical."""
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
    change.put(change.store.sessions.table, (session.id.lower(),), new)
    change.bump(SESSIONS)


def destroy_session(change: Change, session_id: str) -> None:
    """Destroy a session, its locks and its prepared queries; a missing one changes nothing."""
    store = change.store
    session = store.sessions.table.get(session_id.lower())
    if session is None:
        return
    change.remove(store.sessions.table, (session.id.lower(),))
    change.bump(SESSIONS)
    held = store.kv.end_session(change, session.id, delete=session.behavior == DELETE_KEYS)
    if held and session.lock_delay > 0:
        change.lock_delays.append((held, session.lock_delay))
    store.queries.remove_of_session(change, session.id)


def end_sessions_of_check(change: Change, node: str, check_id: str) -> None:
    """Destroy the sessions bound to a check that became critical or was removed."""
    for session in change.store.sessions.table.by("check", (node.lower(), check_id.lower())):
        destroy_session(change, session.id)


def end_sessions_of_node(change: Change, node: str) -> None:
    """Destroy the sessions of a removed node."""
    for session in change.store.sessions.table.by("node", node.lower()):
        destroy_session(change, session.id)
