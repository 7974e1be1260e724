"""Session.*: sessions and their renewal (docs/wire/rpc.md 10)."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from consulpy.errors import RPCError
from consulpy.gocompat.duration import DurationError, format_duration_ns, parse_duration_ns
from consulpy.rpc.methods import read, write
from consulpy.rpc.uuids import new_uuid
from consulpy.state.commands import Session as Command
from consulpy.state.watch import WatchSet
from consulpy.structs.requests import NodeRequest
from consulpy.structs.session import (
    CREATE,
    DELETE_KEYS,
    DESTROY,
    RELEASE,
    TTL_MAX_NS,
    Session,
    SessionReadRequest,
    SessionRequest,
    SessionsReply,
)

if TYPE_CHECKING:
    from consulpy.rpc.server import Server


@write("Session.Apply", SessionRequest, str)
def apply(server: "Server", request: SessionRequest) -> Any:
    """Create or destroy a session; the id."""
    session = request.session
    if not session.id and request.op == DESTROY:
        raise RPCError("Must provide ID")
    if not session.node and request.op == CREATE:
        raise RPCError("Must provide Node")
    if session.behavior not in ("", RELEASE, DELETE_KEYS):
        raise RPCError(f"Invalid Behavior setting '{session.behavior}'")
    _check_ttl(session.ttl, server.session_ttl_min_ns)
    if request.op == CREATE:
        session_id = new_uuid(server.rng)
        while server.store.sessions.table.get(session_id) is not None:
            session_id = new_uuid(server.rng)
        session = dataclasses.replace(session, id=session_id, behavior=session.behavior or RELEASE)
    elif request.op == DESTROY:
        server.store.sessions.find(session.id)
    command = Command(dataclasses.replace(request, session=session))

    def applied(result: str) -> str:
        if server.sessions is not None:
            if request.op == CREATE:
                server.sessions.renew(session)
            else:
                server.sessions.cancel(session.id)
        return result

    return server.submit(command).addCallback(applied)


def _check_ttl(text: str, min_ns: int) -> None:
    if not text:
        return
    try:
        ttl_ns = parse_duration_ns(text)
    except DurationError as error:
        raise RPCError(f"Session TTL '{text}' invalid: {error}") from None
    if ttl_ns and not min_ns <= ttl_ns <= TTL_MAX_NS:
        raise RPCError(f"Invalid Session TTL '{ttl_ns}', must be between [{format_duration_ns(min_ns)}=24h0m0s]")


def _reply(index: int, sessions: Sequence[Session]) -> SessionsReply:
    reply = SessionsReply(sessions=list(sessions) or None)
    reply.meta.index = index
    return reply


@read("Session.Get", SessionReadRequest, SessionsReply)
def get(server: "Server", request: SessionReadRequest, watch: WatchSet | None) -> SessionsReply:
    """One session, as a list of at most one."""
    index, session = server.store.sessions.get(watch, request.wanted)
    return _reply(index, [session] if session is not None else [])


@read("Session.List", SessionReadRequest, SessionsReply)
def list_all(server: "Server", request: SessionReadRequest, watch: WatchSet | None) -> SessionsReply:  # noqa: ARG001
    """All sessions."""
    return _reply(*server.store.sessions.all(watch))


@read("Session.NodeSessions", NodeRequest, SessionsReply)
def of_node(server: "Server", request: NodeRequest, watch: WatchSet | None) -> SessionsReply:
    """The sessions of one node."""
    return _reply(*server.store.sessions.node(watch, request.node))


@write("Session.Renew", SessionReadRequest, SessionsReply)
def renew(server: "Server", request: SessionReadRequest) -> SessionsReply:
    """Renew the TTL of a session; an empty list if it does not exist."""
    index, session = server.store.sessions.get(None, request.wanted)
    if session is not None and server.sessions is not None:
        server.sessions.renew(session)
    reply = _reply(index, [session] if session is not None else [])
    reply.meta.known_leader = True
    return reply
