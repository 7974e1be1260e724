"""What must be done so that the catalog's idea of this node equals our own (pure).

Source of the rules: docs/wire/rpc.md section 9 (full sync).
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from consulpy.codec.msgpack import text
from consulpy.local.sync.sync_state import Entries, ServiceState
from consulpy.structs.check import SERF_HEALTH, HealthCheck
from consulpy.structs.node import Node
from consulpy.structs.service import CONSUL_SERVICE, NodeService, Weights


def compare(
    entries: Entries, node: Node | None, services: Iterable[NodeService], checks: Iterable[HealthCheck]
) -> None:
    """Set the flags of `entries` by what the catalog has for our node (`node` None: it does not know us)."""
    entries.node_in_sync = node is not None and same_node(entries.node, node)
    _compare_services(entries, {service.id: service for service in services})
    _compare_checks(entries, {check.check_id: check for check in checks})


def _compare_services(entries: Entries, theirs: dict[str, NodeService]) -> None:
    for service_id, entry in list(entries.services.items()):
        other = theirs.get(service_id)
        if other is None:
            if entry.deleted:
                entries.forget_service(service_id)
            else:
                entries.service_untold(entry)
        elif not entry.deleted:
            keep_tags(entry, other)
            entry.in_sync = same_service(entry.service, other)
            if not entry.in_sync:
                entries.service_untold(entry)
    for service_id, other in theirs.items():
        if service_id not in entries.services and service_id != CONSUL_SERVICE:
            entries.add_service(ServiceState(other, deleted=True))


def keep_tags(entry: ServiceState, other: NodeService) -> None:
    """With EnableTagOverride: take over tags that somebody else has set in the catalog (`other`: the service there).

    Tags that the catalog has from us give way to new ones of ours. Real Consul overwrites the others' whenever it
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
                entries.forget_check(check_id)
            else:
                entries.check_untold(entry)
        elif not entry.deleted:
            # while a changed output is deferred, the difference in output is meant
            ours = replace(entry.check, output=other.output) if entry.deferred is not None else entry.check
            entry.in_sync = same_check(ours, other)
            if not entry.in_sync:
                entries.check_untold(entry)
    for check_id, other in theirs.items():
        if check_id not in entries.checks and check_id != SERF_HEALTH:
            entries.put_stranger(check_id, other)


def same_node(ours: Node, theirs: Node) -> bool:
    """Whether id, tagged addresses and metadata agree (the address is the leader's affair)."""
    return (ours.id, ours.tagged_addresses or {}, ours.meta or {}) == (
        theirs.id,
        theirs.tagged_addresses or {},
        theirs.meta or {},
    )


def same_service(ours: NodeService, theirs: NodeService) -> bool:
    """Whether two services are the same but for indexes; nil and empty are the same, and no weights mean 1 and 1."""
    if replace(theirs, create_index=ours.create_index, modify_index=ours.modify_index) == ours:
        return True  # nearly always, and much faster
    return bool(_comparable_service(ours) == _comparable_service(theirs))


def same_check(ours: HealthCheck, theirs: HealthCheck) -> bool:
    """Whether two checks are the same but for indexes."""
    if replace(theirs, create_index=ours.create_index, modify_index=ours.modify_index) == ours:
        return True
    return bool(_comparable_check(ours) == _comparable_check(theirs))


def _comparable_service(service: NodeService) -> Any:
    shown = replace(service, weights=service.weights or Weights(), create_index=0, modify_index=0).to_wire()
    shown.pop("LocallyRegisteredAsSidecar")
    proxy = _pruned(_normal(shown.pop("Proxy")))  # servers fill in what an upstream leaves out
    return _normal(shown), proxy


def _comparable_check(check: HealthCheck) -> Any:
    return _normal(replace(check, create_index=0, modify_index=0).to_wire())


def _normal(value: Any) -> Any:
    """`value` with texts for bytes and None for every empty list or map: what arrives by the wire equals what left."""
    if isinstance(value, bytes):
        return text(value)
    if isinstance(value, dict):
        return {_normal(key): _normal(each) for key, each in value.items()} or None
    if isinstance(value, list | tuple):
        return [_normal(each) for each in value] or None
    return value


def _pruned(value: Any) -> Any:
    """`value` without members that are zero: what is left out and what is zero are the same to Go."""
    if isinstance(value, dict):
        kept = {key: _pruned(each) for key, each in value.items()}
        return {key: each for key, each in kept.items() if each} or None
    if isinstance(value, list):
        return [_pruned(each) for each in value]
    return value
