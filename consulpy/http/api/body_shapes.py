"""The JSON structures of catalog records in request bodies, as Go decodes them.

`STRUCTS` are Consul's own records, as the catalog's endpoints read them, `API` those of its client library, as
transactions do. Recorded from real Consul 1.8.7.
"""

from dataclasses import replace
from typing import Final

from consulpy.codec.record import Record
from consulpy.gocompat.json_decode import Shape
from consulpy.gocompat.newer_fields import fields_of
from consulpy.local.definitions import CATALOG_CONNECT
from consulpy.local.shapes import ADDRESS, DURATIONS, INDEXES, PROXY, WEIGHTS, aux_struct
from consulpy.structs.check import CheckDefinition, HealthCheck
from consulpy.structs.node import Node
from consulpy.structs.service import (
    ConnectProxy,
    Expose,
    ExposePath,
    MeshGateway,
    NodeService,
    ServiceAddress,
    ServiceConnect,
    Upstream,
    Weights,
)

_DEFINITION: Final = Shape(
    aux_struct(
        "Interval interface {}",
        "Timeout interface {}",
        "DeregisterCriticalServiceAfter interface {}",
        "TTL interface {}",
    ),
    custom=True,
    durations=DURATIONS,
    unsigned=frozenset({"OutputMaxSize"}),
    types={"OutputMaxSize": "uint"},
    newer=fields_of("CheckDefinition"),
)
_API_DEFINITION: Final = replace(
    _DEFINITION,
    name=aux_struct(
        "IntervalDuration interface {}",
        "TimeoutDuration interface {}",
        "DeregisterCriticalServiceAfterDuration interface {}",
        package="api",
    ),
)

STRUCTS: Final[dict[type[Record], Shape]] = {
    NodeService: Shape(
        "structs.NodeService",
        unsigned=INDEXES,
        without=frozenset({"LocallyRegisteredAsSidecar"}),
        ignored=frozenset({"datacenter"}),
        types={"Kind": "structs.ServiceKind"},
        newer=fields_of("NodeService"),
        inner={
            Weights: WEIGHTS,
            ServiceAddress: ADDRESS,
            ConnectProxy: PROXY,
            ServiceConnect: CATALOG_CONNECT,
        },
    ),
    HealthCheck: Shape(
        "structs.HealthCheck",
        unsigned=INDEXES,
        types={"CheckID": "types.CheckID"},
        newer=fields_of("HealthCheck"),
        inner={CheckDefinition: _DEFINITION},
    ),
}

API: Final[dict[type[Record], Shape]] = {
    Node: Shape("api.Node", unsigned=INDEXES, newer=fields_of("Node")),
    NodeService: Shape(
        "api.AgentService",
        unsigned=INDEXES,
        without=frozenset({"LocallyRegisteredAsSidecar"}),
        ignored=frozenset({"contenthash", "datacenter"}),
        types={"Kind": "api.ServiceKind"},
        newer=fields_of("NodeService"),
        inner={
            Weights: Shape("api.AgentWeights"),
            ServiceAddress: Shape("api.ServiceAddress"),
            ConnectProxy: Shape(
                "api.AgentServiceConnectProxyConfig",
                newer=fields_of("ConnectProxy"),
                inner={
                    MeshGateway: Shape("api.MeshGatewayConfig"),
                    Upstream: Shape("api.Upstream", without=frozenset({"IngressHosts"}), newer=fields_of("Upstream")),
                    Expose: Shape("api.ExposeConfig", inner={ExposePath: Shape("api.ExposePath")}),
                },
            ),
            ServiceConnect: Shape("api.AgentServiceConnect", newer=fields_of("ServiceConnect")),
        },
    ),
    HealthCheck: Shape(
        "api.HealthCheck",
        unsigned=INDEXES,
        newer=fields_of("HealthCheck"),
        inner={CheckDefinition: _API_DEFINITION},
    ),
}
