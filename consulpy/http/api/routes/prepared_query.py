"""/v1/query: prepared queries. Below it Consul has its own errors for unknown methods."""

import dataclasses
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from consulpy.errors import NotFound, RPCError
from consulpy.gocompat.json_decode import GoError, Shape, decode, loads
from consulpy.gocompat.literals import atoi, quoted
from consulpy.gocompat.newer_fields import fields_of
from consulpy.http.api.params import apply_to_read, apply_to_write
from consulpy.http.api.refused import denied_headers, is_refusal
from consulpy.http.api.render import Rows, checks_bytes
from consulpy.http.api.routing import HttpError, Request, Response, route
from consulpy.http.api.rpc_read import consistency_of, meta_headers, read, wan_headers
from consulpy.local.api import parse_bool
from consulpy.local.shapes import INDEXES
from consulpy.structs.options import QueryMeta, QuerySource
from consulpy.structs.prepared_query import (
    PreparedQuery,
    QueryDns,
    QueryExecuteRequest,
    QueryFailover,
    QueryGetRequest,
    QueryRequest,
    QueryService,
    QueryTemplate,
)
from consulpy.structs.requests import SpecificRequest
from consulpy.structs.service import CheckServiceNode

if TYPE_CHECKING:
    from consulpy.http.api.agent import AgentInterface

_QUERY: Final = Shape(
    "structs.PreparedQuery",
    unsigned=INDEXES,
    newer=fields_of("PreparedQuery"),
    inner={
        QueryTemplate: Shape("structs.QueryTemplateOptions"),
        QueryDns: Shape("structs.QueryDNSOptions"),
        QueryService: Shape(
            "structs.ServiceQuery",
            types={"IgnoreCheckIDs": "[]types.CheckID"},
            newer=fields_of("QueryService"),
            inner={QueryFailover: Shape("structs.QueryDatacenterOptions", newer=fields_of("QueryFailover"))},
        ),
    },
)
_NOT_FOUND: Final = "Query not found"


def _query_in(request: Request) -> PreparedQuery:
    try:
        return decode(PreparedQuery, loads(request.body), _QUERY)
    except GoError as error:
        raise HttpError(400, f"Request decode failed: {error}") from None


@route("GET", "/v1/query")
async def list_all(agent: "AgentInterface", request: Request) -> Response:
    """All prepared queries."""
    reply, headers = await read(agent, request, "PreparedQuery.List", SpecificRequest())
    return Response([query.to_json() for query in reply.queries or ()], headers=headers)


@route("POST", "/v1/query")
async def create(agent: "AgentInterface", request: Request) -> Response:
    """Create a prepared query; its id."""
    body = apply_to_write(agent, request, QueryRequest(op="create", query=_query_in(request)))
    return Response({"ID": await agent.caller.call("PreparedQuery.Apply", body)})


async def get(agent: "AgentInterface", request: Request, query_id: str) -> Response:
    """One prepared query by its id."""
    try:
        reply, headers = await read(agent, request, "PreparedQuery.Get", QueryGetRequest(query_id=query_id))
    except RPCError as error:
        raise _not_found_or(error) from None
    return Response([query.to_json() for query in reply.queries or ()], headers=headers)


async def update(agent: "AgentInterface", request: Request, query_id: str) -> Response:
    """Update a prepared query."""
    query = _query_in(request) if request.body else PreparedQuery()
    query.id = query_id
    await agent.caller.call(
        "PreparedQuery.Apply", apply_to_write(agent, request, QueryRequest(op="update", query=query))
    )
    return Response()


async def delete(agent: "AgentInterface", request: Request, query_id: str) -> Response:
    """Remove a prepared query."""
    body = QueryRequest(op="delete", query=PreparedQuery(id=query_id))
    await agent.caller.call("PreparedQuery.Apply", apply_to_write(agent, request, body))
    return Response()


def _not_found_or(error: RPCError) -> RPCError:
    return NotFound(str(error)) if str(error).endswith(_NOT_FOUND) else error


def _not_executed(error: RPCError, *, cached: bool = False) -> RPCError:
    """The error of a query with the headers of an empty reply, as in 1.8.7; an unknown query has none.

    With `?cached` it has them too, and is a 500.
    """
    if is_refusal(str(error)):
        return HttpError(403, str(error), meta_headers(QueryMeta()) | denied_headers(error))
    known = _not_found_or(error)
    if not isinstance(known, NotFound):
        return HttpError(error.http_status, str(error), meta_headers(QueryMeta()))
    return HttpError(500, str(error), meta_headers(QueryMeta())) if cached else known


def _execute_request(agent: "AgentInterface", request: Request, id_or_name: str) -> QueryExecuteRequest:
    filled = apply_to_read(agent, request, SpecificRequest())
    query = QueryExecuteRequest(
        datacenter=filled.datacenter,
        options=filled.options,
        query_id_or_name=id_or_name,
        source=filled.source,
        agent=QuerySource(datacenter=agent.datacenter, node=agent.node_name),
    )
    if request.query.get("near") == "_agent":
        query.source.node = "_agent"
    limit = request.query.get("limit")
    if limit:
        try:
            query.limit = atoi(limit)
        except ValueError as error:
            raise RPCError(f"Bad limit: {error}") from None
    return query


async def execute(agent: "AgentInterface", request: Request, id_or_name: str) -> Response:
    """Execute a prepared query."""
    query = _execute_request(agent, request, id_or_name)
    connect = request.query.get("connect")
    wanted = parse_bool(connect) if connect else False
    if wanted is None:
        fault = f"strconv.ParseBool: parsing {quoted(connect)}: invalid syntax"
        raise RPCError(f"Error parsing 'connect' value: {fault}")
    query.connect = wanted
    try:
        reply = await agent.caller.call("PreparedQuery.Execute", query)
    except RPCError as error:
        raise _not_executed(error, cached=query.options.use_cache) from None
    headers = meta_headers(reply.meta) | wan_headers(agent, reply, query.datacenter)
    headers["X-Consul-Effective-Consistency"] = consistency_of(query.options)
    shown = dataclasses.replace(reply, nodes=None).to_json()
    shown["Nodes"] = Rows(reply.nodes or (), _instance, lambda row: checks_bytes(row.checks))
    shown["ConsistencyLevel"] = consistency_of(query.options)
    return Response(shown, headers=headers)


def _instance(row: CheckServiceNode) -> dict[str, Any]:
    """An instance, whose empty list of checks is null here."""
    shown = row.to_json()
    shown["Checks"] = shown["Checks"] or None
    return shown


async def explain(agent: "AgentInterface", request: Request, id_or_name: str) -> Response:
    """The query after its template is applied."""
    query = _execute_request(agent, request, id_or_name)
    try:
        reply = await agent.caller.call("PreparedQuery.Explain", query)
    except RPCError as error:
        raise _not_executed(error) from None
    headers = meta_headers(reply.meta)
    headers["X-Consul-Effective-Consistency"] = consistency_of(query.options)
    return Response({**reply.to_json(), "ConsistencyLevel": consistency_of(query.options)}, headers=headers)


_Item = Callable[["AgentInterface", Request, str], Awaitable[Response]]

#: Handlers of an item, by suffix of the path and method.
_ACTIONS: Final[dict[str, dict[str, _Item]]] = {
    "/execute": {"GET": execute},
    "/explain": {"GET": explain},
    "": {"GET": get, "PUT": update, "DELETE": delete},
}


async def item(agent: "AgentInterface", request: Request) -> Response:
    """All paths below `/v1/query/`: one route here, three in Consul."""
    path = f"/{request.tail}"
    suffix = next(suffix for suffix in _ACTIONS if path.endswith(suffix))
    actions = _ACTIONS[suffix]
    if request.method == "OPTIONS":
        return Response({}, headers={"Allow": ",".join(["OPTIONS", *actions])})
    action = actions.get(request.method)
    if action is None:
        raise HttpError(405, f"method {request.method} not allowed", {"Allow": ",".join(actions)})
    return await action(agent, request, path.removesuffix(suffix)[1:])


for _method in ("GET", "PUT", "DELETE", "OPTIONS"):
    route(_method, "/v1/query/")(item)
