"""The JSON structures of catalog records in request bodies, as Go decodes them.

`STRUCTS` are Consul's own records, as the catalog's endpoints read them, `API` those of its client library, as
transactions do. Recorded from real Consul 1.8.7.
"""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, Final

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.record import Record
from consulpy.gocompat.json_decode import Shape, record_reader
from consulpy.gocompat.newer_fields import fields_of
from consulpy.local.definitions import CATALOG_CONNECT, WeightsBody
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
_TIMES: Final = frozenset({"Interval", "Timeout", "DeregisterCriticalServiceAfter"})
_API_DEFINITION: Final = replace(
    _DEFINITION,
    durations=frozenset({"TTL", *(f"{name}Duration" for name in _TIMES)}),
    strict_durations=_TIMES,
    nulls=_TIMES,
    name=aux_struct(
        "IntervalDuration interface {}",
        "TimeoutDuration interface {}",
        "DeregisterCriticalServiceAfterDuration interface {}",
        package="api",
    ),
)


@dataclass(slots=True)
class _ApiDefinition(CheckDefinition):
    """A definition in the client library's struct, which has some durations twice: the long names go before."""

    interval_duration: int = 0
    timeout_duration: int = 0
    deregister_critical_service_after_duration: int = 0


def _api_definition(value: Any) -> CheckDefinition:
    given: _ApiDefinition = _READ_DEFINITION(value)
    found = CheckDefinition(**{field.name: getattr(given, field.name) for field in fields(CheckDefinition)})
    for name in ("interval", "timeout", "deregister_critical_service_after"):
        setattr(found, name, getattr(given, f"{name}_duration") or getattr(given, name))
    return found


_READ_DEFINITION: Final = record_reader(_ApiDefinition, _API_DEFINITION)


def _weights(shape: Shape) -> Callable[[Any], Weights]:
    """What decodes weights; those that are left out are 0."""
    read = record_reader(WeightsBody, shape)

    def decode(value: Any) -> Weights:
        given = read(value)
        return Weights(given.passing, given.warning)

    return decode


_MESH: Final = Shape("api.MeshGatewayConfig", types={"Mode": "api.MeshGatewayMode"})

STRUCTS: Final[dict[type[Record], Shape]] = {
    NodeService: Shape(
        "structs.NodeService",
        unsigned=INDEXES,
        without=frozenset({"LocallyRegisteredAsSidecar"}),
        ignored=frozenset({"Datacenter"}),
        types={"Kind": "structs.ServiceKind"},
        newer=fields_of("NodeService"),
        readers={"Weights": _weights(WEIGHTS)},
        inner={
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
        ignored=frozenset({"ContentHash", "Datacenter"}),
        types={"Kind": "api.ServiceKind"},
        newer=fields_of("NodeService"),
        readers={"Weights": _weights(Shape("api.AgentWeights"))},
        inner={
            ServiceAddress: Shape("api.ServiceAddress"),
            ConnectProxy: Shape(
                "api.AgentServiceConnectProxyConfig",
                newer=fields_of("ConnectProxy"),
                inner={
                    MeshGateway: _MESH,
                    Upstream: Shape(
                        "api.Upstream",
                        without=frozenset({"IngressHosts"}),
                        types={"DestinationType": "api.UpstreamDestType"},
                        newer=fields_of("Upstream"),
                        inner={MeshGateway: _MESH},
                    ),
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
        readers={"Definition": _api_definition},
    ),
}
