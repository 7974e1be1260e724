"""Config entries: settings of services and proxies of a whole datacenter (docs/wire/rpc.md 10).

They are stored only; no mesh is operated by them. On the wire their requests and answers are raw objects with msgpack
inside: first the kind, which determines the type of what follows.
"""

from dataclasses import field
from typing import Any, Final, Self

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.msgpack import pack, text, unpack, unpack_from, with_texts
from consulpy.codec.record import Record, go
from consulpy.errors import WireError
from consulpy.gocompat.duration import format_duration_ns
from consulpy.gocompat.float32 import shortest
from consulpy.structs.newer_config_fields import (
    AccessLogs,
    EnvoyExtension,
    FailoverPolicy,
    HeaderModifiers,
    IngressDefaults,
    IngressServiceTls,
    LoadBalancer,
    LocalityPriority,
    PassiveHealthCheck,
    SdsConfig,
    ServiceDestination,
    TransparentProxy,
    UpstreamDefaults,
    kept,
)
from consulpy.structs.service import Expose, MeshGateway

SERVICE_DEFAULTS: Final = "service-defaults"
PROXY_DEFAULTS: Final = "proxy-defaults"
#: The kind (Consul 1.9) that is a view of the intentions (`consulpy.structs.service_intentions`).
SERVICE_INTENTIONS: Final = "service-intentions"
#: The only name of proxy-defaults.
GLOBAL: Final = "global"


def _first(name: str, shown: dict[str, Any]) -> dict[str, Any]:
    """An object with one of its members, if it is there, before the others."""
    return {name: shown[name], **shown} if name in shown else shown


@dataclass(slots=True)
class Entry(Record):
    """Fields of all kinds."""

    kind: str = ""
    name: str = ""


@dataclass(slots=True)
class ServiceDefaults(Entry):
    """service-defaults: protocol of a service, and how its proxies expose it."""

    protocol: str = ""
    mode: str = kept(default="")
    transparent_proxy: TransparentProxy | None = kept()
    mutual_tls_mode: str = kept("MutualTLSMode", default="")
    mesh_gateway: MeshGateway = field(default_factory=MeshGateway)
    expose: Expose = field(default_factory=Expose)
    external_sni: str = go("ExternalSNI", omit_empty=True, default="")
    upstream_config: UpstreamDefaults | None = kept()
    destination: ServiceDestination | None = kept()
    max_inbound_connections: int = kept(default=0)
    local_connect_timeout_ms: int = kept(default=0)
    local_request_timeout_ms: int = kept(default=0)
    balance_inbound_connections: str = kept(default="")
    envoy_extensions: list[EnvoyExtension] | None = kept()
    meta: dict[str, str] | None = go(omit_empty=True, default=None)
    create_index: int = 0
    modify_index: int = 0


@dataclass(slots=True)
class ProxyDefaults(Entry):
    """proxy-defaults: settings of all proxies. On the wire it is a raw object with the struct inside (recorded)."""

    config: dict[str, Any] | None = None
    mode: str = kept(default="")
    transparent_proxy: TransparentProxy | None = kept()
    mutual_tls_mode: str = kept("MutualTLSMode", default="")
    mesh_gateway: MeshGateway = field(default_factory=MeshGateway)
    expose: Expose = field(default_factory=Expose)
    access_logs: AccessLogs | None = kept()
    envoy_extensions: list[EnvoyExtension] | None = kept()
    failover_policy: FailoverPolicy | None = kept()
    prioritize_by_locality: LocalityPriority | None = kept()
    meta: dict[str, str] | None = go(omit_empty=True, default=None)
    create_index: int = 0
    modify_index: int = 0

    def to_wire(self) -> Any:
        """Encode as a raw object."""
        return pack(Entry.to_wire(self))

    @classmethod
    def from_wire(cls, raw: Any) -> Self:
        """See `Record.from_wire`."""
        raw = unpack(raw) if isinstance(raw, bytes) else raw
        return super(ProxyDefaults, cls).from_wire(raw)  # noqa: UP008 - slots make another class


@dataclass(slots=True)
class RouteHeader(Record):
    """A header that a request must match."""

    name: str = ""
    present: bool = go(omit_empty=True, default=False)
    exact: str = go(omit_empty=True, default="")
    prefix: str = go(omit_empty=True, default="")
    suffix: str = go(omit_empty=True, default="")
    regex: str = go(omit_empty=True, default="")
    invert: bool = go(omit_empty=True, default=False)


@dataclass(slots=True)
class RouteParameter(Record):
    """A query parameter that a request must match."""

    name: str = ""
    present: bool = go(omit_empty=True, default=False)
    exact: str = go(omit_empty=True, default="")
    regex: str = go(omit_empty=True, default="")


@dataclass(slots=True)
class RouteHttp(Record):
    """HTTP requests that a route matches."""

    path_exact: str = go(omit_empty=True, default="")
    path_prefix: str = go(omit_empty=True, default="")
    path_regex: str = go(omit_empty=True, default="")
    case_insensitive: bool = kept(default=False)
    header: list[RouteHeader] | None = go(omit_empty=True, default=None)
    query_param: list[RouteParameter] | None = go(omit_empty=True, default=None)
    methods: list[str] | None = go(omit_empty=True, default=None)


@dataclass(slots=True)
class RouteMatch(Record):
    """Requests that a route matches."""

    http: RouteHttp | None = go("HTTP", omit_empty=True, default=None)


@dataclass(slots=True)
class RouteDestination(Record):
    """Destination of a route. `request_timeout` in ns."""

    service: str = go(omit_empty=True, default="")
    service_subset: str = go(omit_empty=True, default="")
    namespace: str = go(omit_empty=True, default="")
    prefix_rewrite: str = go(omit_empty=True, default="")
    request_timeout: int = go(omit_empty=True, json_as=format_duration_ns, default=0)
    idle_timeout: int = kept(json_as=format_duration_ns, default=0)
    num_retries: int = go(omit_empty=True, default=0)
    retry_on_connect_failure: bool = go(omit_empty=True, default=False)
    retry_on: list[str] | None = kept()
    retry_on_status_codes: list[int] | None = go(omit_empty=True, default=None)
    request_headers: HeaderModifiers | None = kept()
    response_headers: HeaderModifiers | None = kept()

    def to_json(self) -> dict[str, Any]:
        """See `Record.to_json`; Consul shows the duration first."""
        return _first("RequestTimeout", Record.to_json(self))


@dataclass(slots=True)
class Route(Record):
    """A route; the first matching one is used."""

    match: RouteMatch | None = go(omit_empty=True, default=None)
    destination: RouteDestination | None = go(omit_empty=True, default=None)


@dataclass(slots=True)
class ServiceRouter(Entry):
    """service-router."""

    routes: list[Route] | None = None
    meta: dict[str, str] | None = go(omit_empty=True, default=None)
    create_index: int = 0
    modify_index: int = 0


@dataclass(slots=True)
class Split(Record):
    """A part of a service's traffic. `weight` in percent."""

    weight: float = go(json_as=shortest, default=0.0)
    service: str = go(omit_empty=True, default="")
    service_subset: str = go(omit_empty=True, default="")
    namespace: str = go(omit_empty=True, default="")
    request_headers: HeaderModifiers | None = kept()
    response_headers: HeaderModifiers | None = kept()


@dataclass(slots=True)
class ServiceSplitter(Entry):
    """service-splitter."""

    splits: list[Split] | None = None
    meta: dict[str, str] | None = go(omit_empty=True, default=None)
    create_index: int = 0
    modify_index: int = 0


@dataclass(slots=True)
class Subset(Record):
    """A subset of a service's instances."""

    filter: str = go(omit_empty=True, default="")
    only_passing: bool = go(omit_empty=True, default=False)


@dataclass(slots=True)
class Redirect(Record):
    """Another service used instead."""

    service: str = go(omit_empty=True, default="")
    service_subset: str = go(omit_empty=True, default="")
    namespace: str = go(omit_empty=True, default="")
    datacenter: str = go(omit_empty=True, default="")


@dataclass(slots=True)
class Failover(Record):
    """Instances used while none is healthy."""

    service: str = go(omit_empty=True, default="")
    service_subset: str = go(omit_empty=True, default="")
    namespace: str = go(omit_empty=True, default="")
    datacenters: list[str] | None = go(omit_empty=True, default=None)
    policy: FailoverPolicy | None = kept()


@dataclass(slots=True)
class ServiceResolver(Entry):
    """service-resolver. `connect_timeout` and `request_timeout` in ns."""

    default_subset: str = go(omit_empty=True, default="")
    subsets: dict[str, Subset] | None = go(omit_empty=True, default=None)
    redirect: Redirect | None = go(omit_empty=True, default=None)
    failover: dict[str, Failover] | None = go(omit_empty=True, default=None)
    prioritize_by_locality: LocalityPriority | None = kept()
    connect_timeout: int = go(omit_empty=True, json_as=format_duration_ns, default=0)
    request_timeout: int = kept(json_as=format_duration_ns, default=0)
    load_balancer: LoadBalancer | None = kept()
    meta: dict[str, str] | None = go(omit_empty=True, default=None)
    create_index: int = 0
    modify_index: int = 0

    def to_json(self) -> dict[str, Any]:
        """See `Record.to_json`; Consul shows the duration first."""
        return _first("ConnectTimeout", Record.to_json(self))


@dataclass(slots=True)
class GatewayTls(Record):
    """Whether a gateway uses TLS with its clients."""

    enabled: bool = False
    sds: SdsConfig | None = kept("SDS")
    tls_min_version: str = kept("TLSMinVersion", default="")
    tls_max_version: str = kept("TLSMaxVersion", default="")
    cipher_suites: list[str] | None = kept()


@dataclass(slots=True)
class IngressService(Record):
    """A service exposed by a gateway."""

    name: str = ""
    hosts: list[str] | None = None
    tls: IngressServiceTls | None = kept("TLS")
    request_headers: HeaderModifiers | None = kept()
    response_headers: HeaderModifiers | None = kept()
    max_connections: int = kept(default=0)
    max_pending_requests: int = kept(default=0)
    max_concurrent_requests: int = kept(default=0)
    passive_health_check: PassiveHealthCheck | None = kept()
    meta: dict[str, str] | None = go(omit_empty=True, default=None)


@dataclass(slots=True)
class IngressListener(Record):
    """A listener of a gateway."""

    port: int = 0
    protocol: str = ""
    tls: GatewayTls | None = kept("TLS")
    services: list[IngressService] | None = None


@dataclass(slots=True)
class IngressGateway(Entry):
    """ingress-gateway."""

    tls: GatewayTls = go("TLS", default_factory=GatewayTls)
    listeners: list[IngressListener] | None = None
    defaults: IngressDefaults | None = kept()
    meta: dict[str, str] | None = go(omit_empty=True, default=None)
    create_index: int = 0
    modify_index: int = 0


@dataclass(slots=True)
class LinkedService(Record):
    """A service outside the mesh behind a gateway."""

    name: str = go(omit_empty=True, default="")
    ca_file: str = go("CAFile", omit_empty=True, default="")
    cert_file: str = go(omit_empty=True, default="")
    key_file: str = go(omit_empty=True, default="")
    sni: str = go("SNI", omit_empty=True, default="")
    disable_auto_host_rewrite: bool = kept(default=False)


@dataclass(slots=True)
class TerminatingGateway(Entry):
    """terminating-gateway."""

    services: list[LinkedService] | None = None
    meta: dict[str, str] | None = go(omit_empty=True, default=None)
    create_index: int = 0
    modify_index: int = 0


#: Record class of each kind.
KINDS: Final[dict[str, type[Any]]] = {
    SERVICE_DEFAULTS: ServiceDefaults,
    PROXY_DEFAULTS: ProxyDefaults,
    "service-router": ServiceRouter,
    "service-splitter": ServiceSplitter,
    "service-resolver": ServiceResolver,
    "ingress-gateway": IngressGateway,
    "terminating-gateway": TerminatingGateway,
}


def decode_entry(kind: str, raw: Any) -> Any:
    """Decode an entry of `kind`. Raises `WireError` for an unknown kind."""
    known = KINDS.get(kind)
    if known is None:
        raise WireError(f"invalid config entry kind: {kind}")
    entry = known.from_wire(raw)
    if entry.kind:  # it is empty in a delete
        entry.kind = kind
    return plain(entry)


def plain(entry: Any) -> Any:
    """`entry` with the bytes in a proxy's free-form settings decoded."""
    if isinstance(entry, ProxyDefaults):
        entry.config = with_texts(entry.config)
    return entry


class Objects:
    """Decodes the msgpack objects inside a raw object in order."""

    def __init__(self, raw: Any) -> None:
        if not isinstance(raw, bytes):
            raise WireError(f"a wrapped body was expected, not {type(raw).__name__}")
        self._rest = memoryview(raw)

    def next(self) -> Any:
        """The next object. Raises `WireError` if there is none."""
        value, size = unpack_from(self._rest)
        self._rest = self._rest[size:]
        return value

    def next_text(self) -> str:
        """The next object, a text. Raises `WireError`."""
        value = self.next()
        if not isinstance(value, bytes):
            raise WireError(f"a text was expected, not {type(value).__name__}")
        return text(value)
