"""Definitions of services and checks from HTTP bodies and from configuration files.

The HTTP API accepts Go's names in any case and a few in snake case; an unknown member is an error. Configuration files
accept snake case for all. Names and errors: seen in the responses of a real agent.
"""

from dataclasses import field, fields
from operator import attrgetter
from typing import Any, Final

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.record import Record, go
from consulpy.errors import BadRequest
from consulpy.gocompat.json_decode import GoError, Shape, decode, loads, record_reader
from consulpy.gocompat.newer_fields import fields_of
from consulpy.local.shapes import ADDRESS, DURATIONS, PROXY, WEIGHTS, aux_struct
from consulpy.structs.check import HealthCheck
from consulpy.structs.definition import CheckDefinition, CheckType, ServiceDefinition
from consulpy.structs.service import ConnectProxy, NodeService, ServiceAddress, ServiceConnect, Weights

_CHECK_ALIASES: Final = {
    "args": "ScriptArgs",
    "script_args": "ScriptArgs",
    "deregister_critical_service_after": "DeregisterCriticalServiceAfter",
    "docker_container_id": "DockerContainerID",
    "tls_skip_verify": "TLSSkipVerify",
}
_CONFIG_CHECK_ALIASES: Final = _CHECK_ALIASES | {
    "alias_node": "AliasNode",
    "alias_service": "AliasService",
    "grpc_use_tls": "GRPCUseTLS",
    "success_before_passing": "SuccessBeforePassing",
    "failures_before_critical": "FailuresBeforeCritical",
    "failures_before_warning": "FailuresBeforeWarning",
    "h2ping_use_tls": "H2PingUseTLS",
    "tls_server_name": "TLSServerName",
    "disable_redirects": "DisableRedirects",
    "tcp_use_tls": "TCPUseTLS",
    "os_service": "OSService",
    "output_max_size": "OutputMaxSize",
    "service_id": "ServiceID",
}
_CHECK_STRUCT: Final = (
    "Interval interface {}",
    "Timeout interface {}",
    "TTL interface {}",
    "DeregisterCriticalServiceAfter interface {}",
    'Args []string "json:\\"args\\""',
    'ScriptArgsSnake []string "json:\\"script_args\\""',
    'DeregisterCriticalServiceAfterSnake interface {} "json:\\"deregister_critical_service_after\\""',
    'DockerContainerIDSnake string "json:\\"docker_container_id\\""',
    'TLSSkipVerifySnake bool "json:\\"tls_skip_verify\\""',
)
_SERVICE_ID: Final = 'ServiceIDSnake string "json:\\"service_id\\""'
_CONNECT: Final = aux_struct('SidecarServiceSnake *structs.ServiceDefinition "json:\\"sidecar_service\\""')
_CHECK_NEWER: Final = {**fields_of("CheckType"), **fields_of("CheckDefinition")}


@dataclass(slots=True)
class WeightsBody(Record):
    """Weights as a request has them: what it leaves out is 0."""

    passing: int = 0
    warning: int = 0


@dataclass(slots=True)
class _CheckBody(CheckType):
    """A check with the members of its registration."""

    id: str = go("ID", default="")
    service_id: str = go("ServiceID", default="")
    token: str = ""


@dataclass(slots=True)
class _ConnectBody(Record):
    native: bool = False
    #: Of former versions; accepted without effect.
    proxy: Any = None
    sidecar_service: "_ServiceBody | None" = None


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
    check: _CheckBody | None = None
    checks: list[_CheckBody] | None = None
    weights: WeightsBody | None = None
    token: str = ""
    enable_tag_override: bool = False
    proxy: ConnectProxy = field(default_factory=ConnectProxy)
    connect: _ConnectBody | None = None


#: A check registered by itself.
_OUTER_CHECK: Final = Shape(
    aux_struct(*_CHECK_STRUCT, _SERVICE_ID),
    types={"ID": "types.CheckID"},
    custom=True,
    durations=DURATIONS,
    aliases=_CHECK_ALIASES | {"service_id": "ServiceID"},
    without=frozenset({"CheckID", "ProxyHTTP", "ProxyGRPC"}),
    newer=_CHECK_NEWER,
)
#: A check inside a service registration.
_INNER_CHECK: Final = Shape(
    aux_struct(*_CHECK_STRUCT, 'ServiceID string "json:\\"ServiceID\\""', _SERVICE_ID),
    types={"CheckID": "types.CheckID"},
    custom=True,
    durations=DURATIONS,
    aliases=_CHECK_ALIASES | {"service_id": "ServiceID"},
    without=frozenset({"ID", "Token"}),
    newer=_CHECK_NEWER,
)
_CONFIG_CHECK: Final = Shape(custom=True, durations=DURATIONS, aliases=_CONFIG_CHECK_ALIASES, newer=_CHECK_NEWER)
#: In a service's check `id` is an alias of `check_id`.
_CONFIG_INNER_CHECK: Final = Shape(
    custom=True,
    durations=DURATIONS,
    aliases=_CONFIG_CHECK_ALIASES | {"check_id": "CheckID", "id": "CheckID"},
    newer=_CHECK_NEWER,
)


def _service_shape(check: Shape) -> Shape:
    """The shape of a service, and of its sidecar, whose checks have the shape `check`."""
    inner: dict[type[Record], Shape] = {
        _CheckBody: check,
        WeightsBody: WEIGHTS,
        ServiceAddress: ADDRESS,
        ConnectProxy: PROXY,
    }
    shape = Shape(
        aux_struct(
            'EnableTagOverrideSnake bool "json:\\"enable_tag_override\\""',
            'TaggedAddressesSnake map[string]structs.ServiceAddress "json:\\"tagged_addresses\\""',
        ),
        custom=True,
        aliases={"enable_tag_override": "EnableTagOverride", "tagged_addresses": "TaggedAddresses"},
        types={"Checks": "structs.CheckTypes", "Kind": "structs.ServiceKind"},
        newer=fields_of("NodeService"),
        inner=inner,
    )
    inner[_ConnectBody] = Shape(
        _CONNECT,
        custom=True,
        aliases={"sidecar_service": "SidecarService"},
        newer=fields_of("ServiceConnect"),
        inner={_ServiceBody: shape},
    )
    return shape


_SERVICE: Final = _service_shape(_INNER_CHECK)


def _stored_sidecar(value: Any) -> Any:
    """The definition of a sidecar as real servers store it: all members, durations in ns."""
    body: _ServiceBody = record_reader(_ServiceBody, _SERVICE)(value)
    found: dict[str, Any] = {"Kind": body.kind} if body.kind else {}
    given = None if body.tagged_addresses is None else body.tagged_addresses.items()
    return found | {
        "ID": body.id,
        "Name": body.name,
        "Tags": body.tags,
        "Address": body.address,
        "TaggedAddresses": None if given is None else {name: each.to_wire() for name, each in given},
        "Meta": body.meta,
        "Port": body.port,
        "Check": _stored_check(body.check or _CheckBody()),
        "Checks": None if body.checks is None else [_stored_check(each) for each in body.checks],
        "Weights": None if body.weights is None else body.weights.to_wire(),
        "Token": body.token,
        "EnableTagOverride": body.enable_tag_override,
        "Proxy": None if body.proxy == ConnectProxy() else body.proxy.to_wire(),
        "Connect": None if body.connect is None else {"Native": body.connect.native, "SidecarService": None},
    }


def _stored_check(body: _CheckBody) -> dict[str, Any]:
    """Without what came after 1.8.7."""
    return {name: value for name, value in _type_of(body).to_json().items() if name != "H2PingUseTLS"}


#: `Connect` of a service in the catalog, where the definition of a sidecar is stored and not used.
CATALOG_CONNECT: Final = Shape(
    _CONNECT,
    custom=True,
    aliases={"sidecar_service": "SidecarService"},
    readers={"SidecarService": _stored_sidecar},
    newer=fields_of("ServiceConnect"),
)
_CONFIG_SERVICE: Final = _service_shape(_CONFIG_INNER_CHECK)


def service_from_body(body: bytes) -> ServiceDefinition:
    """Decode a body of `/v1/agent/service/register`. Raises `BadRequest`: `Request decode failed: ...`."""
    try:
        return _service(decode(_ServiceBody, loads(body), _SERVICE))
    except GoError as error:
        raise BadRequest(f"Request decode failed: {error}") from None


def check_from_body(body: bytes) -> CheckDefinition:
    """Decode a body of `/v1/agent/check/register`. Raises `BadRequest`: `Request decode failed: ...`."""
    try:
        return _check(loads(body), _OUTER_CHECK)
    except GoError as error:
        raise BadRequest(f"Request decode failed: {error}") from None


def update_from_body(body: bytes) -> tuple[str, str]:
    """Decode a body of `/v1/agent/check/update` to (status, output). Raises `BadRequest`."""
    try:
        update = decode(_UpdateBody, loads(body), _UPDATE)
    except GoError as error:
        raise BadRequest(f"Request decode failed: {error}") from None
    return update.status, update.output


@dataclass(slots=True)
class _UpdateBody(Record):
    status: str = ""
    output: str = ""


_UPDATE: Final = Shape("agent.checkUpdate")


def service_from_config(raw: dict[str, Any]) -> ServiceDefinition:
    """Decode a `service` of a configuration file. Raises `BadRequest` with the name of an invalid member."""
    try:
        return _service(decode(_ServiceBody, raw, _CONFIG_SERVICE))
    except GoError as error:
        raise BadRequest(f"service {raw.get('Name') or raw.get('ID') or '?'!r}: {error}") from None


def check_from_config(raw: dict[str, Any]) -> CheckDefinition:
    """Decode a `check` of a configuration file. Raises `BadRequest` with the name of an invalid member."""
    try:
        return _check(raw, _CONFIG_CHECK)
    except GoError as error:
        raise BadRequest(f"check {raw.get('Name') or raw.get('ID') or '?'!r}: {error}") from None


def _check(raw: Any, shape: Shape) -> CheckDefinition:
    body = decode(_CheckBody, raw, shape)
    kind = _type_of(body)
    kind.check_id = kind.check_id or body.name
    check = HealthCheck(
        check_id=kind.check_id, name=body.name, status=body.status, notes=body.notes, service_id=body.service_id
    )
    return CheckDefinition(check, kind, body.token)


_fields_of_type: Final = attrgetter(*(each.name for each in fields(CheckType)))


def _type_of(body: _CheckBody) -> CheckType:
    kind = CheckType(*_fields_of_type(body))
    kind.check_id = body.id or body.check_id
    kind.script_args = kind.script_args or None
    return kind


def _service(body: _ServiceBody) -> ServiceDefinition:
    kinds = [_type_of(each) for each in body.checks or ()]
    if body.check is not None and (kind := _type_of(body.check)) != CheckType():  # an empty check is ignored
        kinds.insert(0, kind)
    weights = None if body.weights is None else Weights(body.weights.passing, body.weights.warning)
    connect = body.connect or _ConnectBody()
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
        connect=ServiceConnect(native=connect.native),
    )
    for upstream in service.proxy.upstreams or ():
        upstream.destination_type = upstream.destination_type or "service"
    sidecar = None if connect.sidecar_service is None else _service(connect.sidecar_service)
    return ServiceDefinition(service, kinds, body.token, sidecar)
