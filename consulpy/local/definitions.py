"""What users write to register services and checks, read into definitions: bodies of the HTTP API, and config files.

The HTTP API takes Go's names in any case and a few snake-case ones besides; an unknown member is refused. A config file
takes snake case for all. Seen in the answers of a real agent, the refusals too.
"""

from dataclasses import dataclass, field, fields
from typing import Any, Final

from consulpy.errors import BadRequest
from consulpy.local.godecode import GoError, Shape, decode, loads
from consulpy.structs.check import HealthCheck
from consulpy.structs.definition import CheckDefinition, CheckType, ServiceDefinition
from consulpy.structs.record import Record, go
from consulpy.structs.service import ConnectProxy, NodeService, ServiceAddress, ServiceConnect, Weights

_DURATIONS: Final = frozenset({"Interval", "Timeout", "TTL", "DeregisterCriticalServiceAfter"})
_CHECK_ALIASES: Final = {
    "args": "ScriptArgs",
    "script_args": "ScriptArgs",
    "deregister_critical_service_after": "DeregisterCriticalServiceAfter",
    "docker_container_id": "DockerContainerID",
    "tls_skip_verify": "TLSSkipVerify",
}
#: A check inside a service registration.
_INNER_CHECK: Final = Shape(_DURATIONS, _CHECK_ALIASES, extra={"serviceid": str, "service_id": str})
#: A check registered by itself.
_OUTER_CHECK: Final = Shape(
    _DURATIONS,
    _CHECK_ALIASES | {"service_id": "ServiceID"},
    without=frozenset({"CheckID", "ProxyHTTP", "ProxyGRPC"}),
)
_CONFIG_CHECK_ALIASES: Final = _CHECK_ALIASES | {
    "alias_node": "AliasNode",
    "alias_service": "AliasService",
    "grpc_use_tls": "GRPCUseTLS",
    "success_before_passing": "SuccessBeforePassing",
    "failures_before_critical": "FailuresBeforeCritical",
    "output_max_size": "OutputMaxSize",
    "service_id": "ServiceID",
}


@dataclass(slots=True)
class _WeightsBody(Record):
    passing: int = 0
    warning: int = 0


@dataclass(slots=True)
class _CheckBody(CheckType):
    """A check with what belongs to its registration."""

    id: str = go("ID", default="")
    service_id: str = go("ServiceID", default="")
    token: str = ""


@dataclass(slots=True)
class _ServiceBody(Record):
    kind: str = ""
    id: str = go("ID", default="")
    name: str = ""
    tags: list[str] | None = None
    address: str = ""
    tagged_addresses: dict[str, ServiceAddress] | None = None
    meta: dict[str, str] | None = None
    port: int = 0
    weights: _WeightsBody | None = None
    token: str = ""
    enable_tag_override: bool = False
    proxy: ConnectProxy = field(default_factory=ConnectProxy)


_SERVICE: Final = Shape(
    aliases={"enable_tag_override": "EnableTagOverride", "tagged_addresses": "TaggedAddresses"},
    extra={"check": None, "checks": None, "connect": None},
)


def service_from_body(body: bytes) -> ServiceDefinition:
    """The body of `/v1/agent/service/register`. Raises `BadRequest`: `Request decode failed: ...`."""
    try:
        return _service(loads(body), _SERVICE, _INNER_CHECK)
    except GoError as error:
        raise BadRequest(f"Request decode failed: {error}") from None


def check_from_body(body: bytes) -> CheckDefinition:
    """The body of `/v1/agent/check/register`. Raises `BadRequest`: `Request decode failed: ...`."""
    try:
        return _check(loads(body), _OUTER_CHECK)
    except GoError as error:
        raise BadRequest(f"Request decode failed: {error}") from None


def update_from_body(body: bytes) -> tuple[str, str]:
    """(status, output) in the body of `/v1/agent/check/update`. Raises `BadRequest`."""
    try:
        update, _ = decode(_UpdateBody, loads(body), Shape())
    except GoError as error:
        raise BadRequest(f"Request decode failed: {error}") from None
    return update.status, update.output


@dataclass(slots=True)
class _UpdateBody(Record):
    status: str = ""
    output: str = ""


def service_from_config(raw: dict[str, Any]) -> ServiceDefinition:
    """A `service` of a configuration file. Raises `BadRequest` naming the member that is wrong."""
    shape = Shape(aliases=_SERVICE.aliases, extra=_SERVICE.extra)
    inner = Shape(_DURATIONS, _CONFIG_CHECK_ALIASES | {"check_id": "CheckID", "id": "CheckID"})
    try:
        return _service(raw, shape, inner, config=True)
    except GoError as error:
        raise BadRequest(f"service {raw.get('Name') or raw.get('ID') or '?'!r}: {error}") from None


def check_from_config(raw: dict[str, Any]) -> CheckDefinition:
    """A `check` of a configuration file. Raises `BadRequest` naming the member that is wrong."""
    try:
        return _check(raw, Shape(_DURATIONS, _CONFIG_CHECK_ALIASES))
    except GoError as error:
        raise BadRequest(f"check {raw.get('Name') or raw.get('ID') or '?'!r}: {error}") from None


def _check(raw: Any, shape: Shape) -> CheckDefinition:
    body, _ = decode(_CheckBody, raw, shape)
    kind = CheckType(**{each.name: getattr(body, each.name) for each in fields(CheckType)})
    kind.check_id = body.id or body.check_id or body.name
    check = HealthCheck(
        check_id=kind.check_id, name=body.name, status=body.status, notes=body.notes, service_id=body.service_id
    )
    return CheckDefinition(check, kind, body.token)


def _inner_check(raw: Any, shape: Shape, config: bool) -> CheckType:
    if not config:
        return decode(CheckType, raw, shape, "Check")[0]
    definition = _check(raw, shape)
    if not any(value for name, value in (raw or {}).items() if name.lower() in ("id", "check_id", "checkid")):
        definition.type.check_id = ""  # a check of a service is not called after its name
    return definition.type


def _service(raw: Any, shape: Shape, checks: Shape, *, config: bool = False) -> ServiceDefinition:
    body, extra = decode(_ServiceBody, raw, shape)
    kinds = []
    single = extra.get("check")
    if single is not None:
        kind = _inner_check(single, checks, config)
        if kind != CheckType():  # an empty check counts as none
            kinds.append(kind)
    several = extra.get("checks")
    if several is not None:
        if not isinstance(several, list):
            raise GoError(
                f"json: cannot unmarshal {_kind(several)} into Go struct field .Checks of type structs.CheckTypes"
            )
        kinds += [_inner_check(each, checks, config) for each in several]
    weights = None if body.weights is None else Weights(body.weights.passing, body.weights.warning)
    native, sidecar = _connect(extra.get("connect"), shape, checks, config)
    service = NodeService(
        kind=body.kind,
        id=body.id,
        service=body.name,
        tags=body.tags,
        address=body.address,
        tagged_addresses=body.tagged_addresses,
        meta=body.meta,
        port=body.port,
        weights=weights,
        enable_tag_override=body.enable_tag_override,
        proxy=body.proxy,
        connect=ServiceConnect(native=native),
    )
    service.proxy.upstreams = _upstreams(service.proxy.upstreams)
    return ServiceDefinition(service, kinds, body.token, sidecar)


def _kind(value: Any) -> str:
    return {dict: "object", str: "string", bool: "bool"}.get(type(value), "number")


def _connect(raw: Any, shape: Shape, checks: Shape, config: bool) -> tuple[bool, ServiceDefinition | None]:
    """(native, sidecar); members that are not known are ignored here, as Consul does."""
    if raw is None:
        return False, None
    if not isinstance(raw, dict):
        raise GoError(
            f"json: cannot unmarshal {_kind(raw)} into Go struct field .Connect of type structs.ServiceConnect"
        )
    members = {key.lower().replace("_", ""): value for key, value in raw.items()}
    native, sidecar = members.get("native"), members.get("sidecarservice")
    if native is not None and not isinstance(native, bool):
        raise GoError(f"json: cannot unmarshal {_kind(native)} into Go struct field .Connect of type bool")
    return bool(native), None if sidecar is None else _service(sidecar, shape, checks, config=config)


#: Members of an upstream, by their names in lower case without underscores.
_UPSTREAM: Final = {
    name.lower(): name
    for name in (
        "Config",
        "Datacenter",
        "DestinationName",
        "DestinationNamespace",
        "DestinationType",
        "LocalBindAddress",
        "LocalBindPort",
        "MeshGateway",
    )
}


def _upstreams(raw: list[Any] | None) -> list[Any] | None:
    """Upstreams under Go's names, as they go to the servers."""
    if raw is None:
        return None
    upstreams = []
    for each in raw:
        if not isinstance(each, dict):
            raise GoError("json: cannot unmarshal into Go struct field .Proxy of type structs.Upstream")
        known = {_UPSTREAM.get(key.lower().replace("_", ""), ""): value for key, value in each.items()}
        known.pop("", None)
        for key, value in known.items():
            wanted = int if key == "LocalBindPort" else dict if key in ("Config", "MeshGateway") else str
            if value is not None and (not isinstance(value, wanted) or isinstance(value, bool)):
                go_type = {int: "int", dict: "map[string]interface {}", str: "string"}[wanted]
                raise GoError(f"json: cannot unmarshal {_kind(value)} into Go struct field .Proxy of type {go_type}")
        upstreams.append(dict(sorted({"DestinationType": "service", **known}.items())))
    return upstreams
