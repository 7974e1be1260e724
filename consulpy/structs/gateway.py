"""Services behind gateways, as in `/v1/catalog/gateway-services`."""

import dataclasses
from typing import Final, Self

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.record import Record, go
from consulpy.structs.check import HealthCheck
from consulpy.structs.node import Node
from consulpy.structs.requests import Reply
from consulpy.structs.service import NodeService

#: Kinds of gateways that have services behind them.
INGRESS: Final = "ingress-gateway"
TERMINATING: Final = "terminating-gateway"


@dataclass(slots=True)
class ServiceName(Record):
    """The name of a service, in Consul a struct with a namespace."""

    name: str = ""


@dataclass(slots=True)
class GatewayService(Record):
    """A service behind a gateway, on one of its ports for an ingress gateway."""

    gateway: ServiceName = go(default_factory=ServiceName)
    service: ServiceName = go(default_factory=ServiceName)
    gateway_kind: str = ""
    port: int = go(omit_empty=True, default=0)
    protocol: str = go(omit_empty=True, default="")
    hosts: list[str] | None = go(omit_empty=True, default=None)
    ca_file: str = go("CAFile", omit_empty=True, default="")
    cert_file: str = go(omit_empty=True, default="")
    key_file: str = go(omit_empty=True, default="")
    sni: str = go("SNI", omit_empty=True, default="")
    from_wildcard: bool = go(omit_empty=True, default=False)
    create_index: int = 0
    modify_index: int = 0

    def for_service(self, name: str, index: int, *, from_wildcard: bool = False) -> Self:
        """A copy for a service of this name, created at `index`."""
        return dataclasses.replace(
            self, service=ServiceName(name), from_wildcard=from_wildcard, create_index=index, modify_index=index
        )


@dataclass(slots=True)
class ServiceDumpRow(Record):
    """An instance of a service behind a gateway; only `gateway_service` for one without instances."""

    node: Node | None = None
    service: NodeService | None = None
    checks: list[HealthCheck] | None = None
    gateway_service: GatewayService | None = None


@dataclass(slots=True)
class GatewayServicesReply(Reply):
    """Catalog.GatewayServices."""

    services: list[GatewayService] | None = None


@dataclass(slots=True)
class ServiceDumpReply(Reply):
    """Internal.GatewayServiceDump."""

    dump: list[ServiceDumpRow] | None = None
