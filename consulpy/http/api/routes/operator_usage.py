"""/v1/operator/usage: numbers of services and instances (Consul 1.15), also where the servers are of 1.8.7."""

from typing import TYPE_CHECKING, Any

from consulpy.errors import RPCError
from consulpy.http.api.params import apply_to_read
from consulpy.http.api.routing import Request, Response, route
from consulpy.http.api.rpc_read import consistency_of, meta_headers
from consulpy.structs.requests import DatacentersRequest, ServiceDumpRequest, SpecificRequest
from consulpy.structs.usage import UsageCount, UsageReply, UsageRequest

if TYPE_CHECKING:
    from consulpy.http.api.agent import AgentInterface


@route("GET", "/v1/operator/usage")
async def usage(agent: "AgentInterface", request: Request) -> Response:
    """The numbers of a datacenter; `?global`: of all."""
    query = apply_to_read(agent, request, UsageRequest())
    names = [query.datacenter]
    if "global" in request.query:
        names = await agent.caller.call("Catalog.ListDatacenters", DatacentersRequest(options=query.options))
    replies = [await _usage_of(agent, request, name) for name in names]
    meta = replies[names.index(query.datacenter) if query.datacenter in names else 0].meta
    shown: dict[str, Any] = {}
    for reply in replies:
        shown |= {name: each.to_json() for name, each in (reply.usage or {}).items()}
    body = {
        "Usage": shown,
        **meta.to_json(),
        "ConsistencyLevel": consistency_of(query.options),
        "NotModified": False,
        "Backend": 0,
        "ResultsFilteredByACLs": meta.results_filtered_by_acls,
    }
    return Response(body, headers=meta_headers(meta))


async def _usage_of(agent: "AgentInterface", request: Request, datacenter: str) -> UsageReply:
    query = apply_to_read(agent, request, UsageRequest())
    query.datacenter = datacenter
    try:
        reply: UsageReply = await agent.caller.call("Operator.Usage", query)
    except RPCError as error:
        if "can't find method" not in str(error):
            raise
        return await _counted_here(agent, request, datacenter)
    return reply


async def _counted_here(agent: "AgentInterface", request: Request, datacenter: str) -> UsageReply:
    """Count what servers of 1.8.7 list."""
    nodes_query = apply_to_read(agent, request, SpecificRequest())
    dump_query = apply_to_read(agent, request, ServiceDumpRequest())
    nodes_query.datacenter = dump_query.datacenter = datacenter
    nodes = await agent.caller.call("Catalog.ListNodes", nodes_query)
    dump = await agent.caller.call("Internal.ServiceDump", dump_query)
    count = UsageCount(len(nodes.nodes or ()))
    for row in dump.nodes or ():
        if row.service is not None:
            count.add(row.service)
    return UsageReply({datacenter: count.usage}, dump.meta)
