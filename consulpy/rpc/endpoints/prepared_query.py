"""PreparedQuery.*: stored, executed and explained (docs/wire/rpc.md 10)."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred

from consulpy.errors import NotFound, RPCError
from consulpy.gocompat.duration import DurationError, parse_duration_ns
from consulpy.rpc.endpoints._result_filters import nearest_first
from consulpy.rpc.endpoints.coordinate import datacenters_by_distance
from consulpy.rpc.endpoints.health import node_of
from consulpy.rpc.methods import METHODS, read, write
from consulpy.rpc.uuids import check_uuid, new_uuid
from consulpy.state.catalog import has_meta
from consulpy.state.commands import PreparedQuery as Command
from consulpy.state.gateways import connect_instances
from consulpy.state.watch import WatchSet
from consulpy.structs.check import CRITICAL, PASSING
from consulpy.structs.options import QuerySource
from consulpy.structs.prepared_query import (
    PreparedQuery,
    QueriesReply,
    QueryExecuteRemoteRequest,
    QueryExecuteReply,
    QueryExecuteRequest,
    QueryExplainReply,
    QueryGetRequest,
    QueryRequest,
)
from consulpy.structs.requests import SpecificRequest
from consulpy.structs.service import CheckServiceNode

if TYPE_CHECKING:
    from consulpy.rpc.server import Server

NOT_FOUND: Final = "Query not found"
#: The placeholder of a hidden token.
_HIDDEN: Final = "<hidden>"
#: The node of the request is moved to the front if it is among that many first instances.
_OWN_DEPTH: Final = 10


def _refuse_none(request: QueryRequest) -> None:
    """A request without a query ends a real leader. Raises `RPCError`."""
    if request.query is None:
        raise RPCError("Must provide a query")


@write("PreparedQuery.Apply", QueryRequest, str, check_forwarded=_refuse_none)
def apply(server: "Server", request: QueryRequest) -> Any:
    """Create, update or delete a prepared query; its id."""
    _refuse_none(request)
    assert request.query is not None
    query = dataclasses.replace(request.query)
    if request.op == "create":
        if query.id:
            raise RPCError("ID must be empty when creating a new prepared query")
        query.id = new_uuid(server.rng)
    else:
        check_uuid(query.id, "Prepared Query lookup failed: failed prepared query lookup")
        if server.store.queries.get(None, query.id)[1] is None:
            raise RPCError(f"Cannot modify non-existent prepared query: '{query.id}'")
    if request.op in ("create", "update"):
        try:
            check(query)
        except RPCError as error:
            raise RPCError(f"Invalid prepared query: {error}") from None
        if query.session:
            check_uuid(query.session, "invalid session")
    elif request.op != "delete":
        raise RPCError(f"Unknown prepared query operation: {request.op}")
    command = QueryRequest(
        datacenter=request.datacenter or server.datacenter, token=request.token, op=request.op, query=query
    )
    return server.submit(Command(command)).addCallback(lambda _: query.id)


def check(query: PreparedQuery) -> None:
    """Check a query before it is stored, with its template. Raises `RPCError`."""
    if not query.name and not query.template.type and not query.session:
        raise RPCError("Must be bound to a session")
    if query.token == _HIDDEN:
        raise RPCError(
            f"Bad Token '{query.token}', it looks like a query definition with a redacted token was submitted"
        )
    if not query.service.service:
        raise RPCError("Must provide a Service name to query")
    nearest = query.service.failover.nearest_n
    if nearest < 0:
        raise RPCError(f"Bad NearestN '{nearest}', must be >= 0")
    if query.dns.ttl:
        try:
            ttl = parse_duration_ns(query.dns.ttl)
        except DurationError as error:
            raise RPCError(f"Bad DNS TTL '{query.dns.ttl}': {error}") from None
        if ttl < 0:
            raise RPCError(f"DNS TTL '{ttl}', must be >=0")


def _exists(server: "Server", request: QueryGetRequest) -> None:
    check_uuid(request.query_id, "failed prepared query lookup")
    if server.store.queries.get(None, request.query_id)[1] is None:
        raise NotFound(NOT_FOUND)


@read("PreparedQuery.Get", QueryGetRequest, QueriesReply, before_token=_exists)
def get(server: "Server", request: QueryGetRequest, watch: WatchSet | None) -> QueriesReply:
    """One prepared query by its id."""
    check_uuid(request.query_id, "failed prepared query lookup")
    index, found = server.store.queries.get(watch, request.query_id)
    if found is None:
        raise NotFound(NOT_FOUND)
    reply = QueriesReply(queries=[found])
    reply.meta.index = index
    return reply


@read("PreparedQuery.List", SpecificRequest, QueriesReply)
def list_all(server: "Server", request: SpecificRequest, watch: WatchSet | None) -> QueriesReply:  # noqa: ARG001
    """All prepared queries."""
    index, found = server.store.queries.all(watch)
    reply = QueriesReply(queries=list(found))
    reply.meta.index = index
    return reply


# `write`: the reply has no index to block on (docs/wire/rpc.md 14).


def _resolves(server: "Server", request: QueryExecuteRequest) -> None:
    _resolved(server, request)


@write("PreparedQuery.Explain", QueryExecuteRequest, QueryExplainReply, before_token=_resolves)
def explain(server: "Server", request: QueryExecuteRequest) -> QueryExplainReply:
    """The query of an id or a name, with its template rendered."""
    reply = QueryExplainReply(query=_resolved(server, request))
    reply.meta.known_leader = bool(server.leader_address)
    return reply


@write("PreparedQuery.Execute", QueryExecuteRequest, QueryExecuteReply, before_token=_resolves)
def execute(server: "Server", request: QueryExecuteRequest) -> Any:
    """The healthy instances of the query, sorted by distance or shuffled; else those of the failover datacenters."""
    query = _resolved(server, request)
    nodes = healthy(server, query, request.connect)
    server.rng.shuffle(nodes)
    source = _source(server, query, request)
    nodes = nearest_first(server, nodes, source, node_of) or []
    if source.node and source.datacenter == server.datacenter:
        _own_first(nodes, source.node)
    reply = _reply(server, query, nodes, request.limit)
    reply.meta.known_leader = bool(server.leader_address)
    if nodes or not failover_datacenters(server, query):
        return reply
    return Deferred.fromCoroutine(_fail_over(server, query, request, reply))


def failover_datacenters(server: "Server", query: PreparedQuery) -> list[str]:
    """The failover datacenters: the nearest ones, then the named ones, each once."""
    known = [name for name in datacenters_by_distance(server) if name != server.datacenter]
    wanted = query.service.failover
    named = [name for name in wanted.datacenters or () if name in known]
    return list(dict.fromkeys([*known[: wanted.nearest_n], *named]))


async def _fail_over(
    server: "Server", query: PreparedQuery, request: QueryExecuteRequest, reply: QueryExecuteReply
) -> QueryExecuteReply:
    """Query the datacenters in order until one has instances; skips those that fail."""
    method = METHODS["PreparedQuery.ExecuteRemote"]
    for tried, datacenter in enumerate(failover_datacenters(server, query), 1):
        remote = QueryExecuteRemoteRequest(
            datacenter=datacenter,
            query=query,
            limit=request.limit,
            connect=request.connect,
            options=dataclasses.replace(request.options),
        )
        try:
            found: QueryExecuteReply = await server.handle(method, remote)
        except RPCError:
            reply.failovers = tried
            continue
        reply = found
        reply.failovers = tried
        if reply.nodes:
            break
    return reply


@write("PreparedQuery.ExecuteRemote", QueryExecuteRemoteRequest, QueryExecuteReply)
def execute_remote(server: "Server", request: QueryExecuteRemoteRequest) -> QueryExecuteReply:
    """The healthy instances of a query of another datacenter."""
    nodes = healthy(server, request.query, request.connect)
    server.rng.shuffle(nodes)
    reply = _reply(server, request.query, nodes, request.limit)
    reply.meta.known_leader = bool(server.leader_address)
    return reply


def _resolved(server: "Server", request: QueryExecuteRequest) -> PreparedQuery:
    query = server.store.queries.resolve(request.query_id_or_name, request.agent)
    if query is None:
        raise NotFound(NOT_FOUND)
    return query


def _reply(server: "Server", query: PreparedQuery, nodes: list[CheckServiceNode], limit: int) -> QueryExecuteReply:
    limited = nodes[:limit] if limit > 0 else nodes
    return QueryExecuteReply(
        service=query.service.service, nodes=limited or None, dns=query.dns, datacenter=server.datacenter
    )


def _source(server: "Server", query: PreparedQuery, request: QueryExecuteRequest) -> QuerySource:
    """The source of distances: of the request, else of the query."""
    source = dataclasses.replace(request.source)
    source.datacenter = source.datacenter or request.agent.datacenter
    if query.service.near and not source.node:
        source.node = query.service.near
    if source.node == "_agent":
        source.node = request.agent.node
    elif source.node == "_ip":
        nodes = server.store.catalog.nodes_table.all()
        source.node = next((node.node for node in nodes if source.ip and node.address == source.ip), "")
    return source


def _own_first(nodes: list[CheckServiceNode], name: str) -> None:
    for at, row in enumerate(nodes[:_OWN_DEPTH]):
        if node_of(row) == name:
            nodes[0], nodes[at] = nodes[at], nodes[0]
            return


def healthy(server: "Server", query: PreparedQuery, connect: bool) -> list[CheckServiceNode]:
    """The instances of the query's service without the critical ones."""
    wanted = query.service
    if connect or wanted.connect:
        _, rows = connect_instances(server.store, None, wanted.service)
    else:
        _, rows = server.store.catalog.check_service_nodes(None, wanted.service)
    ignored = frozenset(wanted.ignore_check_ids or ())
    found = []
    for row in rows:
        if row.node is None or row.service is None or _is_unhealthy(row, ignored, wanted.only_passing):
            continue
        if wanted.node_meta and not has_meta(row.node, wanted.node_meta):
            continue
        if any((row.service.meta or {}).get(key) != value for key, value in (wanted.service_meta or {}).items()):
            continue
        if tags_fit(row.service.tags or (), wanted.tags or ()):
            found.append(row)
    return found


def _is_unhealthy(row: CheckServiceNode, ignored: frozenset[str], only_passing: bool) -> bool:
    states = [check.status for check in row.checks or () if check.check_id not in ignored]
    return any(state == CRITICAL or (only_passing and state != PASSING) for state in states)


def tags_fit(tags: Sequence[str], wanted: Sequence[str]) -> bool:
    """Whether an instance has all required tags and none of the excluded ones (`!tag`), case-insensitively."""
    have = {tag.lower() for tag in tags}
    for tag in wanted:
        if tag.startswith("!"):
            if tag[1:].lower() in have:
                return False
        elif tag.lower() not in have:
            return False
    return True
