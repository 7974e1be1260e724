"""Health.*: checks, and service instances with their checks (docs/wire/rpc.md 10)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from consulpy.errors import RPCError
from consulpy.rpc.endpoints._central_merge import CentralDefaults, with_central_defaults
from consulpy.rpc.endpoints._metrics import count_look_up
from consulpy.rpc.endpoints._result_filters import filtered, nearest_first, on_nodes_with
from consulpy.rpc.endpoints.catalog import wanted_tags
from consulpy.rpc.long_read import LongRead
from consulpy.rpc.methods import read
from consulpy.state import gateways
from consulpy.state.watch import WatchSet
from consulpy.structs.check import HealthCheck
from consulpy.structs.requests import (
    CheckServiceNodesReply,
    HealthChecksReply,
    NodeRequest,
    ServiceRequest,
    StateRequest,
)
from consulpy.structs.service import CheckServiceNode

if TYPE_CHECKING:
    from consulpy.rpc.server import Server


@read("Health.NodeChecks", NodeRequest, HealthChecksReply)
def node_checks(server: "Server", request: NodeRequest, watch: WatchSet | None) -> HealthChecksReply | LongRead:
    """All checks on one node."""
    index, checks = server.store.catalog.node_checks(watch, request.node)
    reply = HealthChecksReply()
    reply.meta.index = index

    def fill(matching: list[HealthCheck] | None) -> None:
        reply.health_checks = matching

    return filtered(reply, checks, request.options.filter, HealthCheck, fill)


@read("Health.ServiceChecks", ServiceRequest, HealthChecksReply)
def service_checks(server: "Server", request: ServiceRequest, watch: WatchSet | None) -> HealthChecksReply | LongRead:
    """The checks of all instances of a service."""
    if not request.service_name:
        raise RPCError("Must provide service name")
    index, checks = server.store.catalog.service_checks(watch, request.service_name)
    return _checks_reply(server, request, index, checks)


@read("Health.ChecksInState", StateRequest, HealthChecksReply)
def checks_in_state(server: "Server", request: StateRequest, watch: WatchSet | None) -> HealthChecksReply | LongRead:
    """All checks in one state, or `any`."""
    index, checks = server.store.catalog.checks_in_state(watch, request.state)
    return _checks_reply(server, request, index, checks)


@read("Health.ServiceNodes", ServiceRequest, CheckServiceNodesReply, after_forward=with_central_defaults)
def service_nodes(
    server: "Server", request: ServiceRequest, watch: WatchSet | None
) -> CheckServiceNodesReply | LongRead:
    """The instances of a service, each with its node and the checks of both."""
    if not request.service_name:
        raise RPCError("Must provide service name")
    catalog = server.store.catalog
    if request.ingress:
        index, found = gateways.ingress_nodes(server.store, watch, request.service_name)
    elif request.connect:
        index, found = gateways.connect_instances(server.store, watch, request.service_name, wanted_tags(request))
    else:
        index, found = catalog.check_service_nodes(watch, request.service_name, wanted_tags(request))
    reply = CheckServiceNodesReply()
    reply.meta.index = index

    def fill(matching: list[CheckServiceNode] | None) -> None:
        count_look_up(server, "health", request, matching, watch)
        reply.nodes = nearest_first(server, matching, request.source, node_of)

    rows = on_nodes_with(server, found, request.node_meta_filters, node_of)
    if request.merge_central_config:
        rows = CentralDefaults(server, watch).marked_in(reply.meta).instances(rows)
    return filtered(reply, rows, request.options.filter, CheckServiceNode, fill)


def node_of(row: CheckServiceNode) -> str:
    """The name of an instance's node."""
    return row.node.node if row.node is not None else ""


def _node_of_check(check: HealthCheck) -> str:
    return check.node


def _checks_reply(
    server: "Server", request: ServiceRequest | StateRequest, index: int, checks: Sequence[HealthCheck]
) -> HealthChecksReply | LongRead:
    """The checks on nodes with the requested metadata, filtered and sorted."""
    checks = on_nodes_with(server, checks, request.node_meta_filters, _node_of_check)
    reply = HealthChecksReply()
    reply.meta.index = index

    def fill(matching: list[HealthCheck] | None) -> None:
        reply.health_checks = nearest_first(server, matching, request.source, _node_of_check)

    return filtered(reply, checks, request.options.filter, HealthCheck, fill)
