"""Services: on a node, in the catalog's lists, and with node and checks as in health queries."""

from typing import Any, Final

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.record import Record, go
from consulpy.structs.check import HealthCheck
from consulpy.structs.node import Node

#: Id and name of each server's service.
CONSUL_SERVICE: Final = "consul"


@dataclass(slots=True)
class ServiceAddress(Record):
    """A named address and port of a service (`lan`, `wan_ipv4`, ...)."""

    address: str = ""
    port: int = 0


#: The largest weight of an SRV record.
WEIGHT_MAX: Final = 65535


@dataclass(slots=True)
class Weights(Record):
    """Weights of a service instance in SRV answers while passing, and while warning."""

    passing: int = 1
    warning: int = 1

    @property
    def is_valid(self) -> bool:
        """Whether both are in the range that DNS has."""
        return 1 <= self.passing <= WEIGHT_MAX and 0 <= self.warning <= WEIGHT_MAX


@dataclass(slots=True)
class MeshGateway(Record):
    """Mesh gateway settings of a proxy."""

    mode: str = go(omit_empty=True, default="")


@dataclass(slots=True)
class Upstream(Record):
    """A service that a proxy connects to, and the local listener for it."""

    destination_type: str = ""
    destination_namespace: str = go(omit_empty=True, default="")
    destination_name: str = ""
    datacenter: str = ""
    local_bind_address: str = go(omit_empty=True, default="")
    local_bind_port: int = 0
    config: dict[str, Any] | None = None
    mesh_gateway: MeshGateway = go(default_factory=MeshGateway)
    ingress_hosts: list[str] | None = go(json="-", default=None)


@dataclass(slots=True)
class ExposePath(Record):
    """A path that a proxy exposes without Connect."""

    listener_port: int = go(omit_empty=True, default=0)
    path: str = go(omit_empty=True, default="")
    local_path_port: int = go(omit_empty=True, default=0)
    protocol: str = go(omit_empty=True, default="")
    parsed_from_check: bool = False


@dataclass(slots=True)
class Expose(Record):
    """Paths that a proxy exposes without Connect."""

    checks: bool = go(omit_empty=True, default=False)
    paths: list[ExposePath] | None = go(omit_empty=True, default=None)


@dataclass(slots=True)
class ConnectProxy(Record):
    """Settings of a Connect proxy; stored only."""

    destination_service_name: str = go(omit_empty=True, default="")
    destination_service_id: str = go("DestinationServiceID", omit_empty=True, default="")
    local_service_address: str = go(omit_empty=True, default="")
    local_service_port: int = go(omit_empty=True, default=0)
    config: dict[str, Any] | None = go(omit_empty=True, default=None)
    upstreams: list[Upstream] | None = go(omit_empty=True, default=None)
    mesh_gateway: MeshGateway = go(default_factory=MeshGateway)
    expose: Expose = go(default_factory=Expose)


@dataclass(slots=True)
class ServiceConnect(Record):
    """Whether a service supports Connect natively."""

    native: bool = go(omit_empty=True, default=False)
    #: The definition of a sidecar, as msgpack and JSON have it; nothing reads it.
    sidecar_service: Any = go(omit_empty=True, default=None)


@dataclass(slots=True)
class NodeService(Record):
    """A service instance on a node."""

    kind: str = go(omit_empty=True, default="")
    id: str = go("ID", default="")
    service: str = ""
    tags: list[str] | None = None
    address: str = ""
    tagged_addresses: dict[str, ServiceAddress] | None = go(omit_empty=True, default=None)
    meta: dict[str, str] | None = None
    port: int = 0
    weights: Weights | None = None
    enable_tag_override: bool = False
    proxy: ConnectProxy = go(default_factory=ConnectProxy)
    connect: ServiceConnect = go(default_factory=ServiceConnect)
    locally_registered_as_sidecar: bool = go(json="-", default=False)
    create_index: int = 0
    modify_index: int = 0


@dataclass(slots=True)
class ServiceNode(Record):
    """A service instance with its node, as in `/v1/catalog/service`."""

    id: str = go("ID", default="")
    node: str = ""
    address: str = ""
    datacenter: str = ""
    tagged_addresses: dict[str, str] | None = None
    node_meta: dict[str, str] | None = None
    service_kind: str = ""
    service_id: str = go("ServiceID", default="")
    service_name: str = ""
    service_tags: list[str] | None = None
    service_address: str = ""
    service_tagged_addresses: dict[str, ServiceAddress] | None = go(omit_empty=True, default=None)
    service_weights: Weights = go(default_factory=Weights)
    service_meta: dict[str, str] | None = None
    service_port: int = 0
    service_enable_tag_override: bool = False
    service_proxy: ConnectProxy = go(default_factory=ConnectProxy)
    service_connect: ServiceConnect = go(default_factory=ServiceConnect)
    create_index: int = 0
    modify_index: int = 0

    @classmethod
    def of(cls, node: Node, service: NodeService) -> "ServiceNode":
        """The row of an instance on its node."""
        return cls(
            id=node.id,
            node=node.node,
            address=node.address,
            datacenter=node.datacenter,
            tagged_addresses=node.tagged_addresses,
            node_meta=node.meta,
            service_kind=service.kind,
            service_id=service.id,
            service_name=service.service,
            service_tags=service.tags or [],
            service_address=service.address,
            service_tagged_addresses=service.tagged_addresses,
            service_weights=service.weights or Weights(),
            service_meta=service.meta or {},  # as in Consul: never null on the wire either
            service_port=service.port,
            service_enable_tag_override=service.enable_tag_override,
            service_proxy=service.proxy,
            service_connect=ServiceConnect(native=service.connect.native),
            create_index=service.create_index,
            modify_index=service.modify_index,
        )


@dataclass(slots=True)
class CheckServiceNode(Record):
    """A service instance with its node and all of their checks, as in `/v1/health/service`."""

    node: Node | None = None
    service: NodeService | None = None
    checks: list[HealthCheck] | None = None


@dataclass(slots=True)
class NodeServices(Record):
    """A node and its services by id."""

    node: Node | None = None
    services: dict[str, NodeService] | None = None


@dataclass(slots=True)
class NodeServiceList(Record):
    """A node and its services as a list."""

    node: Node | None = None
    services: list[NodeService] | None = None


@dataclass(slots=True)
class NodeInfo(Record):
    """A node with its services and checks, as in the UI."""

    id: str = go("ID", default="")
    node: str = ""
    address: str = ""
    tagged_addresses: dict[str, str] | None = None
    meta: dict[str, str] | None = None
    services: list[NodeService] | None = None
    checks: list[HealthCheck] | None = None
