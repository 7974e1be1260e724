"""Consul's protobuf messages of streaming, for protobuf's own library: an independent reader of what we write.

Field numbers are those of proto/pbsubscribe, pbservice and pbcommon (Consul 1.9 to 1.22).
"""

from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, duration_pb2, message_factory, struct_pb2

#: Message: its fields, "number name type"; `*` repeats, `{}` is a map from texts.
MESSAGES: Final = {
    "SubscribeRequest": """
        1 Topic int32, 2 Key string, 3 Token string, 4 Index uint64, 5 Datacenter string, 6 Namespace string,
        7 Partition string, 8 PeerName string, 9 WildcardSubject bool, 10 NamedSubject NamedSubject
    """,
    "NamedSubject": "1 Key string, 2 Namespace string, 3 Partition string, 4 PeerName string",
    "Event": """
        1 Index uint64, 2 EndOfSnapshot bool, 3 NewSnapshotToFollow bool, 4 EventBatch EventBatch,
        10 ServiceHealth ServiceHealthUpdate
    """,
    "EventBatch": "1 Events *Event",
    "ServiceHealthUpdate": "1 Op int32, 2 CheckServiceNode CheckServiceNode",
    "CheckServiceNode": "1 Node Node, 2 Service NodeService, 3 Checks *HealthCheck",
    "Node": """
        1 ID string, 2 Node string, 3 Address string, 4 Datacenter string, 5 TaggedAddresses {}string,
        6 Meta {}string, 7 RaftIndex RaftIndex, 8 Partition string, 9 PeerName string
    """,
    "NodeService": """
        1 Kind string, 2 ID string, 3 Service string, 4 Tags *string, 5 Address string, 6 Meta {}string,
        7 Port int32, 8 Weights Weights, 9 EnableTagOverride bool, 11 Proxy ConnectProxyConfig,
        12 Connect ServiceConnect, 13 LocallyRegisteredAsSidecar bool, 14 RaftIndex RaftIndex,
        15 TaggedAddresses {}ServiceAddress, 16 EnterpriseMeta EnterpriseMeta, 17 SocketPath string,
        18 PeerName string
    """,
    "RaftIndex": "1 CreateIndex uint64, 2 ModifyIndex uint64",
    "EnterpriseMeta": "1 Namespace string, 2 Partition string",
    "Weights": "1 Passing int32, 2 Warning int32",
    "ServiceAddress": "1 Address string, 2 Port int32",
    "ServiceConnect": "1 Native bool",
    "ConnectProxyConfig": """
        1 DestinationServiceName string, 2 DestinationServiceID string, 3 LocalServiceAddress string,
        4 LocalServicePort int32, 5 Config google.protobuf.Struct, 6 Upstreams *Upstream,
        7 MeshGateway MeshGatewayConfig, 8 Expose ExposeConfig, 9 Mode string
    """,
    "Upstream": """
        1 DestinationType string, 2 DestinationNamespace string, 3 DestinationName string, 4 Datacenter string,
        5 LocalBindAddress string, 6 LocalBindPort int32, 7 Config google.protobuf.Struct,
        8 MeshGateway MeshGatewayConfig
    """,
    "MeshGatewayConfig": "1 Mode string",
    "ExposeConfig": "1 Checks bool, 2 Paths *ExposePath",
    "ExposePath": """
        1 ListenerPort int32, 2 Path string, 3 LocalPathPort int32, 4 Protocol string, 5 ParsedFromCheck bool
    """,
    "HealthCheck": """
        1 Node string, 2 CheckID string, 3 Name string, 4 Status string, 5 Notes string, 6 Output string,
        7 ServiceID string, 8 ServiceName string, 9 ServiceTags *string, 10 Definition HealthCheckDefinition,
        11 RaftIndex RaftIndex, 12 Type string, 13 EnterpriseMeta EnterpriseMeta
    """,
    "HeaderValue": "1 Value *string",
    "HealthCheckDefinition": """
        1 HTTP string, 2 TLSSkipVerify bool, 3 Header {}HeaderValue, 4 Method string, 5 TCP string,
        6 Interval google.protobuf.Duration, 7 Timeout google.protobuf.Duration,
        8 DeregisterCriticalServiceAfter google.protobuf.Duration, 9 OutputMaxSize uint32,
        10 ScriptArgs *string, 11 DockerContainerID string, 12 Shell string, 13 GRPC string,
        14 GRPCUseTLS bool, 15 AliasNode string, 16 AliasService string, 17 TTL google.protobuf.Duration,
        18 Body string
    """,
}
PACKAGE: Final = "consul_streaming"


def _load() -> dict[str, Any]:
    pool = descriptor_pool.DescriptorPool()
    imports = [duration_pb2.DESCRIPTOR, struct_pb2.DESCRIPTOR]
    for each in imports:
        pool.AddSerializedFile(each.serialized_pb)
    file = descriptor_pb2.FileDescriptorProto(
        name="streaming.proto", package=PACKAGE, syntax="proto3", dependency=[each.name for each in imports]
    )
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for each in fields.split(","):
            _add_field(message, *each.split())
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}")) for name in MESSAGES}


def _add_field(message: Any, number: str, name: str, kind: str) -> None:
    field = message.field.add(name=name, number=int(number), label=1)
    if kind.startswith(("*", "{}")):
        field.label = 3
    if kind.startswith("{}"):
        entry = message.nested_type.add(name=f"{name}Entry")
        entry.options.map_entry = True
        _add_field(entry, "1", "key", "string")
        _add_field(entry, "2", "value", kind[2:])
        field.type, field.type_name = 11, f".{PACKAGE}.{message.name}.{name}Entry"
        return
    kind = kind.lstrip("*")
    scalar = {"string": 9, "bool": 8, "int32": 5, "uint32": 13, "uint64": 4}.get(kind)
    if scalar is not None:
        field.type = scalar
    else:
        field.type = 11
        field.type_name = f".{kind}" if "." in kind else f".{PACKAGE}.{kind}"


CLASSES: Final = _load()
Event: Any = CLASSES["Event"]
SubscribeRequest: Any = CLASSES["SubscribeRequest"]
CheckServiceNode: Any = CLASSES["CheckServiceNode"]
