"""MergeCentralConfig of newer requests (Consul 1.13): proxies and gateways with their central defaults.

The config entries are watched with the instances, and the index of a reply is the newer one of both: a blocking query
ends when either changes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Self, TypeVar

from consulpy.connect.central_merge import configured_name, merged, upstream_ids
from consulpy.rpc.endpoints.config_entry import resolve
from consulpy.state.watch import WatchSet
from consulpy.structs.config_entry_requests import ServiceConfigReply, ServiceConfigRequest
from consulpy.structs.options import QueryMeta
from consulpy.structs.requests import (
    CheckServiceNodesReply,
    NodeRequest,
    NodeServiceListReply,
    ServiceNodesReply,
    ServiceRequest,
)
from consulpy.structs.service import CheckServiceNode, NodeService, ServiceNode

if TYPE_CHECKING:
    from consulpy.rpc.server import Server


_Reply = TypeVar("_Reply", CheckServiceNodesReply, ServiceNodesReply, NodeServiceListReply)


def with_central_defaults(server: "Server", request: ServiceRequest | NodeRequest, reply: _Reply) -> _Reply:
    """The reply of a leader that does not merge (1.8.7), with the central defaults that this server has.

    A change of them does not end a blocking query there: they are as new as the reply.
    """
    if not request.merge_central_config or reply.meta.has_central_config:
        return reply
    defaults = CentralDefaults(server, None)
    if isinstance(reply, CheckServiceNodesReply):
        reply.nodes = reply.nodes and list(defaults.instances(reply.nodes))
    elif isinstance(reply, ServiceNodesReply):
        reply.service_nodes = reply.service_nodes and list(defaults.service_nodes(reply.service_nodes))
    elif reply.node_services is not None:
        services = reply.node_services.services
        reply.node_services = replace(reply.node_services, services=services and defaults.services(services))
    defaults.marked_in(reply.meta)
    return reply


class CentralDefaults:
    """The central defaults of one read; `index`: that of the config entries."""

    def __init__(self, server: "Server", watch: WatchSet | None) -> None:
        self._server = server
        self._known: dict[tuple[str, ...], ServiceConfigReply] = {}
        self.index, _ = server.store.config_entries.all(watch)

    def marked_in(self, meta: QueryMeta) -> Self:
        """The same; `meta`, of a reply, then says that its rows have them, and is as new as they are."""
        meta.index, meta.has_central_config = max(meta.index, self.index), True
        return self

    def instances(self, rows: Sequence[CheckServiceNode]) -> Sequence[CheckServiceNode]:
        """Instances with nodes and checks."""
        return [row if row.service is None else replace(row, service=self._merged(row.service)) for row in rows]

    def services(self, rows: Sequence[NodeService]) -> list[NodeService]:
        """Instances of a node."""
        return [self._merged(row) for row in rows]

    def service_nodes(self, rows: Sequence[ServiceNode]) -> Sequence[ServiceNode]:
        """Instances with their nodes, in one row."""
        return list(self._rows(rows))

    def _rows(self, rows: Sequence[ServiceNode]) -> Iterator[ServiceNode]:
        for row in rows:
            service = NodeService(kind=row.service_kind, service=row.service_name, proxy=row.service_proxy)
            yield replace(row, service_proxy=self._merged(service).proxy)

    def _merged(self, service: NodeService) -> NodeService:
        name = configured_name(service)
        if not name:
            return service
        upstreams = upstream_ids(service)
        key = (name, *(each.id for each in upstreams))
        if key not in self._known:
            request = ServiceConfigRequest(name=name, upstream_ids=upstreams or None)
            self._known[key] = resolve(self._server, request, None)
        return merged(service, self._known[key])
