"""Definitions of services and checks that an agent registers and runs.

A `CheckType` is written to the data directory in the format of Consul's own files, so that either agent reads the
other's (recorded from a real data directory).
"""

from dataclasses import field

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.record import Record, go
from consulpy.structs.check import HealthCheck
from consulpy.structs.service import ConnectProxy, NodeService, ServiceAddress, Weights


@dataclass(slots=True)
class CheckType(Record):
    """Settings of a check. Durations in ns; exactly one of the kinds below is used (`kind`)."""

    check_id: str = go("CheckID", default="")
    name: str = ""
    status: str = ""
    notes: str = ""
    script_args: list[str] | None = None
    http: str = go("HTTP", default="")
    header: dict[str, list[str]] | None = None
    method: str = ""
    body: str = ""
    tcp: str = go("TCP", default="")
    interval: int = 0
    alias_node: str = ""
    alias_service: str = ""
    docker_container_id: str = go("DockerContainerID", default="")
    shell: str = ""
    grpc: str = go("GRPC", default="")
    grpc_use_tls: bool = go("GRPCUseTLS", default=False)
    tls_skip_verify: bool = go("TLSSkipVerify", default=False)
    timeout: int = 0
    ttl: int = go("TTL", default=0)
    success_before_passing: int = 0
    failures_before_critical: int = 0
    proxy_http: str = go("ProxyHTTP", default="")
    proxy_grpc: str = go("ProxyGRPC", default="")
    deregister_critical_service_after: int = 0
    output_max_size: int = 0
    # since 1.10 and later
    h2ping: str = go("H2PING", omit_empty=True, default="")
    h2ping_use_tls: bool = go("H2PingUseTLS", default=True)
    tls_server_name: str = go("TLSServerName", omit_empty=True, default="")
    failures_before_warning: int = go(omit_empty=True, default=0)
    disable_redirects: bool = go(omit_empty=True, default=False)
    udp: str = go("UDP", omit_empty=True, default="")
    tcp_use_tls: bool = go("TCPUseTLS", omit_empty=True, default=False)
    os_service: str = go("OSService", omit_empty=True, default="")

    @property
    def is_alias(self) -> bool:
        """Whether it mirrors the checks of a node or a service."""
        return bool(self.alias_node or self.alias_service)

    @property
    def kind(self) -> str:
        """The kind to run if several are described: "ttl", "http", "tcp", "udp", "grpc", "h2ping", "os_service",
        "docker", "script", "alias".
        """
        if self.ttl > 0:
            return "ttl"
        if self.http:
            return "http"
        if self.tcp:
            return "tcp"
        if self.udp:
            return "udp"
        if self.grpc:
            return "grpc"
        if self.h2ping:
            return "h2ping"
        if self.os_service:
            return "os_service"
        if self.docker_container_id and self.script_args:
            return "docker"
        if self.script_args:
            return "script"
        return "alias" if self.is_alias else ""


@dataclass(slots=True)
class CheckDefinition:
    """A check as registered by a user: its name, service and type."""

    check: HealthCheck = field(default_factory=HealthCheck)
    type: CheckType = field(default_factory=CheckType)
    token: str = ""


@dataclass(slots=True)
class ServiceDefinition:
    """A service as registered by a user. `sidecar`: the proxy to register with it."""

    service: NodeService = field(default_factory=NodeService)
    checks: list[CheckType] = field(default_factory=list)
    token: str = ""
    sidecar: "ServiceDefinition | None" = None


@dataclass(slots=True)
class SidecarDefinition(Record):
    """`Connect.SidecarService` of a service in the catalog, which only a call can put there: agents take it out."""

    kind: str = ""
    id: str = go("ID", default="")
    name: str = ""
    tags: list[str] | None = None
    address: str = ""
    tagged_addresses: dict[str, ServiceAddress] | None = None
    meta: dict[str, str] | None = None
    port: int = 0
    check: CheckType = field(default_factory=CheckType)
    checks: list[CheckType] | None = None
    weights: Weights | None = None
    token: str = ""
    enable_tag_override: bool = False
    proxy: ConnectProxy | None = None
