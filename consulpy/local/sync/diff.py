"""Comparison of the agent's services and checks with the catalog's (pure).

Source of the rules: docs/wire/rpc.md section 9 (full sync).
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from consulpy.codec.msgpack import text
from consulpy.local.sync.sync_state import Entries, ServiceState
from consulpy.structs.check import SERF_HEALTH, HealthCheck
from consulpy.structs.metadata import VERSION_META
from consulpy.structs.node import Node
from consulpy.structs.service import CONSUL_SERVICE, NodeService, Weights


def compare(
    entries: Entries, node: Node | None, services: Iterable[NodeService], checks: Iterable[HealthCheck]
) -> None:
    """Mark the entries that differ from the catalog's `node` (None: unknown), `services` and `checks`."""
    entries.node_in_sync = node is not None and same_node(entries.node, node)
    _compare_services(entries, {service.id: service for service in services})
    _compare_checks(entries, {check.check_id: check for check in checks})


def _compare_services(entries: Entries, theirs: dict[str, NodeService]) -> None:
    for service_id, entry in list(entries.services.items()):
        other = theirs.get(service_id)
        if other is None:
            if entry.deleted:
                entries.remove_service(service_id)
            else:
                entries.mark_service_out_of_sync(entry)
        elif not entry.deleted:
            adopt_tags(entry, other)
            entry.in_sync = same_service(entry.service, other)
            if not entry.in_sync:
                entries.mark_service_out_of_sync(entry)
    for service_id, other in theirs.items():
        if service_id not in entries.services and service_id != CONSUL_SERVICE:
            entries.add_service(ServiceState(other, deleted=True))


def adopt_tags(entry: ServiceState, other: NodeService) -> None:
    """With EnableTagOverride: adopt tags that another client has set in the catalog (`other`: the service there).

    Tags that this agent has written are replaced by its new ones. Real Consul overwrites the others' tags whenever it
    sends the service, until a full sync.
    """
    ours, theirs = entry.service.tags or [], other.tags or []
    if ours == theirs:
        if not entry.tags_overridden:
            entry.own_tags = ours
    elif entry.service.enable_tag_override and theirs != entry.own_tags:
        entry.service = replace(entry.service, tags=theirs)
        entry.tags_overridden = True


def _compare_checks(entries: Entries, theirs: dict[str, HealthCheck]) -> None:
    for check_id, entry in list(entries.checks.items()):
        other = theirs.get(check_id)
        if other is None:
            if entry.deleted:
                entries.remove_check(check_id)
            else:
                entries.mark_check_out_of_sync(entry)
        elif not entry.deleted:
            # while a change of output is deferred, a difference in output is intended
            ours = replace(entry.check, output=other.output) if entry.deferred is not None else entry.check
            entry.in_sync = same_check(ours, other)
            if not entry.in_sync:
                entries.mark_check_out_of_sync(entry)
    for check_id, other in theirs.items():
        if check_id not in entries.checks and check_id != SERF_HEALTH:
            entries.add_unknown_check(check_id, other)


def same_node(ours: Node, theirs: Node) -> bool:
    """Whether id, tagged addresses and metadata are equal.

    The leader writes the address, and from Consul 1.16 on the version: without that we would undo it for ever.
    """
    meta = theirs.meta or {}
    if VERSION_META in meta and VERSION_META not in (ours.meta or {}):
        meta = {key: value for key, value in meta.items() if key != VERSION_META}
    return (ours.id, ours.tagged_addresses or {}, ours.meta or {}) == (theirs.id, theirs.tagged_addresses or {}, meta)


def same_service(ours: NodeService, theirs: NodeService) -> bool:
    """Whether two services are equal but for indexes; nil equals empty, no weights equal 1 and 1."""
    if replace(theirs, create_index=ours.create_index, modify_index=ours.modify_index) == ours:
        return True  # fast path
    return bool(_comparable_service(ours) == _comparable_service(theirs))


def same_check(ours: HealthCheck, theirs: HealthCheck) -> bool:
    """Whether two checks are equal but for indexes."""
    if replace(theirs, create_index=ours.create_index, modify_index=ours.modify_index) == ours:
        return True
    return bool(_comparable_check(ours) == _comparable_check(theirs))


def _comparable_service(service: NodeService) -> Any:
    shown = replace(service, weights=service.weights or Weights(), create_index=0, modify_index=0).to_wire()
    shown.pop("LocallyRegisteredAsSidecar")
    proxy = _pruned(_normal(shown.pop("Proxy")))  # servers fill in defaults of upstreams
    return _normal(shown), proxy


def _comparable_check(check: HealthCheck) -> Any:
    return _normal(replace(check, create_index=0, modify_index=0).to_wire())


def _normal(value: Any) -> Any:
    """`value` with str for bytes and None for empty lists and maps: as it is after a round trip over the wire."""
    if isinstance(value, bytes):
        return text(value)
    if isinstance(value, dict):
        return {_normal(key): _normal(each) for key, each in value.items()} or None
    if isinstance(value, list | tuple):
        return [_normal(each) for each in value] or None
    return value


def _pruned(value: Any) -> Any:
    """`value` without members that are zero: Go does not distinguish them from absent ones."""
    if isinstance(value, dict):
        pruned = {key: _pruned(each) for key, each in value.items()}
        return {key: each for key, each in pruned.items() if each} or None
    if isinstance(value, list):
        return [_pruned(each) for each in value]
    return value
