"""Services behind ingress and terminating gateways, computed from the gateways' config entries at each read.

Recorded answers of a real agent are in tests/unit/http/test_gateways.py. `*` means every service that is no proxy and
no gateway, except Consul's own; a service that is named too has the settings given by name.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from consulpy.connect.discovery_chain.compiler import protocol_of
from consulpy.state.config_entry import CONFIG_ENTRIES
from consulpy.state.indexes import GATEWAY_SERVICES, SERVICES
from consulpy.state.store import Store
from consulpy.state.watch import WatchSet
from consulpy.structs.config_entry import IngressGateway, TerminatingGateway
from consulpy.structs.gateway import INGRESS, TERMINATING, GatewayService, ServiceDumpRow, ServiceName
from consulpy.structs.service import CONSUL_SERVICE, CheckServiceNode, ServiceNode

WILDCARD: Final = "*"


def gateway_services(store: Store, watch: WatchSet | None, gateway: str) -> tuple[int, list[GatewayService]]:
    """The services behind a gateway, by name and port; by `*` only those of the listener's protocol."""
    index, found = _behind(store, watch, gateway)

    def find(kind: str, name: str) -> Any:
        return store.config_entries.get(watch, kind, name)[1]

    def is_served(each: GatewayService) -> bool:
        is_any = each.from_wildcard and each.gateway_kind == INGRESS
        return not is_any or protocol_of(each.service.name, find) == each.protocol

    return index, [each for each in found if is_served(each)]


def _behind(store: Store, watch: WatchSet | None, gateway: str) -> tuple[int, list[GatewayService]]:
    """The services behind a gateway whatever their protocol: Consul finds gateways of a service by these."""
    found: list[GatewayService] = []
    tables = [GATEWAY_SERVICES, CONFIG_ENTRIES]
    for kind in (TERMINATING, INGRESS):
        _, entry = store.config_entries.get(watch, kind, gateway)
        if entry is None:
            continue
        named = list(_named(entry))
        found += _expanded(store, named, entry.modify_index)
        if any(each.service.name == WILDCARD for each in named):
            tables.append(SERVICES)  # only a wildcard depends on the services
    return store.indexes.max(watch, *tables), sorted(found, key=lambda each: (each.service.name, each.port))


def gateway_service_rows(store: Store, watch: WatchSet | None, gateway: str) -> tuple[int, list[ServiceDumpRow]]:
    """All instances of the services behind a gateway; a service without instances is a row without node."""
    index, services = gateway_services(store, watch, gateway)
    rows: list[ServiceDumpRow] = []
    for each in services:
        changed, instances = store.catalog.check_service_nodes(watch, each.service.name)
        index = max(index, changed)
        rows += [ServiceDumpRow(row.node, row.service, row.checks, each) for row in instances]
        if not instances:
            rows.append(ServiceDumpRow(gateway_service=each))
    return index, rows


def ingress_nodes(store: Store, watch: WatchSet | None, name: str) -> tuple[int, list[CheckServiceNode]]:
    """The instances of all ingress gateways that expose a service."""
    index, entries = store.config_entries.all(watch, INGRESS)
    found: list[CheckServiceNode] = []
    for entry in entries:
        changed, services = _behind(store, watch, entry.name)
        index = max(index, changed)
        if any(each.service.name.lower() == name.lower() for each in services):
            changed, rows = store.catalog.check_service_nodes(watch, entry.name)
            index = max(index, changed)
            found += [row for row in rows if row.service is not None and row.service.kind == INGRESS]
    return index, found


def connect_instances(
    store: Store, watch: WatchSet | None, name: str, tags: Sequence[str] = ()
) -> tuple[int, list[CheckServiceNode]]:
    """Where the mesh reaches a service: its proxies, native instances, terminating gateways before it."""
    index, found = store.catalog.check_service_nodes(watch, name, tags, connect=True)
    for gateway in _terminating(store, watch, name):
        changed, rows = store.catalog.check_service_nodes(watch, gateway, tags)
        index = max(index, changed)
        found += rows  # of any kind, as in Consul: the name is the gateway's
    return index, found


def connect_nodes(store: Store, watch: WatchSet | None, name: str) -> tuple[int, list[ServiceNode]]:
    """As `connect_instances`, without checks."""
    index, found = store.catalog.service_nodes(watch, name, connect=True)
    for gateway in _terminating(store, watch, name):
        changed, rows = store.catalog.service_nodes(watch, gateway)
        index = max(index, changed)
        found += rows
    return index, found


def _terminating(store: Store, watch: WatchSet | None, name: str) -> list[str]:
    """The names of the terminating gateways before a service."""
    _, entries = store.config_entries.all(watch, TERMINATING)
    return [
        entry.name
        for entry in entries
        if any(each.service.name.lower() == name.lower() for each in _behind(store, watch, entry.name)[1])
    ]


def _named(entry: IngressGateway | TerminatingGateway) -> Iterator[GatewayService]:
    """The services that an entry lists, with `*` as such."""
    gateway = ServiceName(entry.name)
    if isinstance(entry, TerminatingGateway):
        for linked in entry.services or ():
            yield GatewayService(
                gateway,
                ServiceName(linked.name),
                TERMINATING,
                ca_file=linked.ca_file,
                cert_file=linked.cert_file,
                key_file=linked.key_file,
                sni=linked.sni,
            )
        return
    for listener in entry.listeners or ():
        for service in listener.services or ():
            yield GatewayService(
                gateway,
                ServiceName(service.name),
                INGRESS,
                port=listener.port,
                protocol=listener.protocol,
                hosts=service.hosts,
            )


def _expanded(store: Store, named: list[GatewayService], index: int) -> Iterator[GatewayService]:
    taken = {(each.service.name.lower(), each.port) for each in named}
    for each in named:
        if each.service.name != WILDCARD:
            yield each.for_service(each.service.name, index)
            continue
        for name, since in _typical(store).items():
            if (name.lower(), each.port) not in taken:
                yield each.for_service(name, max(index, since), from_wildcard=True)


def _typical(store: Store) -> dict[str, int]:
    """Names of all services that are no proxy and no gateway, each with the index of its creation."""
    found: dict[str, int] = {}
    for row in store.catalog.services_table.by("kind", ""):
        name, since = row.service.service, row.service.create_index
        if name != CONSUL_SERVICE:
            found[name] = min(since, found.get(name, since))
    return found
