"""Instances of services as protobuf (`pbservice.CheckServiceNode`): field numbers of Consul 1.9 to 1.22.

Fields that are always sent by real servers, as embedded messages are, are sent here too: older clients need them.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from consulpy.codec.protobuf import (
    bytes_field,
    double_field,
    map_field,
    number_field,
    text_field,
    text_map_field,
    texts_field,
    varint,
)
from consulpy.codec.record import Record, attributes, plain
from consulpy.structs.check import CheckDefinition, HealthCheck
from consulpy.structs.node import Node
from consulpy.structs.service import (
    CheckServiceNode,
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

#: Encodes a field: (its number, its value).
Encode = Callable[[int, Any], bytes]
_SECOND_NS: Final = 1_000_000_000


class Message:
    """Encodes records of one class. `numbers`: by Go name the number and the encoding; others are left out."""

    def __init__(self, record: type[Record], numbers: Mapping[str, tuple[int, Encode]]) -> None:
        names = attributes(record)
        self._fields = [(names[go], *numbered) for go, numbered in numbers.items() if go in names]

    def encode(self, record: Any) -> bytes:
        """The message."""
        return b"".join([encode(number, getattr(record, name)) for name, number, encode in self._fields])

    def field(self, number: int, record: Any) -> bytes:
        """The message in a field; present also if it is empty, but not for None."""
        return b"" if record is None else bytes_field(number, self.encode(record))

    def repeated(self, number: int, records: list[Any] | None) -> bytes:
        """The messages in a repeated field."""
        return b"".join([bytes_field(number, self.encode(record)) for record in records or ()])

    def map(self, number: int, records: dict[str, Any] | None) -> bytes:
        """The messages in a map."""
        return map_field(number, {key: self.field(2, record) for key, record in (records or {}).items()})


def _duration(number: int, nanoseconds: int) -> bytes:
    """`google.protobuf.Duration`: seconds and nanoseconds of the same sign."""
    if not nanoseconds:
        return b""
    sign = -1 if nanoseconds < 0 else 1
    seconds, rest = divmod(abs(nanoseconds), _SECOND_NS)
    return bytes_field(number, number_field(1, sign * seconds) + number_field(2, sign * rest))


def _headers(number: int, headers: dict[str, list[str]] | None) -> bytes:
    """A map of texts to `HeaderValue`."""
    values = {key: bytes_field(2, texts_field(1, each)) for key, each in (headers or {}).items()}
    return map_field(number, values)


def _struct(number: int, config: dict[str, Any] | None) -> bytes:
    """`google.protobuf.Struct` of a map of any values; absent for nil."""
    return b"" if config is None else bytes_field(number, _struct_body(plain(config)))


def _struct_body(config: dict[str, Any]) -> bytes:
    return map_field(1, {key: bytes_field(2, _value(value)) for key, value in config.items()})


def _value(value: Any) -> bytes:
    """`google.protobuf.Value`; all numbers are doubles."""
    if value is None:
        return varint(1 << 3) + b"\0"
    if isinstance(value, bool):
        return varint(4 << 3) + (b"\1" if value else b"\0")
    if isinstance(value, int | float):
        return double_field(2, float(value))
    if isinstance(value, str):
        return text_field(3, value) or bytes_field(3, b"")
    if isinstance(value, dict):
        return bytes_field(5, _struct_body(value))
    return bytes_field(6, b"".join(bytes_field(1, _value(each)) for each in value))


def _raft_index(number: int, record: Any) -> bytes:
    return bytes_field(number, number_field(1, record.create_index) + number_field(2, record.modify_index))


_MESH_GATEWAY: Final = Message(MeshGateway, {"Mode": (1, text_field)})
_UPSTREAM: Final = Message(
    Upstream,
    {
        "DestinationType": (1, text_field),
        "DestinationNamespace": (2, text_field),
        "DestinationName": (3, text_field),
        "Datacenter": (4, text_field),
        "LocalBindAddress": (5, text_field),
        "LocalBindPort": (6, number_field),
        "Config": (7, _struct),
        "MeshGateway": (8, _MESH_GATEWAY.field),
    },
)
_EXPOSE_PATH: Final = Message(
    ExposePath,
    {
        "ListenerPort": (1, number_field),
        "Path": (2, text_field),
        "LocalPathPort": (3, number_field),
        "Protocol": (4, text_field),
        "ParsedFromCheck": (5, number_field),
    },
)
_EXPOSE: Final = Message(Expose, {"Checks": (1, number_field), "Paths": (2, _EXPOSE_PATH.repeated)})
_PROXY: Final = Message(
    ConnectProxy,
    {
        "DestinationServiceName": (1, text_field),
        "DestinationServiceID": (2, text_field),
        "LocalServiceAddress": (3, text_field),
        "LocalServicePort": (4, number_field),
        "Config": (5, _struct),
        "Upstreams": (6, _UPSTREAM.repeated),
        "MeshGateway": (7, _MESH_GATEWAY.field),
        "Expose": (8, _EXPOSE.field),
    },
)
_WEIGHTS: Final = Message(Weights, {"Passing": (1, number_field), "Warning": (2, number_field)})
_ADDRESS: Final = Message(ServiceAddress, {"Address": (1, text_field), "Port": (2, number_field)})
_CONNECT: Final = Message(ServiceConnect, {"Native": (1, number_field)})
_SERVICE: Final = Message(
    NodeService,
    {
        "Kind": (1, text_field),
        "ID": (2, text_field),
        "Service": (3, text_field),
        "Tags": (4, texts_field),
        "Address": (5, text_field),
        "Meta": (6, text_map_field),
        "Port": (7, number_field),
        "Weights": (8, _WEIGHTS.field),
        "EnableTagOverride": (9, number_field),
        "Proxy": (11, _PROXY.field),
        "Connect": (12, _CONNECT.field),
        "LocallyRegisteredAsSidecar": (13, number_field),
        "TaggedAddresses": (15, _ADDRESS.map),
    },
)
_NODE: Final = Message(
    Node,
    {
        "ID": (1, text_field),
        "Node": (2, text_field),
        "Address": (3, text_field),
        "Datacenter": (4, text_field),
        "TaggedAddresses": (5, text_map_field),
        "Meta": (6, text_map_field),
    },
)
_DEFINITION: Final = Message(
    CheckDefinition,
    {
        "HTTP": (1, text_field),
        "TLSSkipVerify": (2, number_field),
        "Header": (3, _headers),
        "Method": (4, text_field),
        "TCP": (5, text_field),
        "Interval": (6, _duration),
        "Timeout": (7, _duration),
        "DeregisterCriticalServiceAfter": (8, _duration),
        "OutputMaxSize": (9, number_field),
        "ScriptArgs": (10, texts_field),
        "DockerContainerID": (11, text_field),
        "Shell": (12, text_field),
        "GRPC": (13, text_field),
        "GRPCUseTLS": (14, number_field),
        "AliasNode": (15, text_field),
        "AliasService": (16, text_field),
        "TTL": (17, _duration),
        "Body": (18, text_field),
    },
)
_CHECK: Final = Message(
    HealthCheck,
    {
        "Node": (1, text_field),
        "CheckID": (2, text_field),
        "Name": (3, text_field),
        "Status": (4, text_field),
        "Notes": (5, text_field),
        "Output": (6, text_field),
        "ServiceID": (7, text_field),
        "ServiceName": (8, text_field),
        "ServiceTags": (9, texts_field),
        "Definition": (10, _DEFINITION.field),
        "Type": (12, text_field),
    },
)
#: `EnterpriseMeta` of the only namespace.
_NO_TENANCY: Final = b""


def encode_instance(row: CheckServiceNode) -> bytes:
    """`pbservice.CheckServiceNode`: an instance with its node and the checks of both."""
    node, service = row.node, row.service
    parts = []
    if node is not None:
        parts.append(bytes_field(1, _NODE.encode(node) + _raft_index(7, node)))
    if service is not None:
        body = _SERVICE.encode(service) + _raft_index(14, service) + bytes_field(16, _NO_TENANCY)
        parts.append(bytes_field(2, body))
    for check in row.checks or ():
        body = _CHECK.encode(check) + _raft_index(11, check) + bytes_field(13, _NO_TENANCY)
        parts.append(bytes_field(3, body))
    return b"".join(parts)
