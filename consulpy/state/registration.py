"""Changes of the catalog: registration and deregistration of nodes, services and checks.

The indexes set by each change were recorded from real Consul (docs/wire/rpc.md 14). In two cases Consul leaves readers
with an old result and an old index: when a service id changes its service name, and when a check moves between
services. Here the losing service's index is set too.
"""

import dataclasses
from collections.abc import Hashable

from consulpy.errors import RPCError
from consulpy.gocompat.literals import quoted
from consulpy.state.catalog import Instance, connect_names, node_key
from consulpy.state.indexes import CHECKS, EXTINCTION, NODES, SERVICES, connect_key, kind_key, service_key
from consulpy.state.session_lifecycle import end_sessions_of_check, end_sessions_of_node
from consulpy.state.store import Change
from consulpy.structs.check import CRITICAL, PASSING, SERF_HEALTH, HealthCheck
from consulpy.structs.metadata import metadata_error
from consulpy.structs.requests import DeregisterRequest, RegisterRequest
from consulpy.structs.service import NodeService, Weights


def register(change: Change, request: RegisterRequest) -> None:
    """Write a node, optionally with a service and checks. Raises `RPCError` with Consul's texts."""
    if not (request.skip_node_update and change.store.catalog.has_node(request.node)):
        put_node(change, request)
    if request.service is not None:
        fault = service_fault(request.node, request.service)
        if fault:
            raise RPCError(f"failed inserting service: {fault}")
        put_service(change, request.node, request.service)
    for check in (request.checks or []) + ([request.check] if request.check is not None else []):
        if check.node != request.node:
            raise RPCError(f"check node {quoted(check.node)} does not match node {quoted(request.node)}")
        put_check(change, check)


def deregister(change: Change, request: DeregisterRequest) -> None:
    """Remove a service with its checks, or a check, or (neither named) a node with everything on it.

    A missing target is no error and changes no index.
    """
    if request.service_id:
        remove_service(change, request.node.lower(), request.service_id.lower())
    elif request.check_id:
        remove_check(change, request.node.lower(), request.check_id.lower())
    else:
        remove_node(change, request.node.lower())


# Nodes


def put_node(change: Change, request: RegisterRequest) -> None:
    """Write the node of a registration. Raises `RPCError`."""
    catalog = change.store.catalog
    same_id = catalog.nodes_table.by("id", request.id.lower()) if request.id else ()
    old = same_id[0] if same_id else None
    if request.id and (old is None or old.node != request.node):
        _check_name_conflict(change, request, is_rename=old is not None)
    if old is None:
        old = catalog.nodes_table.get(request.node.lower())
    elif old.node != request.node:
        remove_node(change, old.node.lower())  # a rename: everything on the old name is removed
    node = request.catalog_node(
        create_index=old.create_index if old is not None else change.index,
        modify_index=old.modify_index if old is not None else change.index,
    )
    if node == old:
        return
    node.modify_index = change.index
    change.put(catalog.nodes_table, (node.node.lower(),), node)
    change.bump(NODES)
    change.mark_changed(*(node_key(name) for name in {node.node, node.id, old.id if old else ""} if name))
    _bump_services_on(change, node.node.lower())


def _check_name_conflict(change: Change, request: RegisterRequest, *, is_rename: bool) -> None:
    """Raises `RPCError` if the name belongs to another node that is alive."""
    catalog = change.store.catalog
    holder = catalog.nodes_table.get(request.node.lower())
    if holder is None or not holder.id or holder.id.lower() == request.id.lower():
        return
    health = catalog.check(holder.node, SERF_HEALTH)
    if health is not None and health.status == PASSING:
        where = f" ({request.address})" if is_rename else ""
        raise RPCError(
            f'failed inserting node: Error while renaming Node ID: "{request.id}"{where}: '
            f"Node name {request.node} is reserved by node {holder.id} with name {holder.node} ({holder.address})"
        )


def remove_node(change: Change, node: str) -> None:
    """Remove a node and everything on it. `node`: its lower-case name."""
    catalog = change.store.catalog
    old = catalog.nodes_table.get(node)
    if old is None:
        return
    _remove_services_and_checks(change, node)
    end_sessions_of_node(change, node)
    change.store.coordinates.remove_node(change, node)
    change.remove(catalog.nodes_table, (node,))
    change.bump(NODES)
    change.mark_changed(*(node_key(name) for name in (old.node, old.id) if name))


def _remove_services_and_checks(change: Change, node: str) -> None:
    """Remove all services and checks of a node, of which it may have thousands, as `remove_service` and
    `remove_check` would one after the other.
    """
    catalog = change.store.catalog
    rows, checks = catalog.services_table.by("node", node), catalog.checks_table.by("node", node)
    change.remove_rows(catalog.checks_table, [(node, check.check_id.lower()) for check in checks])
    change.remove_rows(catalog.services_table, [(node, row.service.id.lower()) for row in rows])
    if rows or checks:
        change.bump(CHECKS)
    if rows or any(not check.service_id for check in checks):
        change.bump(SERVICES)
    for row in {index_keys(row): row for row in rows}.values():
        _bump_removed(change, row)


# Services


def service_fault(node: str, service: NodeService) -> str:
    """Why a service cannot be written, "" if it can.

    Real servers find it when they apply the command, which is in the log by then: a server of ours that follows one
    must refuse the same commands.
    """
    fault = metadata_error(service.meta) if service.meta else ""
    return f"Invalid Service Meta for node {node} and serviceID {service.id}: {fault}" if fault else ""


def put_service(change: Change, node: str, service: NodeService) -> None:
    """Write a service of an existing node; weights out of range are 1, as on real servers. Raises `RPCError`."""
    catalog = change.store.catalog
    if not service.id:
        raise RPCError("failed inserting service: failed inserting service: object missing primary index")
    key = (node.lower(), service.id.lower())
    old_row = catalog.services_table.get(*key)
    old = old_row.service if old_row is not None else None
    new = service.copied()
    weights = service.weights
    new.weights = weights if weights is not None and weights.is_valid else Weights()
    new.locally_registered_as_sidecar = False  # neither stored nor compared by Consul
    new.create_index = old.create_index if old is not None else change.index
    new.modify_index = old.modify_index if old is not None else change.index
    if new == old:
        return
    new.modify_index = change.index
    row = Instance(node.lower(), new)
    change.put(catalog.services_table, key, row)
    change.bump(SERVICES, *index_keys(row))
    if old_row is not None:
        _bump_removed(change, old_row)


def remove_service(change: Change, node: str, service_id: str) -> None:
    """Remove a service with its checks. Both names in lower case."""
    catalog = change.store.catalog
    row = catalog.services_table.get(node, service_id)
    if row is None:
        return
    for check in catalog.checks_table.by("instance", (node, service_id)):
        remove_check(change, node, check.check_id.lower())
    change.remove(catalog.services_table, (node, service_id))
    change.bump(SERVICES, CHECKS)  # checks too, even if the service had none
    _bump_removed(change, row)


def index_keys(row: Instance) -> tuple[Hashable, ...]:
    """Index keys of all reads whose results contain this instance."""
    service = row.service
    return (service_key(service.service), kind_key(service.kind), *map(connect_key, connect_names(row)))


def _bump_removed(change: Change, old: Instance) -> None:
    """Set the indexes of reads that contained the removed row `old`; remove its service's index if
    it was the last one.
    """
    name = old.service.service
    if name.lower() in change.store.catalog.services_table.secondary_indexes["name"]:
        change.bump(*index_keys(old))
        return
    change.bump(*index_keys(old)[1:])
    change.drop_index(service_key(name))
    change.bump(EXTINCTION)
    for reached in connect_names(old):
        if reached not in change.store.catalog.services_table.secondary_indexes["connect"]:
            change.drop_index(connect_key(reached))  # reads take the larger of it and of the extinction index: the same


def _bump_services_on(change: Change, node: str) -> None:
    for row in change.store.catalog.services_table.by("node", node):
        change.bump(*index_keys(row))


# Checks


def put_check(change: Change, check: HealthCheck) -> None:
    """Write a check. An identical one only sets the table's index. A critical one ends its sessions."""
    catalog = change.store.catalog
    if not catalog.has_node(check.node):
        raise RPCError(f'failed inserting check: Missing node registration on node "{check.node}"')
    row = None
    if check.service_id:
        row = catalog.services_table.get(check.node.lower(), check.service_id.lower())
        if row is None:
            raise RPCError(f'failed inserting check: Missing service registration on node "{check.node}"')
    if not check.check_id:
        raise RPCError(
            f'failed inserting check: failed inserting check: object missing primary index on node "{check.node}"'
        )
    key = (check.node.lower(), check.check_id.lower())
    old = catalog.checks_table.get(*key)
    new = check.copied()
    new.status = check.status or CRITICAL
    if row is not None:
        new.service_name, new.service_tags = row.service.service, row.service.tags
    new.create_index = old.create_index if old is not None else change.index
    new.modify_index = old.modify_index if old is not None else change.index
    change.bump(CHECKS)
    if new.status == CRITICAL:
        end_sessions_of_check(change, check.node, check.check_id)
    if new == old:
        return
    if old is not None and new.type != old.type and new == dataclasses.replace(old, type=new.type):
        change.put(catalog.checks_table, key, new)  # Consul does not compare types: no index changes
        return
    new.modify_index = change.index
    change.put(catalog.checks_table, key, new)
    for check_of in (new, old):
        if check_of is not None:
            _bump_services_of_check(change, check_of)


def remove_check(change: Change, node: str, check_id: str) -> None:
    """Remove a check and end its sessions. Both names in lower case."""
    catalog = change.store.catalog
    old = catalog.checks_table.get(node, check_id)
    if old is None:
        return
    change.remove(catalog.checks_table, (node, check_id))
    end_sessions_of_check(change, node, check_id)
    change.bump(CHECKS)
    if not old.service_id:
        change.bump(SERVICES)  # as Consul does for a node check
    _bump_services_of_check(change, old)


def _bump_services_of_check(change: Change, check: HealthCheck) -> None:
    """Set the indexes of the services whose health this check is part of: one instance's, or all of the node."""
    node = check.node.lower()
    if not check.service_id:
        _bump_services_on(change, node)
        return
    row = change.store.catalog.services_table.get(node, check.service_id.lower())
    if row is not None:
        change.bump(*index_keys(row))
