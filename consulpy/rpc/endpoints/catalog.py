"""Catalog.*: nodes and services, registration and deregistration (docs/wire/rpc.md 10)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from consulpy.errors import RPCError
from consulpy.rpc.endpoints._central_merge import CentralDefaults, with_central_defaults
from consulpy.rpc.endpoints._metrics import count_look_up
from consulpy.rpc.endpoints._registration_checks import check_registration, checked_registration
from consulpy.rpc.endpoints._result_filters import filtered, nearest_first, on_nodes_with
from consulpy.rpc.endpoints.coordinate import datacenters_by_distance
from consulpy.rpc.long_read import LongRead
from consulpy.rpc.methods import local, read, write
from consulpy.state import gateways
from consulpy.state.commands import Deregister, Register
from consulpy.state.watch import WatchSet
from consulpy.structs.gateway import GatewayServicesReply
from consulpy.structs.node import Node
from consulpy.structs.requests import (
    DatacentersRequest,
    DeregisterRequest,
    Empty,
    NodeRequest,
    NodeServiceListReply,
    NodeServicesReply,
    NodesReply,
    RegisterRequest,
    ServiceNodesReply,
    ServiceRequest,
    ServicesReply,
    SpecificRequest,
)
from consulpy.structs.service import NodeService, NodeServiceList, NodeServices, ServiceNode

if TYPE_CHECKING:
    from consulpy.rpc.server import Server


def _check_registration(_server: "Server", request: RegisterRequest) -> None:
    check_registration(request)


@write("Catalog.Register", RegisterRequest, Empty, before_rights=_check_registration)
def register(server: "Server", request: RegisterRequest) -> Any:
    """Register a node, a service on it, and checks."""
    return server.submit(Register(checked_registration(request))).addCallback(lambda _: Empty())


def _require_node(_server: "Server", request: DeregisterRequest) -> None:
    if not request.node:
        raise RPCError("Must provide node")


@write("Catalog.Deregister", DeregisterRequest, Empty, before_token=_require_node)
def deregister(server: "Server", request: DeregisterRequest) -> Any:
    """Remove a service, a check, or a node with its services and checks; a missing one is no error."""
    _require_node(server, request)
    return server.submit(Deregister(request)).addCallback(lambda _: Empty())


@local("Catalog.ListDatacenters", DatacentersRequest, list)
def list_datacenters(server: "Server", request: DatacentersRequest) -> list[str]:  # noqa: ARG001
    """All datacenters, the nearest first."""
    return datacenters_by_distance(server)


@read("Catalog.ListNodes", SpecificRequest, NodesReply)
def list_nodes(server: "Server", request: SpecificRequest, watch: WatchSet | None) -> NodesReply | LongRead:
    """All nodes, by name."""
    index, nodes = server.store.catalog.nodes(watch)
    nodes = on_nodes_with(server, nodes, request.node_meta_filters, _name_of)
    reply = NodesReply()
    reply.meta.index = index

    def fill(matching: list[Node] | None) -> None:
        reply.nodes = nearest_first(server, matching, request.source, _name_of)

    return filtered(reply, nodes, request.options.filter, Node, fill)


@read("Catalog.ListServices", SpecificRequest, ServicesReply)
def list_services(server: "Server", request: SpecificRequest, watch: WatchSet | None) -> ServicesReply | LongRead:
    """The tags of every service name; with a filter those of the instances that match it (Consul 1.14)."""
    if request.options.filter:
        return _services_matching(server, request, watch)
    index, services = server.store.catalog.services(watch, request.node_meta_filters)
    reply = ServicesReply(services=services)
    reply.meta.index = index
    return reply


def _services_matching(server: "Server", request: SpecificRequest, watch: WatchSet | None) -> ServicesReply | LongRead:
    index, dump = server.store.catalog.service_dump(watch)
    found = [ServiceNode.of(row.node, row.service) for row in dump if row.node is not None and row.service is not None]
    rows = on_nodes_with(server, found, request.node_meta_filters, _node_of)
    reply = ServicesReply()
    reply.meta.index = index

    def fill(matching: list[ServiceNode] | None) -> None:
        tags: dict[str, set[str]] = {}
        for row in matching or ():
            tags.setdefault(row.service_name, set()).update(row.service_tags or ())
        reply.services = {name: sorted(tags[name]) for name in sorted(tags)}

    return filtered(reply, rows, request.options.filter, ServiceNode, fill)


@read("Catalog.ServiceNodes", ServiceRequest, ServiceNodesReply, after_forward=with_central_defaults)
def service_nodes(server: "Server", request: ServiceRequest, watch: WatchSet | None) -> ServiceNodesReply | LongRead:
    """The instances of a service, or those at an address."""
    catalog = server.store.catalog
    if not request.service_name and not request.service_address:
        raise RPCError("Must provide service name")
    if request.service_address and not request.connect:
        index, found = catalog.service_nodes_at(watch, request.service_address)
    elif request.connect:  # as in Consul, whatever the tags
        index, found = gateways.connect_nodes(server.store, watch, request.service_name)
    else:
        index, found = catalog.service_nodes(watch, request.service_name, wanted_tags(request))
    reply = ServiceNodesReply()
    reply.meta.index = index

    def fill(matching: list[ServiceNode] | None) -> None:
        count_look_up(server, "catalog", request, matching, watch)
        reply.service_nodes = nearest_first(server, matching, request.source, _node_of)

    rows = on_nodes_with(server, found, request.node_meta_filters, _node_of)
    if request.merge_central_config:
        rows = CentralDefaults(server, watch).marked_in(reply.meta).service_nodes(rows)
    return filtered(reply, rows, request.options.filter, ServiceNode, fill)


@read("Catalog.NodeServices", NodeRequest, NodeServicesReply)
def node_services(server: "Server", request: NodeRequest, watch: WatchSet | None) -> NodeServicesReply | LongRead:
    """A node with its services by id; nil for an unknown one."""
    if not request.node:
        raise RPCError("Must provide node")
    index, found = server.store.catalog.node_services(watch, request.node)
    reply = NodeServicesReply(node_services=found)
    reply.meta.index = index
    if not request.options.filter:
        return reply

    def fill(matching: list[NodeService] | None) -> None:
        if found is not None:
            services = {service.id: service for service in matching or ()}
            reply.node_services = NodeServices(node=found.node, services=services)

    services = list((found.services or {}).values()) if found is not None else ()
    return filtered(reply, services, request.options.filter, NodeService, fill)


@read("Catalog.NodeServiceList", NodeRequest, NodeServiceListReply, after_forward=with_central_defaults)
def node_service_list(
    server: "Server", request: NodeRequest, watch: WatchSet | None
) -> NodeServiceListReply | LongRead:
    """A node with its services as a list; both nil for an unknown one."""
    if not request.node:
        raise RPCError("Must provide node")
    index, found = server.store.catalog.node_service_list(watch, request.node)
    if request.merge_central_config:
        defaults = CentralDefaults(server, watch)
        index = max(index, defaults.index)
        found = NodeServiceList(node=found.node, services=found.services and defaults.services(found.services))
    reply = NodeServiceListReply(node_services=found)
    reply.meta.index, reply.meta.has_central_config = index, request.merge_central_config
    if not request.options.filter:
        return reply

    def fill(matching: list[NodeService] | None) -> None:
        reply.node_services = NodeServiceList(node=found.node, services=matching)

    return filtered(reply, found.services or (), request.options.filter, NodeService, fill)


@read("Catalog.GatewayServices", ServiceRequest, GatewayServicesReply)
def gateway_services(server: "Server", request: ServiceRequest, watch: WatchSet | None) -> GatewayServicesReply:
    """The services behind a gateway."""
    index, services = gateways.gateway_services(server.store, watch, request.service_name)
    reply = GatewayServicesReply(services=services or None)
    reply.meta.index = index
    return reply


def wanted_tags(request: ServiceRequest) -> Sequence[str]:
    """The tags that an instance must have; older agents send a single one."""
    if not request.tag_filter:
        return ()
    if request.service_tags:
        return request.service_tags
    return (request.service_tag,) if request.service_tag else ()


def _name_of(node: Node) -> str:
    return node.node


def _node_of(row: ServiceNode) -> str:
    return row.node
