"""Definitions of services and checks in configuration files: their schema, and their conversion to the HTTP API's form.

    service { name = "web" checks { ttl = "10s" } }   ->   {"Name": "web", "Checks": [{"TTL": "10s"}]}

The schema decides between list and block: a single block in the place of a list is a list of one, and a list of one
block in the place of a block is that block. Names are matched without case and underscores. Source: what `consul
validate` and agents of Consul 1.8.7 accept; names of newer versions are accepted if their value has no effect.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from consulpy.codec.blocks import Block, single
from consulpy.config.place import Place
from consulpy.connect.central_merge import CONNECT_PROXY, GATEWAYS
from consulpy.errors import ConfigError, RPCError
from consulpy.gocompat import newer_fields
from consulpy.gocompat.json_decode import GoError, decode_duration

#: Converts a value at a place to the API's form. Raises `ConfigError`.
Read = Callable[[Any, Place], Any]


class Definition(dict[str, Any]):
    """A service, check or watch in the API's form, with its place in a file."""

    def __init__(self, members: Mapping[str, Any], place: Place) -> None:
        super().__init__(members)
        self.place = place


def text(value: Any, place: Place) -> str:
    """A string."""
    value = single(value)
    if not isinstance(value, str):
        raise place.wrong("a text", value)
    return value


def switch(value: Any, place: Place) -> bool:
    """A boolean."""
    value = single(value)
    if not isinstance(value, bool):
        raise place.wrong("true or false", value)
    return value


def whole(value: Any, place: Place) -> int:
    """An integer in the range of Go's int; 80.0 is one."""
    value = single(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1 << 63 or value != int(value):
        raise place.wrong("a whole number", value)
    return int(value)


def duration_text(value: Any, place: Place) -> str:
    """A duration such as "10s", unchanged. Empty: none."""
    value = single(value)
    try:
        if text(value, place):
            decode_duration(value)
    except GoError as error:
        raise place.fault(f'invalid duration: "{value}": {error}') from None
    return str(value)


def anything(value: Any, place: Place) -> Any:
    """Any value; a list of one block is that block, as in Consul."""
    if isinstance(value, list):
        if len(value) == 1 and isinstance(value[0], dict):
            return anything(value[0], place)
        return [anything(one, place) for one in value]
    return {name: anything(one, place) for name, one in value.items()} if isinstance(value, dict) else value


def list_of(read: Read, zero: Any = None) -> Read:
    """A list; a block of HCL is a list of one. `zero`: the value of null items."""

    def read_list(value: Any, place: Place) -> list[Any]:
        if isinstance(value, Block) and value.is_list and zero is None:
            return [read(value, place.item(0, value))]
        if not isinstance(value, list):
            raise place.wrong("a list", value)
        items = enumerate(value)
        return [zero if one is None and zero is not None else read(one, place.item(at, one)) for at, one in items]

    return read_list


def one_block(value: Any, place: Place) -> dict[str, Any]:
    """A block; a list of one block is that block."""
    value = single(value)
    if isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        raise place.fault(f"expected one block, not {len(value)}")
    if not isinstance(value, dict):
        raise place.wrong("a block", value)
    return value


def map_of(read: Read) -> Read:
    """A block of arbitrary names."""

    def read_map(value: Any, place: Place) -> dict[str, Any]:
        block = one_block(value, place)
        return {name: read(one, place.at(name, block)) for name, one in block.items() if one is not None}

    return read_map


@dataclass(frozen=True, slots=True)
class Fields:
    """A block of known names. `what`: its name in errors. `check(block)`: the fault of the block as a whole, or "".

    `default`: values of missing names.
    """

    what: str
    fields: Mapping[str, Read]
    check: Callable[[dict[str, Any]], str] | None = None
    default: Mapping[str, Any] = field(default_factory=dict)
    #: Its Go struct in `gocompat.newer_fields`.
    struct: str = ""
    #: Names by their lower case without underscores.
    names: dict[str, str] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.names.update({_plain(name): name for name in self.fields})

    def __call__(self, value: Any, place: Place) -> dict[str, Any]:
        """Read a block. Raises `ConfigError` with file and line."""
        block = one_block(value, place)
        place.check_spellings(block)
        found = dict(self.default)
        for name in sorted(block, key=lambda name: ("_" in name, name.islower())):  # the last spelling counts
            here = place.at(name, block)
            plain = _plain(name)
            known = self.names.get(_ALIASES.get(plain, plain))
            if known is not None:
                if block[name] is None:
                    continue
                found[go_name(known)] = self.fields[known](block[name], here)
            elif (version := newer_fields.version_of(name, newer_fields.fields_of(self.struct))) is None:
                raise _unknown(self, name, here)
            elif not newer_fields.is_empty_value(name, block[name]):
                raise here.fault(newer_fields.reason(name, version))
        fault = self.check(found) if self.check else ""
        if fault:
            raise place.fault(fault)
        return found


def _unknown(block: Fields, name: str, here: Place) -> ConfigError:
    import difflib

    near = difflib.get_close_matches(name.lower(), sorted(block.fields), n=1, cutoff=0.6)
    hint = f"; did you mean {near[0]}?" if near else ""
    if block.what == "check" and name.lower() == "script":
        hint = '; since Consul 1.1 a program is args = ["sh", "-c", "..."]'
    return ConfigError(f"{here}: invalid config key {here.path} of a {block.what}{hint}")


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


_UPPER: Final = {"id": "ID", "http": "HTTP", "tcp": "TCP", "ttl": "TTL", "tls": "TLS", "grpc": "GRPC"}
#: Other spellings of names in checks, by their lower case without underscores.
_ALIASES: Final = {"scriptargs": "args"}


def go_name(name: str) -> str:
    """The API's spelling: "docker_container_id" -> "DockerContainerID"."""
    if name == "args":
        return "ScriptArgs"
    return "".join(_UPPER.get(word, word.capitalize()) for word in name.split("_"))


def _fault_of_check(found: dict[str, Any]) -> str:
    """Consul's error for a check that cannot run, or ""."""
    from consulpy.local.definitions import check_from_config
    from consulpy.local.validation import check_type

    try:
        check_type(check_from_config(found).type)
    except RPCError as error:
        return str(error)
    return ""


def _fault_of_weights(found: dict[str, Any]) -> str:
    from consulpy.local.validation import check_weights
    from consulpy.structs.service import Weights

    try:
        check_weights(Weights(found["Passing"], found["Warning"]))
    except RPCError as error:
        return str(error)
    return ""


def _meta(value: Any, place: Place) -> dict[str, str]:
    from consulpy.structs.metadata import metadata_error

    found: dict[str, str] = map_of(text)(value, place)
    fault = metadata_error(found)
    if fault:
        raise place.fault(fault)
    return found


def _service_kind(value: Any, place: Place) -> str:
    """A known kind; any other is an ordinary service, as in Consul."""
    kind = text(value, place)
    return kind if kind == CONNECT_PROXY or kind in GATEWAYS else ""


def _mesh_mode(value: Any, place: Place) -> str:
    mode = text(value, place)
    if mode not in ("", "none", "local", "remote"):
        raise place.fault(f'Invalid Mesh Gateway Mode: "{mode}"')
    return mode


def _fault_of_sidecar(found: dict[str, Any]) -> str:
    if found.get("ID"):
        return "sidecar_service can't specify an ID"
    if "SidecarService" in found.get("Connect", {}):
        return "sidecar_service can't have a nested sidecar_service"
    return ""


def _fault_of_service(found: dict[str, Any]) -> str:
    """The error of a service without a name, or with an invalid proxy; or ""."""
    from consulpy.local.definitions import service_from_config
    from consulpy.local.validation import check_service

    if not found.get("Name"):
        return "a service needs a name"
    try:
        check_service(service_from_config(found), from_api=False)
    except RPCError as error:
        lines = [line.strip("\t* ") for line in str(error).splitlines()]
        return "; ".join(line for line in lines if line and "occurred:" not in line)
    return ""


_CHECK: Final[Mapping[str, Read]] = {
    **dict.fromkeys(("id", "name", "notes", "service_id", "token", "status", "http", "method", "body", "tcp"), text),
    **dict.fromkeys(("docker_container_id", "shell", "grpc", "alias_node", "alias_service"), text),
    **dict.fromkeys(("h2ping", "tls_server_name", "udp", "os_service"), text),
    **dict.fromkeys(("interval", "timeout", "ttl", "deregister_critical_service_after"), duration_text),
    **dict.fromkeys(("grpc_use_tls", "tls_skip_verify", "h2ping_use_tls", "disable_redirects", "tcp_use_tls"), switch),
    **dict.fromkeys(("success_before_passing", "failures_before_critical", "output_max_size"), whole),
    "failures_before_warning": whole,
    "args": list_of(text, ""),
    "header": map_of(list_of(text, "")),
}
CHECK: Final = Fields("check", _CHECK, _fault_of_check, struct="CheckType")
_MESH_GATEWAY: Final = Fields("mesh gateway", {"mode": _mesh_mode})
_UPSTREAM: Final = Fields(
    "upstream",
    {
        **dict.fromkeys(("destination_type", "destination_namespace", "destination_name", "datacenter"), text),
        "local_bind_address": text,
        "local_bind_port": whole,
        "config": map_of(anything),
        "mesh_gateway": _MESH_GATEWAY,
    },
    struct="Upstream",
)
_EXPOSED_PATH: Final = Fields(
    "path",
    {"path": text, "protocol": text, "listener_port": whole, "local_path_port": whole},
)
_PROXY: Final = Fields(
    "proxy",
    {
        **dict.fromkeys(("destination_service_name", "destination_service_id", "local_service_address"), text),
        "local_service_port": whole,
        "config": map_of(anything),
        "upstreams": list_of(_UPSTREAM),
        "mesh_gateway": _MESH_GATEWAY,
        "expose": Fields("block", {"checks": switch, "paths": list_of(_EXPOSED_PATH)}),
    },
    struct="ConnectProxy",
)
_SERVICE: Final[dict[str, Read]] = {
    **dict.fromkeys(("id", "name", "address", "token"), text),
    "kind": _service_kind,
    "tags": list_of(text, ""),
    "tagged_addresses": map_of(Fields("tagged address", {"address": text, "port": whole})),
    "meta": _meta,
    "port": whole,
    "enable_tag_override": switch,
    "weights": Fields(
        "weights block",
        {"passing": whole, "warning": whole},
        _fault_of_weights,
        default={"Passing": 1, "Warning": 1},
    ),
    "check": CHECK,
    "checks": list_of(CHECK),
    "proxy": _PROXY,
}


def _sidecar(value: Any, place: Place) -> dict[str, Any]:
    return _check_last(_SIDECAR(value, place))


def _check_last(found: dict[str, Any]) -> dict[str, Any]:
    """`check` behind `checks`: in files Consul counts them so for the ids of unnamed ones (`service:web:3`)."""
    if "Check" in found and found.get("Checks"):
        found["Checks"].append(found.pop("Check"))
    return found


_CONNECT: Final = Fields("connect block", {"native": switch, "sidecar_service": _sidecar}, struct="ServiceConnect")
_SIDECAR: Final = Fields("sidecar service", {**_SERVICE, "connect": _CONNECT}, _fault_of_sidecar, struct="NodeService")
SERVICE: Final = Fields("service", {**_SERVICE, "connect": _CONNECT}, _fault_of_service, struct="NodeService")


#: Contents of ignored blocks, by key: validated as Consul does.
IGNORED: Final[Mapping[str, Read]] = {
    "audit.sink": map_of(
        Fields(
            "sink",
            {
                **dict.fromkeys(("type", "format", "path", "mode", "delivery_guarantee", "rotate_duration"), text),
                **dict.fromkeys(("rotate_bytes", "rotate_max_files"), whole),
            },
        )
    ),
    "acl.tokens.managed_service_provider": list_of(
        Fields("managed service provider", {"accessor_id": text, "secret_id": text})
    ),
}


def service(value: Any, place: Place) -> Definition:
    """A service definition in the API's form. Raises `ConfigError` with file and line."""
    return Definition(_check_last(SERVICE(value, place)), place)


def check(value: Any, place: Place) -> Definition:
    """A check definition in the API's form. Raises `ConfigError` with file and line."""
    found = CHECK(value, place)
    if not found.get("Name") and not found.get("ID"):
        raise place.fault("a check needs a name")
    return Definition(found, place)


def watch(value: Any, place: Place) -> Definition:
    """A watch definition; its parameters are validated by `agent.features.watches`."""
    return Definition(map_of(anything)(value, place), place)
