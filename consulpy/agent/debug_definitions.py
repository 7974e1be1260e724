"""Services and checks of configuration files in `DebugConfig`: all fields, under Consul's names and in its spellings.

Durations are Go's (`5m0s`), absent texts "", absent lists and maps empty. Recorded from real Consul 1.8.7.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from consulpy.codec.secrets import HIDDEN
from consulpy.gocompat.duration import DurationError, format_duration_ns, parse_duration_ns

_Block = Mapping[str, Any]
_DURATIONS: Final = ("DeregisterCriticalServiceAfter", "Interval", "TTL", "Timeout")
_OUTPUT_MAX_BYTES: Final = 4096
_CHECK: Final[_Block] = {
    **dict.fromkeys(_DURATIONS, "0s"),
    **dict.fromkeys(("AliasNode", "AliasService", "Body", "DockerContainerID", "GRPC", "HTTP", "Method", "Name"), ""),
    **dict.fromkeys(("Notes", "Shell", "Status", "TCP"), ""),
    **dict.fromkeys(("FailuresBeforeCritical", "OutputMaxSize", "SuccessBeforePassing"), 0),
    **dict.fromkeys(("GRPCUseTLS", "TLSSkipVerify"), False),
    "Header": {},
    "ScriptArgs": [],
}
#: The check of a service, which has its id under another name than one that stands alone.
_SERVICE_CHECK: Final[_Block] = {**_CHECK, "CheckID": "", "ProxyGRPC": "", "ProxyHTTP": ""}
_ALONE: Final[_Block] = {**_CHECK, "EnterpriseMeta": {}, "ID": "", "ServiceID": "", "Token": HIDDEN}
_SERVICE: Final[_Block] = {
    **dict.fromkeys(("Address", "ID", "Kind", "Name"), ""),
    "Check": _SERVICE_CHECK,
    "Checks": [],
    **dict.fromkeys(("Connect", "Proxy")),
    "EnableTagOverride": False,
    "EnterpriseMeta": {},
    "Meta": {},
    "Port": 0,
    "TaggedAddresses": {},
    "Tags": [],
    "Token": HIDDEN,
    "Weights": {"Passing": 1, "Warning": 1},
}
_MESH_GATEWAY: Final[_Block] = {"Mode": ""}
_PROXY: Final[_Block] = {
    **dict.fromkeys(("DestinationServiceID", "DestinationServiceName", "LocalServiceAddress"), ""),
    "Config": {},
    "Expose": {"Checks": False, "Paths": []},
    "LocalServicePort": 0,
    "MeshGateway": _MESH_GATEWAY,
    "Upstreams": [],
}
_UPSTREAM: Final[_Block] = {
    **dict.fromkeys(("Datacenter", "DestinationName", "DestinationNamespace", "LocalBindAddress"), ""),
    "Config": {},
    "DestinationType": "service",
    "IngressHosts": [],
    "LocalBindPort": 0,
    "MeshGateway": _MESH_GATEWAY,
}
_PATH: Final[_Block] = {"ListenerPort": 0, "LocalPathPort": 0, "ParsedFromCheck": False, "Path": "", "Protocol": ""}


def shown_services(blocks: Iterable[_Block]) -> list[dict[str, Any]]:
    """Service definitions."""
    return [_service(block) for block in blocks]


def shown_checks(blocks: Iterable[_Block]) -> list[dict[str, Any]]:
    """Check definitions that stand alone."""
    return [_check(block, _ALONE) for block in blocks]


def _filled(block: _Block, defaults: _Block, **convert: Callable[[Any], Any]) -> dict[str, Any]:
    """The block with all fields, by name; those in `convert` by their functions."""
    given = {name: convert[name](value) if name in convert else value for name, value in block.items()}
    return dict(sorted({**defaults, **given}.items()))


def _check(block: _Block, defaults: _Block) -> dict[str, Any]:
    return _filled(block, {**defaults, "OutputMaxSize": _OUTPUT_MAX_BYTES}, **dict.fromkeys(_DURATIONS, _duration))


def _duration(value: Any) -> Any:
    try:
        return format_duration_ns(parse_duration_ns(value) if isinstance(value, str) else int(value))
    except DurationError:
        return value


def _service(block: _Block) -> dict[str, Any]:
    return _filled(
        block,
        {**_SERVICE, "Check": dict(sorted(_SERVICE_CHECK.items()))},
        Checks=lambda checks: [_service_check(each) for each in checks],
        Check=_service_check,
        Connect=lambda connect: _filled(connect, {"Native": False, "SidecarService": None}, SidecarService=_service),
        Proxy=_proxy,
    )


def _service_check(block: _Block) -> dict[str, Any]:
    return _check({"CheckID" if name == "ID" else name: value for name, value in block.items()}, _SERVICE_CHECK)


def _proxy(block: _Block) -> dict[str, Any]:
    return _filled(
        block,
        _PROXY,
        Expose=lambda expose: _filled(
            expose, {"Checks": False, "Paths": []}, Paths=lambda paths: [_filled(each, _PATH) for each in paths]
        ),
        Upstreams=lambda upstreams: [_filled(each, _UPSTREAM, MeshGateway=_mesh_gateway) for each in upstreams],
        MeshGateway=_mesh_gateway,
    )


def _mesh_gateway(block: _Block) -> dict[str, Any]:
    return _filled(block, _MESH_GATEWAY)
