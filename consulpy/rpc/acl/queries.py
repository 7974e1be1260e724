"""Filters of prepared queries and of their results (docs/wire/acl.md section 6)."""

import dataclasses
from typing import TYPE_CHECKING

from consulpy.acl.authorizer import Authorizer
from consulpy.acl.levels import READ
from consulpy.rpc.acl.denied import Denied
from consulpy.rpc.acl.filters import filter_reply, query_prefix, redacted, visible_queries
from consulpy.rpc.acl.tokens import token_of
from consulpy.structs.prepared_query import (
    PreparedQuery,
    QueriesReply,
    QueryExecuteRemoteRequest,
    QueryExecuteReply,
    QueryExecuteRequest,
    QueryExplainReply,
    QueryGetRequest,
)

if TYPE_CHECKING:
    from consulpy.rpc.server import Server


def got(authorizer: Authorizer, _server: "Server", _request: QueryGetRequest, reply: QueriesReply) -> QueriesReply:
    """PreparedQuery.Get: a query without a name is visible to clients that know its id."""
    return dataclasses.replace(reply, queries=[_seen(authorizer, query) for query in reply.queries or ()])


def explained(
    authorizer: Authorizer, _server: "Server", _request: QueryExecuteRequest, reply: QueryExplainReply
) -> QueryExplainReply:
    """PreparedQuery.Explain: as in a list of all."""
    visible = visible_queries(authorizer, [reply.query])
    if not visible:
        raise Denied("query", reply.query.name, READ)
    return dataclasses.replace(reply, query=visible[0])


def _seen(authorizer: Authorizer, query: PreparedQuery) -> PreparedQuery:
    if query_prefix(query) is None:
        return redacted(authorizer, query)
    visible = visible_queries(authorizer, [query])
    if not visible:
        raise Denied("query", query.name, READ)
    return visible[0]


def own_token(server: "Server", method: str, request: object) -> str:
    """The secret of the query that a call executes; "": none."""
    query: PreparedQuery | None = None
    if method == "PreparedQuery.Execute" and isinstance(request, QueryExecuteRequest):
        query = server.store.queries.resolve(request.query_id_or_name, request.agent)
    elif method == "PreparedQuery.ExecuteRemote" and isinstance(request, QueryExecuteRemoteRequest):
        query = request.query
    return query.token if query is not None else ""


def execute_secret(server: "Server", request: QueryExecuteRequest) -> str:
    """By whose rights a query is executed: its own token counts in place of the caller's, which need not even exist."""
    return own_token(server, "PreparedQuery.Execute", request) or token_of(request)


def execute_remote_secret(server: "Server", request: QueryExecuteRemoteRequest) -> str:
    """The same for the query of another datacenter."""
    return own_token(server, "PreparedQuery.ExecuteRemote", request) or token_of(request)


def executed(
    authorizer: Authorizer,
    server: "Server",
    _request: QueryExecuteRequest,
    reply: QueryExecuteReply,
) -> QueryExecuteReply:
    """PreparedQuery.Execute. Other datacenters have filtered theirs."""
    return reply if reply.datacenter != server.datacenter else filter_reply(authorizer, reply)


def executed_remotely(
    authorizer: Authorizer, _server: "Server", _request: QueryExecuteRemoteRequest, reply: QueryExecuteReply
) -> QueryExecuteReply:
    """PreparedQuery.ExecuteRemote."""
    return filter_reply(authorizer, reply)
