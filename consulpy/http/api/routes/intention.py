"""/v1/connect/intentions: read, written, matched and checked."""

from typing import TYPE_CHECKING, Any, Final

from consulpy.errors import BadRequest, NotFound, RPCError
from consulpy.gocompat.json_decode import GoError, NewerField, Shape, decode, loads
from consulpy.gocompat.literals import quoted
from consulpy.gocompat.newer_fields import fields_of
from consulpy.http.api.params import apply_to_read, apply_to_write
from consulpy.http.api.routing import HttpError, Request, Response, route
from consulpy.http.api.rpc_read import read
from consulpy.http.api.service_intentions import listed, submit, submitted_by_name
from consulpy.local.shapes import INDEXES, aux_struct
from consulpy.structs.intention import (
    CONSUL_SOURCE,
    DEFAULT_NAMESPACE,
    Intention,
    IntentionCheck,
    IntentionQuery,
    IntentionRequest,
    Match,
    MatchEntry,
    ends,
)
from consulpy.structs.requests import SpecificRequest

if TYPE_CHECKING:
    from consulpy.http.api.agent import AgentInterface

_INTENTION: Final = Shape(
    aux_struct("Hash string", "CreatedAt string", "UpdatedAt string"),
    custom=True,
    unsigned=INDEXES,
    types={"Action": "structs.IntentionAction", "SourceType": "structs.IntentionSourceType"},
    without=frozenset({"CreatedAt", "UpdatedAt", "Hash"}),
    ignored=frozenset({"CreatedAt", "UpdatedAt", "Hash"}),  # set by the servers
    newer=fields_of("Intention"),
)


def shown(intention: Intention) -> dict[str, Any]:
    """One intention as JSON; its metadata is never null."""
    found = intention.to_json()
    found["Meta"] = found["Meta"] or {}
    return found


@route("GET", "/v1/connect/intentions")
async def list_all(agent: "AgentInterface", request: Request) -> Response:
    """All intentions in order of precedence."""
    reply, headers = await read(agent, request, "Intention.List", SpecificRequest(), consistency=False)
    return Response([shown(each) for each in reply.intentions or ()], headers=headers)


def _intention_in(request: Request, *, changing: bool = False) -> Intention:
    try:
        return decode(Intention, loads(request.body), _INTENTION)
    except GoError as error:
        if changing:
            raise BadRequest(f"Bad request: Request decode failed: {error}") from None
        if isinstance(error, NewerField):
            raise BadRequest(f"Failed to decode request body: {error}") from None
        raise RPCError(f"Failed to decode request body: {error}") from None


@route("POST", "/v1/connect/intentions")
async def create(agent: "AgentInterface", request: Request) -> Response:
    """Create an intention; its id."""
    body = apply_to_write(agent, request, IntentionRequest(op="create", intention=_intention_in(request)))
    return Response({"ID": await agent.caller.call("Intention.Apply", body)})


def _query(agent: "AgentInterface", request: Request, query: IntentionQuery) -> IntentionQuery:
    filled = apply_to_read(agent, request, SpecificRequest())
    query.datacenter, query.options = filled.datacenter, filled.options
    return query


@route("GET", "/v1/connect/intentions/")
async def get(agent: "AgentInterface", request: Request) -> Response:
    """One intention by its id."""
    try:
        reply = await agent.caller.call(
            "Intention.Get", _query(agent, request, IntentionQuery(intention_id=request.tail))
        )
    except RPCError as error:
        text = str(error)
        if text == "Intention not found":  # 500 through a client agent, as in Consul
            raise NotFound(text) from None
        if "UUID" in text:
            raise BadRequest(f"Bad request: {text}") from None
        raise
    return Response(shown(reply.intentions[0]))


@route("PUT", "/v1/connect/intentions/")
async def update(agent: "AgentInterface", request: Request) -> Response:
    """Replace an intention; fields that the body does not name become empty."""
    intention = _intention_in(request, changing=True)
    intention.id = request.tail
    body = apply_to_write(agent, request, IntentionRequest(op="update", intention=intention))
    return Response({"ID": await agent.caller.call("Intention.Apply", body)})


@route("DELETE", "/v1/connect/intentions/")
async def delete(agent: "AgentInterface", request: Request) -> Response:
    """Remove an intention."""
    body = apply_to_write(agent, request, IntentionRequest(op="delete", intention=Intention(id=request.tail)))
    await agent.caller.call("Intention.Apply", body)
    return Response(True)


def _parameter(request: Request, name: str) -> str:
    """A parameter that is there once; it may be empty."""
    values = request.query.all(name)
    if len(values) != 1:
        raise RPCError(f"required query parameter '{name}' not set")
    return values[0]


def _named(text: str, parameter: str = "name") -> MatchEntry:
    """A name, or a namespace, a slash and a name. Raises `RPCError`."""
    parts = text.split("/")
    if len(parts) == 3 and parts[0] == DEFAULT_NAMESPACE:  # the partition (Consul 1.11)
        parts = parts[1:]
    if len(parts) > 2:
        raise RPCError(f"{parameter} {quoted(text)} is invalid: input can contain at most one '/'")
    return MatchEntry(parts[0], parts[1]) if len(parts) == 2 else MatchEntry(DEFAULT_NAMESPACE, text)


@route("GET", "/v1/connect/intentions/match")
async def match(agent: "AgentInterface", request: Request) -> Response:
    """The intentions with these names as source or destination."""
    apply_to_read(agent, request, SpecificRequest())  # its errors come first
    side, names = _parameter(request, "by"), request.query.all("name")
    if side not in ("source", "destination"):
        raise RPCError("'by' parameter must be one of 'source' or 'destination'")
    if not names:
        raise RPCError("required query parameter 'name' not set")
    query = IntentionQuery(match=Match(side, [_named(name) for name in names]))
    reply = await agent.caller.call("Intention.Match", _query(agent, request, query))
    found = {
        name: [shown(each) for each in rows] if rows else None for name, rows in zip(names, reply.matches, strict=False)
    }
    return Response(dict(sorted(found.items())))


@route("GET", "/v1/connect/intentions/check")
async def check(agent: "AgentInterface", request: Request) -> Response:
    """Whether an intention allows a connection."""
    apply_to_read(agent, request, SpecificRequest())
    source, destination = (_named(_parameter(request, side), side) for side in ("source", "destination"))
    kind = request.query.get("source-type") or CONSUL_SOURCE
    connection = IntentionCheck(source.namespace, source.name, destination.namespace, destination.name, kind)
    reply = await agent.caller.call("Intention.Check", _query(agent, request, IntentionQuery(check=connection)))
    return Response({"Allowed": reply.allowed})


def _exact(request: Request) -> Intention:
    """An intention with the source and the destination of the parameters. Raises `BadRequest`."""
    try:
        source, destination = (_named(_parameter(request, side), side) for side in ("source", "destination"))
    except RPCError as error:
        raise BadRequest(str(error)) from None
    return Intention(
        source_ns=source.namespace,
        source_name=source.name,
        destination_ns=destination.namespace,
        destination_name=destination.name,
    )


def _with_ends(intentions: list[Intention], wanted: Intention) -> Intention | None:
    return next((each for each in intentions if ends(each) == ends(wanted)), None)


@route("GET", "/v1/connect/intentions/exact")
async def get_exact(agent: "AgentInterface", request: Request) -> Response:
    """The intention of a source and a destination (Consul 1.9); no wildcard covers another name."""
    wanted = _exact(request)
    intentions, headers = await listed(agent, request)
    found = _with_ends(intentions, wanted)
    if found is None:
        raise HttpError(404, "Intention not found", headers)
    return Response(shown(found), headers=headers)


@route("PUT", "/v1/connect/intentions/exact")
async def put_exact(agent: "AgentInterface", request: Request) -> Response:
    """Create or replace the intention of a source and a destination."""
    wanted, intention = _exact(request), _intention_in(request, changing=True)
    intention.id = ""
    intention.source_ns, intention.source_name = wanted.source_ns, wanted.source_name
    intention.destination_ns, intention.destination_name = wanted.destination_ns, wanted.destination_name
    if await submitted_by_name(agent, request, "upsert", intention):
        return Response(True)
    known = _with_ends((await listed(agent, request))[0], wanted)
    intention.id = known.id if known is not None else ""
    await submit(agent, request, "update" if known is not None else "create", intention)
    return Response(True)


@route("DELETE", "/v1/connect/intentions/exact")
async def delete_exact(agent: "AgentInterface", request: Request) -> Response:
    """Remove the intention of a source and a destination, if it exists."""
    wanted = _exact(request)
    if await submitted_by_name(agent, request, "delete", wanted):
        return Response(True)
    known = _with_ends((await listed(agent, request))[0], wanted)
    if known is not None:
        await submit(agent, request, "delete", Intention(id=known.id))
    return Response(True)
