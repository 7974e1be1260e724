"""Rights for registration and deregistration (docs/wire/acl.md section 6, `catalog/register`)."""

from typing import TYPE_CHECKING

from consulpy.acl.authorizer import Authorizer
from consulpy.acl.levels import WRITE
from consulpy.errors import RPCError
from consulpy.rpc.acl.denied import require
from consulpy.state.catalog import CONNECT_PROXY
from consulpy.structs.check import HealthCheck
from consulpy.structs.node import Node
from consulpy.structs.requests import DeregisterRequest, RegisterRequest

if TYPE_CHECKING:
    from consulpy.rpc.server import Server


def register(authorizer: Authorizer, server: "Server", request: RegisterRequest) -> None:
    """Catalog.Register: the node if it changes, the service as it is and as it will be, checks by what they are of."""
    catalog = server.store.catalog
    existing = catalog.nodes_table.get(request.node.lower())
    if existing is None or _changes(request, existing):
        require(authorizer, "node", request.node, WRITE)
    if request.service is not None:
        require(authorizer, "service", request.service.service, WRITE)
        _require_existing_service(authorizer, server, request)
        if request.service.kind == CONNECT_PROXY:  # it will be found as an instance of that service
            require(authorizer, "service", request.service.proxy.destination_service_name, WRITE)
    checks = [*(request.checks or ()), *([request.check] if request.check is not None else ())]
    for check in checks:
        _require_check(authorizer, server, request, check)


def _changes(request: RegisterRequest, node: Node) -> bool:
    if request.skip_node_update:
        return False
    return (
        (request.id, request.node, request.address) != (node.id, node.node, node.address)
        or request.datacenter not in ("", node.datacenter)
        or (request.tagged_addresses or {}) != (node.tagged_addresses or {})
        or (request.node_meta or {}) != (node.meta or {})
    )


def _require_existing_service(authorizer: Authorizer, server: "Server", request: RegisterRequest) -> None:
    """Require write on the service that has the id now: the registration takes it over."""
    assert request.service is not None
    service_id = request.service.id or request.service.service
    row = server.store.catalog.services_table.get(request.node.lower(), service_id.lower())
    if row is not None:
        require(authorizer, "service", row.service.service, WRITE)


def _require_check(authorizer: Authorizer, server: "Server", request: RegisterRequest, check: HealthCheck) -> None:
    if check.node and check.node != request.node:
        raise RPCError(
            f"Node '{check.node}' for check '{check.check_id}' doesn't match register request node '{request.node}'"
        )
    if not check.service_id:
        require(authorizer, "node", request.node, WRITE)
        return
    if request.service is not None and (request.service.id or request.service.service) == check.service_id:
        return
    row = server.store.catalog.services_table.get(request.node.lower(), check.service_id.lower())
    if row is None:
        raise RPCError(f"Unknown service '{check.service_id}' for check '{check.check_id}'")
    require(authorizer, "service", row.service.service, WRITE)


def deregister(authorizer: Authorizer, server: "Server", request: DeregisterRequest) -> None:
    """Catalog.Deregister: the node, or the service that is meant."""
    if authorizer.allows("node", request.node, WRITE):
        return
    catalog = server.store.catalog
    if request.service_id:
        row = catalog.services_table.get(request.node.lower(), request.service_id.lower())
        if row is None:
            raise RPCError(f"Unknown service '{request.service_id}'")
        require(authorizer, "service", row.service.service, WRITE)
    elif request.check_id:
        check = catalog.check(request.node, request.check_id)
        if check is None:
            raise RPCError(f"Unknown check '{request.check_id}'")
        if check.service_name:
            require(authorizer, "service", check.service_name, WRITE)
        else:
            require(authorizer, "node", request.node, WRITE)
    else:
        require(authorizer, "node", request.node, WRITE)
