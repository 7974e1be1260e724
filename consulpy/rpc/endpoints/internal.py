"""Internal.*: reads of the UI, and user events, which servers gossip for agents (docs/wire/rpc.md 10)."""

from typing import TYPE_CHECKING

from consulpy.errors import NoPathToDatacenter, RPCError
from consulpy.gocompat.multierror import format_errors
from consulpy.rpc.endpoints._result_filters import filtered, nearest_first
from consulpy.rpc.endpoints.health import node_of
from consulpy.rpc.long_read import LongRead
from consulpy.rpc.methods import local, read
from consulpy.state import gateways
from consulpy.state.watch import WatchSet
from consulpy.structs.gateway import ServiceDumpReply
from consulpy.structs.requests import (
    CheckServiceNodesReply,
    EventFireRequest,
    NodeDumpReply,
    NodeRequest,
    Reply,
    ServiceDumpRequest,
    ServiceRequest,
    SpecificRequest,
)
from consulpy.structs.service import CheckServiceNode, NodeInfo

if TYPE_CHECKING:
    from consulpy.rpc.server import Server

#: Prefix of the names of user events in the gossip pool.
EVENT_PREFIX = "consul:event:"


@read("Internal.NodeInfo", NodeRequest, NodeDumpReply)
def node_info(server: "Server", request: NodeRequest, watch: WatchSet | None) -> NodeDumpReply:
    """One node with its services and checks."""
    index, dump = server.store.catalog.node_info(watch, request.node)
    reply = NodeDumpReply(dump=dump)
    reply.meta.index = index
    return reply


@read("Internal.NodeDump", SpecificRequest, NodeDumpReply)
def node_dump(server: "Server", request: SpecificRequest, watch: WatchSet | None) -> NodeDumpReply | LongRead:
    """All nodes with their services and checks."""
    index, dump = server.store.catalog.node_dump(watch)
    reply = NodeDumpReply()
    reply.meta.index = index

    def fill(matching: list[NodeInfo] | None) -> None:
        reply.dump = matching

    return filtered(reply, dump, request.options.filter, NodeInfo, fill)


@read("Internal.ServiceDump", ServiceDumpRequest, CheckServiceNodesReply)
def service_dump(
    server: "Server", request: ServiceDumpRequest, watch: WatchSet | None
) -> CheckServiceNodesReply | LongRead:
    """Every service instance, or those of one kind, with nodes and checks."""
    kind = request.service_kind if request.use_service_kind else None
    index, dump = server.store.catalog.service_dump(watch, kind)
    reply = CheckServiceNodesReply()
    reply.meta.index = index

    def fill(matching: list[CheckServiceNode] | None) -> None:
        reply.nodes = nearest_first(server, matching, request.source, node_of)

    return filtered(reply, dump, request.options.filter, CheckServiceNode, fill)


@read("Internal.GatewayServiceDump", ServiceRequest, ServiceDumpReply)
def gateway_service_dump(server: "Server", request: ServiceRequest, watch: WatchSet | None) -> ServiceDumpReply:
    """The instances of the services behind a gateway, with nodes and checks."""
    if not request.service_name:
        raise RPCError("Must provide gateway name")
    index, rows = gateways.gateway_service_rows(server.store, watch, request.service_name)
    reply = ServiceDumpReply(dump=rows or None)
    reply.meta.index = index
    return reply


@local("Internal.EventFire", EventFireRequest, Reply)
def event_fire(server: "Server", request: EventFireRequest) -> Reply:
    """Gossip a user event, not coalesced."""
    if not request.datacenter:
        raise NoPathToDatacenter
    if server.lan is None:
        raise RPCError("this server is in no gossip pool")
    try:
        server.lan.user_event(EVENT_PREFIX + request.name, request.payload or b"", False)
    except ValueError as error:
        text = f'error broadcasting event to segment "": {error}'
        raise RPCError(format_errors([text])) from None
    reply = Reply()
    reply.meta.known_leader = bool(server.leader_address)
    return reply
