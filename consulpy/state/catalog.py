"""The catalog: tables of nodes, services and checks, and the reads on them.

Reads return `(index, result)` and add to `watch` the keys that the index depends on (docs/wire/rpc.md 14). Results are
the store's own records and must not be modified. Changes are in `consulpy.state.registration`.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final, TypeVar

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.state.indexes import (
    CHECKS,
    EXTINCTION,
    NODES,
    SERVICES,
    Indexes,
    connect_key,
    kind_key,
    service_key,
)
from consulpy.state.table import Table
from consulpy.state.watch import WatchSet
from consulpy.structs.check import ANY, HealthCheck
from consulpy.structs.node import Node
from consulpy.structs.service import (
    CheckServiceNode,
    NodeInfo,
    NodeService,
    NodeServiceList,
    NodeServices,
    ServiceNode,
)

CONNECT_PROXY = "connect-proxy"
_Row = TypeVar("_Row")
#: Instances from which on the records of a service are shared by all reads: watchers of a large one wake together.
SHARED_MIN: Final = 1000


@dataclass(slots=True)
class Instance:
    """A row of the services table: a service, and the lower-case name of its node."""

    node: str
    service: NodeService


def node_key(name_or_id: str) -> tuple[str, str]:
    """Watch key of a read of a missing node."""
    return ("node", name_or_id.lower())


class Catalog:
    """The tables of nodes, services and checks, and the reads on them."""

    def __init__(self, indexes: Indexes) -> None:
        self._indexes = indexes
        self.nodes_table: Table[Node] = Table("nodes", id=lambda node: (node.id.lower(),) if node.id else ())
        self.services_table: Table[Instance] = Table(
            "services",
            name=lambda row: (row.service.service.lower(),),
            node=lambda row: (row.node,),
            kind=lambda row: (row.service.kind,),
            connect=connect_names,
            address=_service_addresses,
        )
        self.checks_table: Table[HealthCheck] = Table(
            "checks",
            node=lambda check: (check.node.lower(),),
            service=lambda check: (check.service_name.lower(),) if check.service_id else (),
            instance=lambda check: ((check.node.lower(), check.service_id.lower()),),
            status=lambda check: (check.status,),
            id=lambda check: (check.check_id,),
        )
        self._names: tuple[int, dict[str, list[str]]] = (-1, {})
        #: The last large result of each kind: its instances, the index of the other tables, and its records.
        self._built: dict[str, tuple[Sequence[Instance], int, list[Any]]] = {}
        self._tags: dict[Hashable, tuple[Sequence[Instance], dict[str, list[str]]]] = {}

    # Nodes

    def node(self, name_or_id: str) -> Node | None:
        """A node by name without regard to case, or by its full id."""
        found = self.nodes_table.get(name_or_id.lower())
        if found is None:
            by_id = self.nodes_table.by("id", name_or_id.lower())
            found = by_id[0] if by_id else None
        return found

    def has_node(self, name: str) -> bool:
        """Whether a node of this name is registered."""
        return self.nodes_table.get(name.lower()) is not None

    def nodes(self, watch: WatchSet | None) -> tuple[int, Sequence[Node]]:
        """All nodes, by name."""
        return self._indexes.max(watch, NODES), self.nodes_table.all()

    # Services

    def services(
        self, watch: WatchSet | None, node_meta: dict[str, str] | None = None
    ) -> tuple[int, dict[str, list[str]]]:
        """The tags of each service; with `node_meta` only of services on nodes with this metadata."""
        if node_meta:
            index = self._indexes.max(watch, NODES, SERVICES)
            return index, self._tags_by_name(node_meta)
        index = self._indexes.max(watch, SERVICES)
        if self._names[0] != index:  # cached until the index of all services moves
            self._names = (index, self._tags_by_name(None))
        return index, self._names[1]

    def instances(self, name: str) -> Sequence[Instance]:
        """Instances of a service, by node and id."""
        return self.services_table.by("name", name.lower())

    def service_nodes(
        self, watch: WatchSet | None, name: str, tags: Sequence[str] = (), *, connect: bool = False
    ) -> tuple[int, list[ServiceNode]]:
        """Instances of a service that have all `tags`; with `connect` its proxies."""
        rows = self._rows(name, connect)
        index = self._service_index(watch, name, rows, (NODES, SERVICES), connect)
        if not tags and len(rows) >= SHARED_MIN:
            return index, self._shared(rows, self._service_node, self._indexes.get(NODES))
        return index, [self._service_node(row) for row in rows if has_tags(row.service.tags, tags)]

    def service_nodes_at(self, watch: WatchSet | None, address: str) -> tuple[int, list[ServiceNode]]:
        """Service instances with this address of their own. Consul returns no index here."""
        if watch is not None:
            watch.add(SERVICES)
        return 0, [self._service_node(row) for row in self.services_table.by("address", address)]

    def check_service_nodes(
        self, watch: WatchSet | None, name: str, tags: Sequence[str] = (), *, connect: bool = False
    ) -> tuple[int, list[CheckServiceNode]]:
        """As `service_nodes`, each with its node and the checks of both."""
        rows = self._rows(name, connect)
        index = self._service_index(watch, name, rows, (NODES, SERVICES, CHECKS), connect)
        if not tags and len(rows) >= SHARED_MIN:
            changed = self._indexes.max(None, NODES, CHECKS)
            return index, self._shared(rows, self._check_service_node, changed)
        return index, [self._check_service_node(row) for row in rows if has_tags(row.service.tags, tags)]

    def service_dump(self, watch: WatchSet | None, kind: str | None = None) -> tuple[int, list[CheckServiceNode]]:
        """All service instances, or with `kind` those of this kind, with node and checks."""
        if kind is None:
            index = self._indexes.max(watch, NODES, SERVICES, CHECKS)
            rows = self.services_table.all()
        else:
            index = self._indexes.max(watch, kind_key(kind))
            rows = self.services_table.by("kind", kind)
        return index, [self._check_service_node(row) for row in rows]

    # Services of one node

    def node_services(self, watch: WatchSet | None, name_or_id: str) -> tuple[int, NodeServices | None]:
        """A node with its services by id; index 0 and None if it is unknown."""
        index, node = self._node_index(watch, name_or_id)
        if node is None:
            return index, None
        return index, NodeServices(node=node, services={row.id: row for row in self._services_on(node)})

    def node_service_list(self, watch: WatchSet | None, name_or_id: str) -> tuple[int, NodeServiceList]:
        """A node with its services as a list, nil if there are none."""
        index, node = self._node_index(watch, name_or_id)
        if node is None:
            return index, NodeServiceList()
        return index, NodeServiceList(node=node, services=self._services_on(node) or None)

    def service(self, node: str, service_id: str) -> NodeService | None:
        """A service of a node."""
        row = self.services_table.get(node.lower(), service_id.lower())
        return row.service if row is not None else None

    # Checks

    def check(self, node: str, check_id: str) -> HealthCheck | None:
        """A check of a node."""
        return self.checks_table.get(node.lower(), check_id.lower())

    def node_checks(self, watch: WatchSet | None, node: str) -> tuple[int, Sequence[HealthCheck]]:
        """All checks of a node, including those of its services."""
        return self._indexes.max(watch, CHECKS), self.checks_table.by("node", node.lower())

    def service_checks(self, watch: WatchSet | None, name: str) -> tuple[int, Sequence[HealthCheck]]:
        """The checks of a service's instances, without those of their nodes."""
        return self._indexes.max(watch, CHECKS), self.checks_table.by("service", name.lower())

    def checks_in_state(self, watch: WatchSet | None, state: str) -> tuple[int, Sequence[HealthCheck]]:
        """All checks in this state, or every check for `any`."""
        index = self._indexes.max(watch, CHECKS)
        return index, self.checks_table.all() if state == ANY else self.checks_table.by("status", state)

    # Whole nodes, for the UI

    def node_info(self, watch: WatchSet | None, name_or_id: str) -> tuple[int, list[NodeInfo] | None]:
        """A node with its services and checks, as a list of one; None if it is unknown."""
        index = self._indexes.max(watch, NODES, SERVICES, CHECKS)
        node = self.node(name_or_id)
        return index, [self._info(node)] if node is not None else None

    def node_dump(self, watch: WatchSet | None) -> tuple[int, list[NodeInfo]]:
        """All nodes with their services and checks, by name."""
        return self._indexes.max(watch, NODES, SERVICES, CHECKS), [self._info(node) for node in self.nodes_table.all()]

    # Helpers

    def _rows(self, name: str, connect: bool) -> Sequence[Instance]:
        return self.services_table.by("connect" if connect else "name", name.lower())

    def _shared(self, rows: Sequence[Instance], build: Callable[[Instance], _Row], changed: int) -> list[_Row]:
        """The records of many instances, built once for all reads until something changes that they show.

        `changed`: the index of the last change of the tables that they show beside the instances themselves.
        """
        shared = self._built.get(build.__name__)
        if shared is None or shared[0] is not rows or shared[1] != changed:
            shared = self._built[build.__name__] = rows, changed, list(map(build, rows))
        return list(shared[2])

    def _service_index(
        self, watch: WatchSet | None, name: str, rows: Sequence[Instance], tables: tuple[str, ...], connect: bool
    ) -> int:
        """The index of a read of one service (docs/wire/rpc.md 14).

        A known service has its own index. For an unknown one it is the index of the last disappearance of any service,
        or if there was none, that of the tables.
        """
        key = connect_key(name) if connect else service_key(name)
        if rows:
            return self._indexes.max(watch, key)
        if self._indexes.get(EXTINCTION):
            return self._indexes.max(watch, key, EXTINCTION)
        return self._indexes.max(watch, key, EXTINCTION, *tables)

    def _node_index(self, watch: WatchSet | None, name_or_id: str) -> tuple[int, Node | None]:
        if watch is not None:
            watch.add(node_key(name_or_id))
        node = self.node(name_or_id)
        if node is None:
            return 0, None
        return self._indexes.max(watch, NODES, SERVICES), node

    def _tags_by_name(self, node_meta: dict[str, str] | None) -> dict[str, list[str]]:
        """The tags of each service, by name. Only services that changed since the last call are recomputed."""
        if node_meta:
            nodes = [node.node.lower() for node in self.nodes_table.all() if has_meta(node, node_meta)]
            there = [row for node in nodes for row in self.services_table.by("node", node)]
            return dict(sorted(_tags_of(there).items()))
        by_name, known = self.services_table.secondary_indexes["name"], self._tags
        found: dict[str, list[str]] = {}
        self._tags = {}
        for name in by_name:
            rows = by_name.get(name)  # the same tuple until one of the rows changes
            cached = known.get(name)
            if cached is None or cached[0] is not rows:
                cached = (rows, _tags_of(rows))
            self._tags[name] = cached
            found.update(cached[1])
        return dict(sorted(found.items()))

    def _services_on(self, node: Node) -> list[NodeService]:
        return [row.service for row in self.services_table.by("node", node.node.lower())]

    def _check_service_node(self, row: Instance) -> CheckServiceNode:
        """An instance with the checks of its node first, then its own."""
        node, by = row.node, self.checks_table.by
        checks = [*by("instance", (node, "")), *by("instance", (node, row.service.id.lower()))]
        return CheckServiceNode(node=self.nodes_table.get(node), service=row.service, checks=checks)

    def _service_node(self, row: Instance) -> ServiceNode:
        node, service = self.nodes_table.get(row.node), row.service
        assert node is not None, f"service {service.id} stands on a node that is not there: {row.node}"
        return ServiceNode.of(node, service)

    def _info(self, node: Node) -> NodeInfo:
        return NodeInfo(
            id=node.id,
            node=node.node,
            address=node.address,
            tagged_addresses=node.tagged_addresses,
            meta=node.meta,
            services=self._services_on(node) or None,
            checks=list(self.checks_table.by("node", node.node.lower())) or None,
        )


def has_tags(tags: Sequence[str] | None, wanted: Sequence[str]) -> bool:
    """Whether all `wanted` tags are present, without regard to case."""
    if not wanted:
        return True
    have = {tag.lower() for tag in tags or ()}
    return all(tag.lower() in have for tag in wanted)


def _tags_of(rows: Sequence[Instance]) -> dict[str, list[str]]:
    """The tags of one service's instances, by each spelling of its name."""
    found: dict[str, dict[str, None]] = {}
    for row in rows:
        found.setdefault(row.service.service, {}).update(dict.fromkeys(row.service.tags or ()))
    return {name: list(tags) for name, tags in found.items()}


def has_meta(node: Node | None, wanted: dict[str, str]) -> bool:
    """Whether a node has all of this metadata."""
    meta = (node.meta if node is not None else None) or {}
    return all(meta.get(key) == value for key, value in wanted.items())


def connect_names(row: Instance) -> tuple[str, ...]:
    """Names of the services that Connect clients reach through this instance."""
    if row.service.kind == CONNECT_PROXY:
        return (row.service.proxy.destination_service_name.lower(),)
    return (row.service.service.lower(),) if row.service.connect.native else ()


def _service_addresses(row: Instance) -> set[str]:
    tagged = row.service.tagged_addresses or {}
    return {address for address in (row.service.address, *(each.address for each in tagged.values())) if address}
