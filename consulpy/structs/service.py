"""Services: as a node has them, as the catalog lists them, and with node and checks as health queries answer."""

from dataclasses import dataclass
from typing import Any, Final

from consulpy.codec.record import Record, go
from consulpy.structs.check import HealthCheck
from consulpy.structs.node import Node

#: Id and name of the service that every server has.
CONSUL_SERVICE: Final = "consul"


@dataclass(slots=True)
class ServiceAddress(Record):
    """An address and a port that a service has under some name (`lan`, `wan_ipv4`, ...)."""

    address: str = ""
    port: int = 0


@dataclass(slots=True)
class Weights(Record):
    """How much a service instance weighs in SRV answers while passing, and while warning."""

    passing: int = 1
    warning: int = 1


@dataclass(slots=True)
class MeshGateway(Record):
    """How a proxy uses mesh gateways."""

    mode: str = go(omit_empty=True, default="")


@dataclass(slots=True)
class Upstream(Record):
    """A service that a proxy leads to, and where it listens for it."""

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
    """A path that a proxy lets through without Connect."""

    listener_port: int = go(omit_empty=True, default=0)
    path: str = go(omit_empty=True, default="")
    local_path_port: int = go(omit_empty=True, default=0)
    protocol: str = go(omit_empty=True, default="")
    parsed_from_check: bool = False


@dataclass(slots=True)
class Expose(Record):
    """Paths that a proxy lets through without Connect."""

    checks: bool = go(omit_empty=True, default=False)
    paths: list[ExposePath] | None = go(omit_empty=True, default=None)


@dataclass(slots=True)
class ConnectProxy(Record):
    """A Connect proxy's settings; carried, never interpreted."""

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
    """Whether a service speaks Connect itself."""

    native: bool = go(omit_empty=True, default=False)
    sidecar_service: Any = go(json="-", default=None)


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
    """A service instance together with its node, as `/v1/catalog/service` answers."""

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


@dataclass(slots=True)
class CheckServiceNode(Record):
    """A service instance with its node and all checks that concern it, as `/v1/health/service` answers."""

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
    """A node with everything on it, as the UI asks for it."""

    id: str = go("ID", default="")
    node: str = ""
    address: str = ""
    tagged_addresses: dict[str, str] | None = None
    meta: dict[str, str] | None = None
    services: list[NodeService] | None = None
    checks: list[HealthCheck] | None = None
