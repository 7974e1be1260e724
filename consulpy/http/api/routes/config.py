"""/v1/config: config entries."""

from typing import TYPE_CHECKING, Any, Final

from consulpy.errors import BadRequest, RPCError
from consulpy.filter import compile_filter
from consulpy.gocompat.json_decode import GoError, loads
from consulpy.gocompat.literals import quoted
from consulpy.http.api import service_intentions
from consulpy.http.api.config_entry_body import entry_of
from consulpy.http.api.params import apply_to_read, apply_to_write, refuse_namespaces
from consulpy.http.api.routes.kv import unsigned
from consulpy.http.api.routing import HttpError, Request, Response, route
from consulpy.http.api.rpc_read import meta_headers
from consulpy.structs.config_entry import SERVICE_INTENTIONS
from consulpy.structs.config_entry_requests import AllEntriesQuery, EntryQuery, EntryRequest
from consulpy.structs.newer_config_entry import NEWER_KINDS, refuse_newer_fields
from consulpy.structs.newer_config_fields import newer_paths
from consulpy.structs.service_intentions import (
    API_KINDS,
    ServiceIntentions,
    entries_of,
    of_destination,
)

if TYPE_CHECKING:
    from consulpy.http.api.agent import AgentInterface


#: No entry has it.
_INDEX_MAX: Final = (1 << 63) - 1


def _kind_and_name(request: Request) -> tuple[str, str]:
    kind, _, name = request.tail.partition("/")
    return kind, name


@route("GET", "/v1/config/")
async def get(agent: "AgentInterface", request: Request) -> Response:
    """One entry, all of a kind, or all entries."""
    refuse_namespaces(request)
    kind, name = _kind_and_name(request)
    if not request.tail:
        reply = await agent.caller.call("ConfigEntry.ListAll", apply_to_read(agent, request, AllEntriesQuery()))
        return Response([entry.to_json() for entry in reply.entries], headers=meta_headers(reply.meta))
    if kind == SERVICE_INTENTIONS:
        return await _get_intentions(agent, request, name)
    query = apply_to_read(agent, request, EntryQuery(kind=kind, name=name))
    if "/" not in request.tail:
        expression, query.options.filter = query.options.filter, ""  # real servers of 1.8.7 would skip it
        found = await agent.caller.call("ConfigEntry.List", query)
        shown = found.entries
        if expression and kind in API_KINDS:
            shown = list(filter(compile_filter(expression, API_KINDS[kind]), shown))
        return Response([entry.to_json() for entry in shown], headers=meta_headers(found.meta))
    reply = await agent.caller.call("ConfigEntry.Get", query)
    headers = meta_headers(reply.meta)
    if reply.entry is None:
        raise HttpError(404, f"Config entry not found for {quoted(kind)} / {quoted(name)}", headers)
    return Response(reply.entry.to_json(), headers=headers)


async def _get_intentions(agent: "AgentInterface", request: Request, name: str) -> Response:
    intentions, headers = await service_intentions.listed(agent, request)
    if "/" in request.tail:
        found = entries_of(of_destination(intentions, name))
        if not found:
            raise HttpError(404, f"Config entry not found for {quoted(SERVICE_INTENTIONS)} / {quoted(name)}", headers)
        return Response(found[0].to_json(), headers=headers)
    shown, expression = entries_of(intentions), request.query.get("filter")
    if expression:
        shown = list(filter(compile_filter(expression, ServiceIntentions), shown))
    return Response([entry.to_json() for entry in shown], headers=headers)


@route("PUT", "/v1/config")
async def put(agent: "AgentInterface", request: Request) -> Response:
    """Write an entry; with `?cas=` only if its index is that one."""
    refuse_namespaces(request)
    try:
        entry = entry_of(loads(request.body), API_KINDS)
    except GoError as error:
        raise BadRequest(f"Bad request: Request decoding failed: {error}") from None
    cas = unsigned(request.query.get("cas")) if request.query.get("cas") else None
    if isinstance(entry, ServiceIntentions):
        return Response(await service_intentions.write(agent, request, entry, cas))
    body = apply_to_write(agent, request, EntryRequest(op="upsert", entry=entry, leading_kind=entry.kind))
    if cas is not None:
        body.op, entry.modify_index = "upsert-cas", min(cas, _INDEX_MAX)
    newer = list(newer_paths(entry))
    if not newer:
        return Response(await agent.caller.call("ConfigEntry.Apply", body))
    try:
        return Response(await agent.caller.call("ConfigEntry.ApplyNewer", body))
    except RPCError as error:
        if "can't find method" in str(error):
            raise refuse_newer_fields(newer, ["the leader"]) from None
        raise


@route("DELETE", "/v1/config/")
async def delete(agent: "AgentInterface", request: Request) -> Response:
    """Remove an entry; with `?cas=` only if its index is that one (Consul 1.11): then the body says whether it did."""
    refuse_namespaces(request)
    kind, name = _kind_and_name(request)
    if "/" not in request.tail:
        raise HttpError(404, "Must provide both a kind and name to delete")
    if kind == SERVICE_INTENTIONS:
        cas = unsigned(request.query.get("cas")) if "cas" in request.query else None
        removed = await service_intentions.remove(agent, request, name, cas)
        return Response({} if cas is None else removed)
    known = API_KINDS.get(kind)
    if known is None:
        raise BadRequest(f"invalid config entry kind: {kind}")
    entry: Any = known(kind=kind if kind in NEWER_KINDS else "", name=name)
    body = apply_to_write(agent, request, EntryRequest(entry=entry, leading_kind=kind))
    if "cas" not in request.query:
        await agent.caller.call("ConfigEntry.Delete", body)
        return Response({})
    entry.modify_index = min(unsigned(request.query.get("cas")), _INDEX_MAX)
    try:
        return Response(await agent.caller.call("ConfigEntry.DeleteCas", body))
    except RPCError as error:
        if "can't find method" in str(error):
            raise RPCError("the servers cannot delete on a condition: cas on deletes came with Consul 1.11") from None
        raise
