"""Requests and replies of the RPC methods, by method family (docs/wire/rpc.md section 10).

A read embeds `QueryOptions` and names its datacenter; its reply embeds `QueryMeta`. A write carries a token.
"""

from dataclasses import field
from typing import Self

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.record import Record, go
from consulpy.structs.check import HealthCheck
from consulpy.structs.coordinate import Coord, Coordinate
from consulpy.structs.node import Node
from consulpy.structs.options import QueryMeta, QueryOptions, QuerySource
from consulpy.structs.service import (
    CheckServiceNode,
    NodeInfo,
    NodeService,
    NodeServiceList,
    NodeServices,
    ServiceNode,
)


@dataclass(slots=True)
class Read(Record):
    """Fields of all reads."""

    datacenter: str = ""
    options: QueryOptions = go(inline=True, default_factory=QueryOptions)


@dataclass(slots=True)
class Write(Record):
    """Fields of all writes."""

    datacenter: str = ""
    token: str = ""


@dataclass(slots=True)
class Reply(Record):
    """Fields of all replies to reads."""

    meta: QueryMeta = go(inline=True, default_factory=QueryMeta)


@dataclass(slots=True)
class DatacentersRequest(Record):
    """Catalog.ListDatacenters: the only read without a datacenter."""

    options: QueryOptions = go(inline=True, default_factory=QueryOptions)


@dataclass(slots=True)
class Empty(Record):
    """An empty request or reply."""


@dataclass(slots=True)
class SpecificRequest(Read):
    """A read of a whole table, sorted by distance from `source.node`, filtered by node metadata."""

    node_meta_filters: dict[str, str] | None = None
    source: QuerySource = field(default_factory=QuerySource)


@dataclass(slots=True)
class StateRequest(SpecificRequest):
    """Health.ChecksInState."""

    state: str = ""


@dataclass(slots=True)
class ServiceRequest(SpecificRequest):
    """A read about one service. With `tag_filter` all of `service_tags` must match."""

    service_name: str = ""
    service_tag: str = ""
    service_tags: list[str] | None = None
    service_address: str = ""
    tag_filter: bool = False
    connect: bool = False
    ingress: bool = False
    #: Proxies and gateways with their central defaults (Consul 1.13).
    merge_central_config: bool = go(is_optional=True, default=False)


@dataclass(slots=True)
class NodeRequest(Read):
    """A read about one node (by name; HTTP passes ids too)."""

    node: str = ""
    #: As in `ServiceRequest`.
    merge_central_config: bool = go(is_optional=True, default=False)


@dataclass(slots=True)
class ServiceDumpRequest(Read):
    """Internal.ServiceDump."""

    service_kind: str = ""
    use_service_kind: bool = False
    source: QuerySource = field(default_factory=QuerySource)


@dataclass(slots=True)
class EventFireRequest(Read):
    """Internal.EventFire: the server gossips `payload` as user event `consul:event:NAME`."""

    name: str = ""
    payload: bytes | None = None


@dataclass(slots=True)
class RegisterRequest(Write):
    """Catalog.Register: a node, optionally with a service and checks."""

    id: str = go("ID", default="")
    node: str = ""
    address: str = ""
    tagged_addresses: dict[str, str] | None = None
    node_meta: dict[str, str] | None = None
    service: NodeService | None = None
    check: HealthCheck | None = None
    checks: list[HealthCheck] | None = None
    skip_node_update: bool = False
    create_index: int = 0
    modify_index: int = 0

    @classmethod
    def of(cls, node: Node) -> Self:
        """A registration of the node alone, without its indexes."""
        return cls(
            datacenter=node.datacenter,
            id=node.id,
            node=node.node,
            address=node.address,
            tagged_addresses=node.tagged_addresses,
            node_meta=node.meta,
        )

    def catalog_node(self, create_index: int, modify_index: int) -> Node:
        """The node as a row of the catalog."""
        return Node(
            id=self.id,
            node=self.node,
            address=self.address,
            datacenter=self.datacenter,
            tagged_addresses=self.tagged_addresses,
            meta=self.node_meta,
            create_index=create_index,
            modify_index=modify_index,
        )


@dataclass(slots=True)
class DeregisterRequest(Write):
    """Catalog.Deregister: a service, a check, or (neither named) the node with everything on it."""

    node: str = ""
    service_id: str = go("ServiceID", default="")
    check_id: str = go("CheckID", default="")


@dataclass(slots=True)
class CoordinateUpdateRequest(Write):
    """Coordinate.Update."""

    node: str = ""
    segment: str = ""
    coord: Coord | None = None


@dataclass(slots=True)
class NodesReply(Reply):
    """Catalog.ListNodes."""

    nodes: list[Node] | None = None


@dataclass(slots=True)
class ServicesReply(Reply):
    """Catalog.ListServices: tags by service name."""

    services: dict[str, list[str]] | None = None


@dataclass(slots=True)
class ServiceNodesReply(Reply):
    """Catalog.ServiceNodes."""

    service_nodes: list[ServiceNode] | None = None


@dataclass(slots=True)
class NodeServicesReply(Reply):
    """Catalog.NodeServices; nil for an unknown node."""

    node_services: NodeServices | None = None


@dataclass(slots=True)
class NodeServiceListReply(Reply):
    """Catalog.NodeServiceList; node and services nil for an unknown node."""

    node_services: NodeServiceList = field(default_factory=NodeServiceList)


@dataclass(slots=True)
class HealthChecksReply(Reply):
    """Health.NodeChecks, Health.ServiceChecks, Health.ChecksInState."""

    health_checks: list[HealthCheck] | None = None


@dataclass(slots=True)
class CheckServiceNodesReply(Reply):
    """Health.ServiceNodes, Internal.ServiceDump."""

    nodes: list[CheckServiceNode] | None = None


@dataclass(slots=True)
class NodeDumpReply(Reply):
    """Internal.NodeInfo, Internal.NodeDump."""

    dump: list[NodeInfo] | None = None


@dataclass(slots=True)
class CoordinatesReply(Reply):
    """Coordinate.ListNodes, Coordinate.Node."""

    coordinates: list[Coordinate] | None = None


@dataclass(slots=True)
class RaftStats(Record):
    """Status.RaftStats: progress of a server's log. `last_contact` is a Go duration as text."""

    last_contact: str = "0"
    last_index: int = 0
    last_term: int = 0
