"""ConfigEntry.*: central settings of services and proxies (docs/wire/rpc.md 10)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from consulpy.codec.record import plain
from consulpy.errors import RPCError
from consulpy.rpc.endpoints import service_intentions
from consulpy.rpc.endpoints._result_filters import filtered
from consulpy.rpc.long_read import LongRead
from consulpy.rpc.methods import read, write
from consulpy.state.commands import ConfigEntry as Command
from consulpy.state.config_entry import DELETE, UPSERT, UPSERT_CAS
from consulpy.state.watch import WatchSet
from consulpy.structs.config_entry import (
    GLOBAL,
    KINDS,
    PROXY_DEFAULTS,
    SERVICE_DEFAULTS,
    SERVICE_INTENTIONS,
    ProxyDefaults,
)
from consulpy.structs.config_entry_requests import (
    AllEntriesQuery,
    AllEntriesReply,
    EntriesReply,
    EntryCall,
    EntryQuery,
    EntryReply,
    EntryRequest,
    ServiceConfigReply,
    ServiceConfigRequest,
    UpstreamConfig,
)
from consulpy.structs.newer_config_entry import (
    BOUND_API_GATEWAY,
    NewerEntry,
    is_known_kind,
    refuse_newer,
    refuse_newer_fields,
)
from consulpy.structs.newer_config_fields import newer_paths
from consulpy.structs.requests import Empty
from consulpy.structs.service_intentions import API_KINDS, ServiceIntentions

if TYPE_CHECKING:
    from consulpy.rpc.server import Server


def _refuse_null(request: EntryRequest) -> None:
    """A null in free settings ends every Consul server that applies it. Raises `RPCError`."""
    from consulpy.connect.config_entries.validate import free_settings_errors  # not needed to start

    if isinstance(request.entry, ProxyDefaults):
        for error in free_settings_errors(plain(request.entry.config or {}), "Config"):
            raise RPCError(error)


def _check(_server: "Server", request: EntryRequest) -> None:
    if not isinstance(request.entry, ServiceIntentions):
        _validated(request)


def _validated(request: EntryRequest) -> Any:
    """The entry, normalized. Raises `RPCError`."""
    from consulpy.connect.config_entries.normalize import normalized
    from consulpy.connect.config_entries.validate import validate

    entry = normalized(request.entry, request.leading_kind)
    validate(entry, is_stale=request.op == UPSERT_CAS and entry.modify_index != 0)
    return entry


@write("ConfigEntry.Apply", EntryCall, bool, check_forwarded=_refuse_null, before_rights=_check)
def apply(server: "Server", request: EntryRequest) -> Any:
    """Write an entry; with `upsert-cas` only if its index is unchanged.

    One of a newer kind, or with newer fields, only if all servers of the quorum know these: the others would end, or
    drop the fields.
    """
    op = request.op or UPSERT
    if op not in (UPSERT, UPSERT_CAS):
        raise RPCError(f"invalid config entry operation type: {op}")
    if isinstance(request.entry, ServiceIntentions):
        return service_intentions.put(server, request, is_conditional=op == UPSERT_CAS)
    entry = _validated(request)
    if isinstance(entry, NewerEntry) or any(newer_paths(entry)):
        return Deferred.fromCoroutine(_write_newer(server, _request(server, request, op, entry)))
    return server.config_entry_writes.run(server.submit, Command(_request(server, request, op, entry)))


@write("ConfigEntry.ApplyNewer", EntryCall, bool, check_forwarded=_refuse_null, before_rights=_check)
def apply_newer(server: "Server", request: EntryRequest) -> Any:
    """`ConfigEntry.Apply` of an entry with newer fields.

    Under this name no other program has the method, and so none that would drop the fields and say it is done.
    """
    return apply(server, request)


async def bootstrap(server: "Server", entry: Any) -> None:
    """Write an entry of a newer kind, unless there is one of its kind and name. Fails with `RPCError`."""
    request = EntryRequest(server.datacenter, op=UPSERT, entry=entry, leading_kind=entry.kind)
    if isinstance(entry, ServiceIntentions):
        if not service_intentions.entries(server, None, entry.name)[1]:
            await service_intentions.put(server, request, is_conditional=False)
    elif server.store.config_entries.get(None, entry.kind, entry.name)[1] is None:
        await _write_newer(server, request)


async def _write_newer(server: "Server", request: EntryRequest) -> Any:
    lacking = await server.without_newer_kinds()
    if lacking and isinstance(request.entry, NewerEntry):
        raise refuse_newer(request.entry.kind, lacking)
    if lacking:
        raise refuse_newer_fields(list(newer_paths(request.entry)), lacking)
    return await server.config_entry_writes.run(server.submit, Command(request))


@write("ConfigEntry.Delete", EntryCall, Empty, check_forwarded=_refuse_null)
def delete(server: "Server", request: EntryRequest) -> Any:
    """Delete an entry, if it exists."""
    from consulpy.connect.config_entries.normalize import normalized

    if isinstance(request.entry, ServiceIntentions):
        return service_intentions.remove(server, request, is_conditional=False).addCallback(lambda _: Empty())
    entry = normalized(request.entry, request.leading_kind)
    if isinstance(entry, NewerEntry) and server.store.config_entries.get(None, entry.kind, entry.name)[1] is None:
        return Empty()  # servers that do not know the kind are not told
    return server.config_entry_writes.run(server.submit, _delete(server, request, entry)).addCallback(lambda _: Empty())


@write("ConfigEntry.DeleteCas", EntryCall, bool, check_forwarded=_refuse_null)
def delete_cas(server: "Server", request: EntryRequest) -> Any:
    """Delete an entry if its index is `request.entry.modify_index` (Consul 1.11); whether it did.

    The log of 1.8.7 has no such command: the leader compares while no other write of a config entry is under way. Under
    this name no other program has the method, and so none that would delete whatever the index is.
    """
    from consulpy.connect.config_entries.normalize import normalized

    if isinstance(request.entry, ServiceIntentions):
        return service_intentions.remove(server, request, is_conditional=True)
    entry = normalized(request.entry, request.leading_kind)

    def unless_changed() -> Any:
        _, known = server.store.config_entries.get(None, entry.kind, entry.name)
        if known is None or known.modify_index != request.entry.modify_index:
            return False
        return server.submit(_delete(server, request, entry)).addCallback(lambda _: True)

    return server.config_entry_writes.run(unless_changed)


def _delete(server: "Server", request: EntryRequest, entry: Any) -> Command:
    """The command that deletes an entry: it has nothing of it but kind and name, so also nothing that ends a server."""
    return Command(_request(server, request, DELETE, type(entry)(kind=entry.kind, name=entry.name)))


def _request(server: "Server", request: EntryRequest, op: str, entry: Any) -> EntryRequest:
    return EntryRequest(
        datacenter=request.datacenter or server.datacenter,
        token=request.token,
        op=op,
        entry=entry,
        leading_kind=request.leading_kind or entry.kind,
    )


@read("ConfigEntry.Get", EntryQuery, EntryReply)
def get(server: "Server", request: EntryQuery, watch: WatchSet | None) -> EntryReply:
    """One entry; nil if it does not exist."""
    _check_kind(request.kind)
    if request.kind == SERVICE_INTENTIONS:
        index, found = service_intentions.entries(server, watch, request.name)
        entry = found[0] if found else None
    else:
        index, entry = server.store.config_entries.get(watch, request.kind, request.name)
    reply = EntryReply(entry=entry)
    reply.meta.index = index
    return reply


@read("ConfigEntry.List", EntryQuery, EntriesReply)
def list_kind(server: "Server", request: EntryQuery, watch: WatchSet | None) -> EntriesReply | LongRead:
    """All entries of a kind, or those that match a filter (Consul 1.16)."""
    _check_kind(request.kind)
    entries: Sequence[Any]
    if request.kind == SERVICE_INTENTIONS:
        index, entries = service_intentions.entries(server, watch)
    else:
        index, entries = server.store.config_entries.all(watch, request.kind)
    reply = EntriesReply(kind=request.kind)
    reply.meta.index = index

    def fill(matching: list[Any] | None) -> None:
        reply.entries = matching or []

    expression = request.options.filter if request.kind in API_KINDS else ""
    return filtered(reply, entries, expression, API_KINDS.get(request.kind, NewerEntry), fill)


@read("ConfigEntry.ListAll", AllEntriesQuery, AllEntriesReply)
def list_all(server: "Server", request: AllEntriesQuery, watch: WatchSet | None) -> AllEntriesReply:
    """All entries of these kinds, for replication; others would end the work of servers of 1.8.7."""
    index, entries = server.store.config_entries.all(watch)
    kinds = request.kinds if request.kinds is not None else KINDS
    reply = AllEntriesReply(entries=[entry for entry in entries if entry.kind in kinds])
    reply.meta.index = index
    return reply


def _check_kind(kind: str) -> None:
    if kind and kind not in (SERVICE_INTENTIONS, BOUND_API_GATEWAY) and not is_known_kind(kind):
        raise RPCError(f"invalid config entry kind: {kind}")


@read("ConfigEntry.ResolveServiceConfig", ServiceConfigRequest, ServiceConfigReply)
def resolve(server: "Server", request: ServiceConfigRequest, watch: WatchSet | None) -> ServiceConfigReply:
    """The settings of a service for its agent: proxy defaults, overridden by service defaults."""
    entries = server.store.config_entries
    reply = ServiceConfigReply()
    reply.meta.index, proxies = entries.get(watch, PROXY_DEFAULTS, GLOBAL)
    if proxies is not None:
        reply.proxy_config = dict(proxies.config or {}) or None
        reply.mesh_gateway, reply.expose = proxies.mesh_gateway, proxies.expose
    _, service = entries.get(watch, SERVICE_DEFAULTS, request.name)
    if service is not None:
        if service.expose.checks or service.expose.paths:
            reply.expose = service.expose
        if service.mesh_gateway.mode:
            reply.mesh_gateway = service.mesh_gateway
        if service.protocol:
            reply.proxy_config = {**(reply.proxy_config or {}), "protocol": service.protocol}
    for name in request.upstreams or ():
        protocol = _protocol(server, name, watch)
        if protocol:
            reply.upstream_configs = {**(reply.upstream_configs or {}), name: {"protocol": protocol}}
    newer = [each for each in request.upstream_service_names or () if not each.peer]
    found = [(each, _protocol(server, each.service_name.name, watch)) for each in newer]
    if any(protocol for _, protocol in found):
        reply.upstream_configs = [
            {"Upstream": each.to_wire(), "Config": {"protocol": protocol}} for each, protocol in found if protocol
        ]
    for upstream in request.upstream_ids or ():
        protocol = _protocol(server, upstream.id, watch)
        if protocol:
            config = UpstreamConfig(upstream=upstream, config={"protocol": protocol})
            reply.upstream_id_configs = [*(reply.upstream_id_configs or ()), config]
    return reply


def _protocol(server: "Server", name: str, watch: WatchSet | None) -> str:
    _, service = server.store.config_entries.get(watch, SERVICE_DEFAULTS, name)
    return service.protocol if service is not None else ""
