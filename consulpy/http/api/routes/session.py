"""/v1/session: sessions, which hold locks."""

from typing import TYPE_CHECKING, Any, Final

from consulpy.errors import BadRequest, NotFound
from consulpy.gocompat.json_decode import GoError, Shape, decode, decode_duration, loads
from consulpy.gocompat.newer_fields import fields_of
from consulpy.http.api.params import apply_to_read, apply_to_write, refuse_namespaces
from consulpy.http.api.render import Rows
from consulpy.http.api.routing import Request, Response, route
from consulpy.http.api.rpc_read import read
from consulpy.local.shapes import INDEXES, aux_struct
from consulpy.structs.check import SERF_HEALTH
from consulpy.structs.requests import NodeRequest, Read
from consulpy.structs.session import (
    CREATE,
    DESTROY,
    LOCK_DELAY_NS,
    RELEASE,
    ServiceCheck,
    Session,
    SessionReadRequest,
    SessionRequest,
)

if TYPE_CHECKING:
    from consulpy.http.api.agent import AgentInterface

#: A lock delay below this number is in seconds, else in nanoseconds.
_SECONDS_BELOW: Final = 1000
_SHAPE: Final = Shape(
    aux_struct("LockDelay interface {}"),
    custom=True,
    durations=frozenset({"LockDelay"}),
    unsigned=INDEXES,
    types={"Behavior": "structs.SessionBehavior", "Checks": "[]types.CheckID"},
    newer=fields_of("Session"),
    foreign_allowed=True,
    inner={ServiceCheck: Shape("structs.ServiceCheck", newer=fields_of("ServiceCheck"))},
)


def _session_in(agent: "AgentInterface", request: Request) -> Session:
    session = Session(node=agent.node_name, node_checks=[SERF_HEALTH], lock_delay=LOCK_DELAY_NS, behavior=RELEASE)
    if not request.body:
        return session
    try:
        raw = loads(request.body)
        given = decode(Session, raw, _SHAPE)
        names = {name.lower(): value for name, value in raw.items()} if isinstance(raw, dict) else {}
        for name, checks in (("nodechecks", given.node_checks), ("checks", given.checks)):
            if checks and (names.get(name) or [""])[0] is None:
                checks[0] = SERF_HEALTH  # Go leaves the default's element in the place of a null
        for name, field in _FIELDS.items():
            if names.get(name) is not None:
                setattr(session, field, getattr(given, field))
        if names.get("lockdelay") is not None:
            session.lock_delay = _lock_delay(names["lockdelay"])
    except GoError as error:
        raise BadRequest(f"Request decode failed: {error}") from None
    # a null is not an absent field: the session has no checks of its node then
    if "checks" in names and not names["checks"]:
        session.node_checks = []
    elif "nodechecks" in names and names["nodechecks"] is None:
        session.node_checks = None
    if "nodechecks" in names and not names["nodechecks"]:
        session.checks = None  # the older spelling replaces checks only where there are some
    return session


_FIELDS: Final = {
    "name": "name",
    "node": "node",
    "behavior": "behavior",
    "ttl": "ttl",
    "checks": "checks",
    "nodechecks": "node_checks",
    "servicechecks": "service_checks",
}


def _lock_delay(value: Any) -> int:
    found = decode_duration(value)
    return found * 10**9 if not isinstance(value, str) and found < _SECONDS_BELOW else found


@route("PUT", "/v1/session/create")
async def create(agent: "AgentInterface", request: Request) -> Response:
    """Create a session, by default on this node with its check `serfHealth`; its id."""
    refuse_namespaces(request)
    body = SessionRequest(op=CREATE, session=_session_in(agent, request))
    return Response({"ID": await agent.caller.call("Session.Apply", apply_to_write(agent, request, body))})


@route("PUT", "/v1/session/destroy/")
async def destroy(agent: "AgentInterface", request: Request) -> Response:
    """Destroy a session."""
    refuse_namespaces(request)
    if not request.tail:
        raise BadRequest("Missing session")
    body = SessionRequest(op=DESTROY, session=Session(id=request.tail))
    await agent.caller.call("Session.Apply", apply_to_write(agent, request, body))
    return Response(True)


@route("PUT", "/v1/session/renew/")
async def renew(agent: "AgentInterface", request: Request) -> Response:
    """Renew the TTL of a session."""
    refuse_namespaces(request)
    body = apply_to_read(agent, request, SessionReadRequest(session_id=request.tail, session=request.tail))
    if not request.tail:
        raise BadRequest("Missing session")
    reply = await agent.caller.call("Session.Renew", body)
    if not reply.sessions:
        raise NotFound(f"Session id '{request.tail}' not found")
    return _shown(reply, {})


@route("GET", "/v1/session/info/")
async def info(agent: "AgentInterface", request: Request) -> Response:
    """One session."""
    body = SessionReadRequest(session_id=request.tail, session=request.tail)
    return await _read(agent, request, "Session.Get", body, "Missing session")


@route("GET", "/v1/session/list")
async def list_all(agent: "AgentInterface", request: Request) -> Response:
    """All sessions."""
    return await _read(agent, request, "Session.List", SessionReadRequest(), "")


@route("GET", "/v1/session/node/")
async def of_node(agent: "AgentInterface", request: Request) -> Response:
    """The sessions of a node."""
    return await _read(agent, request, "Session.NodeSessions", NodeRequest(node=request.tail), "Missing node name")


async def _read(agent: "AgentInterface", request: Request, method: str, body: Read, missing: str) -> Response:
    reply, headers = await read(agent, request, method, body, missing=missing, consistency=False)
    return _shown(reply, headers)


def _shown(reply: Any, headers: dict[str, str]) -> Response:
    return Response(Rows(reply.sessions or (), Session.to_json), headers=headers)
