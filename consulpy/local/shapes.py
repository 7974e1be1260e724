"""JSON shapes of services and checks for `gocompat.json_decode`: Go struct names, aliases, newer fields.

Names, aliases and errors: seen in the responses of real Consul 1.8.7.
"""

from typing import Final

from consulpy.codec.record import Record
from consulpy.gocompat.json_decode import Shape
from consulpy.gocompat.newer_fields import fields_of
from consulpy.structs.service import (
    Expose,
    ExposePath,
    MeshGateway,
    Upstream,
)

DURATIONS: Final = frozenset({"Interval", "Timeout", "DeregisterCriticalServiceAfter", "TTL"})
#: Fields that the servers set.
INDEXES: Final = frozenset({"CreateIndex", "ModifyIndex"})


def aux_struct(*fields: str, package: str = "structs") -> str:
    """Go's name of the anonymous struct of an `UnmarshalJSON`: the aliases, then the struct itself."""
    return "struct { " + "; ".join([*fields, f"*{package}.Alias"]) + " }"


_MESH: Final[dict[type[Record], Shape]] = {
    MeshGateway: Shape("structs.MeshGatewayConfig", types={"Mode": "structs.MeshGatewayMode"})
}
UPSTREAM: Final = Shape(
    aux_struct(
        'DestinationTypeSnake string "json:\\"destination_type\\""',
        'DestinationNamespaceSnake string "json:\\"destination_namespace\\""',
        'DestinationNameSnake string "json:\\"destination_name\\""',
        'LocalBindPortSnake int "json:\\"local_bind_port\\""',
        'LocalBindAddressSnake string "json:\\"local_bind_address\\""',
    ),
    custom=True,
    aliases={
        "destination_type": "DestinationType",
        "destination_namespace": "DestinationNamespace",
        "destination_name": "DestinationName",
        "local_bind_address": "LocalBindAddress",
        "local_bind_port": "LocalBindPort",
    },
    without=frozenset({"IngressHosts"}),
    newer=fields_of("Upstream"),
    inner=_MESH,
)
_PATH: Final = Shape(
    aux_struct(
        'LocalPathPortSnake int "json:\\"local_path_port\\""',
        'ListenerPortSnake int "json:\\"listener_port\\""',
    ),
    custom=True,
    aliases={"listener_port": "ListenerPort", "local_path_port": "LocalPathPort"},
)
PROXY: Final = Shape(
    aux_struct(
        'DestinationServiceNameSnake string "json:\\"destination_service_name\\""',
        'DestinationServiceIDSnake string "json:\\"destination_service_id\\""',
        'LocalServiceAddressSnake string "json:\\"local_service_address\\""',
        'LocalServicePortSnake int "json:\\"local_service_port\\""',
    ),
    custom=True,
    aliases={
        "destination_service_name": "DestinationServiceName",
        "destination_service_id": "DestinationServiceID",
        "local_service_address": "LocalServiceAddress",
        "local_service_port": "LocalServicePort",
    },
    types={"Upstreams": "structs.Upstreams"},
    newer=fields_of("ConnectProxy"),
    inner={
        Upstream: UPSTREAM,
        Expose: Shape("structs.ExposeConfig", types={"Paths": "[]structs.ExposePath"}, inner={ExposePath: _PATH}),
        **_MESH,
    },
)
WEIGHTS: Final = Shape("structs.Weights")
ADDRESS: Final = Shape("structs.ServiceAddress")
