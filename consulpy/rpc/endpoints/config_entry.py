"""ConfigEntry.*: central settings of services and proxies (docs/wire/rpc.md 10)."""

import dataclasses
from typing import TYPE_CHECKING, Any, Final

from consulpy.errors import RPCError
from consulpy.filter.literals import quoted
from consulpy.gocompat.duration import format_duration_ns
from consulpy.rpc.methods import read, write
from consulpy.state.commands import ConfigEntry as Command
from consulpy.state.config_entry import DELETE, UPSERT, UPSERT_CAS
from consulpy.state.watch import WatchSet
from consulpy.structs.config_entry import (
    GLOBAL,
    KINDS,
    PROXY_DEFAULTS,
    SERVICE_DEFAULTS,
    Failover,
    IngressGateway,
    ProxyDefaults,
    Redirect,
    ServiceDefaults,
    ServiceResolver,
    ServiceSplitter,
    TerminatingGateway,
)
from consulpy.structs.config_entry_requests import (
    AllEntriesReply,
    EntriesReply,
    EntryQuery,
    EntryReply,
    EntryRequest,
    ServiceConfigReply,
    ServiceConfigRequest,
    UpstreamConfig,
)
from consulpy.structs.requests import Empty, SpecificRequest

if TYPE_CHECKING:
    from consulpy.rpc.server import Server

#: The smallest weight of a split, in percent.
_WHOLE = 10_000


@write("ConfigEntry.Apply", EntryRequest, bool)
def apply(server: "Server", request: EntryRequest) -> Any:
    """Write an entry; with `upsert-cas` only if its index is unchanged."""
    entry = normalized(request.entry, request.leading_kind)
    check(entry)
    op = request.op or UPSERT
    if op not in (UPSERT, UPSERT_CAS):
        raise RPCError(f"invalid config entry operation type: {op}")
    return server.submit(Command(_request(server, request, op, entry)))


@write("ConfigEntry.Delete", EntryRequest, Empty)
def delete(server: "Server", request: EntryRequest) -> Any:
    """Delete an entry, if it exists."""
    entry = normalized(request.entry, request.leading_kind)
    return server.submit(Command(_request(server, request, DELETE, entry))).addCallback(lambda _: Empty())


def _request(server: "Server", request: EntryRequest, op: str, entry: Any) -> EntryRequest:
    return EntryRequest(
        datacenter=request.datacenter or server.datacenter,
        token=request.token,
        op=op,
        entry=entry,
        leading_kind=request.leading_kind or entry.kind,
    )


def normalized(entry: Any, kind: str) -> Any:
    """The entry with its kind, the fixed name of proxy defaults, and its protocol in lower case."""
    new = dataclasses.replace(entry, kind=entry.kind or kind)
    if isinstance(new, ProxyDefaults):
        new.name = GLOBAL
    if isinstance(new, ServiceDefaults):
        new.protocol = new.protocol.lower()
    return new


#: Errors of entries without a name, where they are not the usual one.
_NAMELESS: Final = {
    SERVICE_DEFAULTS: "serviceName is required",
    "terminating-gateway": "serviceName is required",
    "ingress-gateway": "failed inserting config entry: object missing primary index",
}


def check(entry: Any) -> None:
    """Check an entry. Raises `RPCError`."""
    if not entry.name:
        raise RPCError(_NAMELESS.get(entry.kind, "Name is required"))
    if isinstance(entry, ServiceSplitter):
        if not entry.splits:
            raise RPCError("no splits configured")
        weights = [round(split.weight * 100) for split in entry.splits]
        if sum(weights) != _WHOLE:
            raise RPCError(f"the sum of all split weights must be 100, not {sum(weights) / 100:f}")
    if isinstance(entry, ServiceResolver):
        subsets = entry.subsets or {}
        if entry.default_subset and entry.default_subset not in subsets:
            raise RPCError(f'DefaultSubset "{entry.default_subset}" is not a valid subset')
        if "" in subsets:
            raise RPCError("Subset defined with empty name")
        if entry.redirect is not None and entry.failover:
            raise RPCError("Redirect and Failover cannot be combined")
        if entry.redirect == Redirect():
            raise RPCError("Redirect is empty")
        for name, failover in (entry.failover or {}).items():
            if failover == Failover(datacenters=failover.datacenters) and not failover.datacenters:
                text = "one of Service, ServiceSubset, Namespace, or Datacenters is required"
                raise RPCError(f"Bad Failover[{quoted(name)}] {text}")
            if "" in (failover.datacenters or ()):
                raise RPCError(f"Bad Failover[{quoted(name)}].Datacenters: found empty datacenter")
        if entry.connect_timeout < 0:
            raise RPCError(f"Bad ConnectTimeout '{format_duration_ns(entry.connect_timeout)}', must be >= 0")
    if isinstance(entry, IngressGateway):
        for listener in entry.listeners or ():
            if not listener.services:
                raise RPCError(f"No service declared for listener with port {listener.port}")
    if isinstance(entry, TerminatingGateway) and any(not each.name for each in entry.services or ()):
        raise RPCError("Service name cannot be blank.")


@read("ConfigEntry.Get", EntryQuery, EntryReply)
def get(server: "Server", request: EntryQuery, watch: WatchSet | None) -> EntryReply:
    """One entry; nil if it does not exist."""
    _check_kind(request.kind)
    index, entry = server.store.config_entries.get(watch, request.kind, request.name)
    reply = EntryReply(entry=entry)
    reply.meta.index = index
    return reply


@read("ConfigEntry.List", EntryQuery, EntriesReply)
def list_kind(server: "Server", request: EntryQuery, watch: WatchSet | None) -> EntriesReply:
    """All entries of a kind."""
    _check_kind(request.kind)
    index, entries = server.store.config_entries.all(watch, request.kind)
    reply = EntriesReply(kind=request.kind, entries=list(entries))
    reply.meta.index = index
    return reply


@read("ConfigEntry.ListAll", SpecificRequest, AllEntriesReply)
def list_all(server: "Server", request: SpecificRequest, watch: WatchSet | None) -> AllEntriesReply:  # noqa: ARG001
    """All entries of all kinds, for replication."""
    index, entries = server.store.config_entries.all(watch)
    reply = AllEntriesReply(entries=list(entries))
    reply.meta.index = index
    return reply


def _check_kind(kind: str) -> None:
    if kind and kind not in KINDS:
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
    for upstream in request.upstream_ids or ():
        protocol = _protocol(server, upstream.id, watch)
        if protocol:
            config = UpstreamConfig(upstream=upstream, config={"protocol": protocol})
            reply.upstream_id_configs = [*(reply.upstream_id_configs or ()), config]
    return reply


def _protocol(server: "Server", name: str, watch: WatchSet | None) -> str:
    _, service = server.store.config_entries.get(watch, SERVICE_DEFAULTS, name)
    return service.protocol if service is not None else ""
