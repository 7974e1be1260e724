"""Health checks in the catalog."""

from typing import Any, Final

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.record import Record, go
from consulpy.gocompat.duration import format_duration_ns

PASSING: Final = "passing"
WARNING: Final = "warning"
CRITICAL: Final = "critical"
#: Matches every state in `/v1/health/state/any`.
ANY: Final = "any"

#: Id of the check that the leader maintains for each member.
SERF_HEALTH: Final = "serfHealth"
#: Id of the check of a node in maintenance; a service's is this, a colon and the service's id.
NODE_MAINTENANCE: Final = "_node_maintenance"
SERVICE_MAINTENANCE: Final = "_service_maintenance"


#: TTL is a number of nanoseconds in Consul too.
_DURATIONS: Final = frozenset({"Interval", "Timeout", "DeregisterCriticalServiceAfter"})
#: Fields that come first in JSON; the others follow in their order.
_FIRST: Final = ("Interval", "OutputMaxSize", "Timeout", "DeregisterCriticalServiceAfter")


@dataclass(slots=True)
class CheckDefinition(Record):
    """Definition of a check; agents don't publish it, so it is usually empty. Durations in ns."""

    http: str = go("HTTP", default="")
    tls_skip_verify: bool = go("TLSSkipVerify", default=False)
    header: dict[str, list[str]] | None = None
    method: str = ""
    body: str = ""
    tcp: str = go("TCP", default="")
    interval: int = 0
    output_max_size: int = 0
    timeout: int = 0
    deregister_critical_service_after: int = 0
    script_args: list[str] | None = None
    docker_container_id: str = go("DockerContainerID", default="")
    shell: str = ""
    grpc: str = go("GRPC", default="")
    grpc_use_tls: bool = go("GRPCUseTLS", default=False)
    alias_node: str = ""
    alias_service: str = ""
    ttl: int = go("TTL", default=0)


def _definition_json(definition: CheckDefinition) -> dict[str, Any]:
    """Consul's JSON form: only non-empty fields."""
    shown = {key: value for key, value in definition.to_json().items() if value}
    if len(shown) > 1:
        shown = {**{name: shown[name] for name in _FIRST if name in shown}, **shown}
    for name in _DURATIONS & shown.keys():
        shown[name] = format_duration_ns(shown[name])
    return shown


@dataclass(slots=True)
class HealthCheck(Record):
    """State of one check: of a node (no service) or of one of its services."""

    node: str = ""
    check_id: str = go("CheckID", default="")
    name: str = ""
    status: str = ""
    notes: str = ""
    output: str = ""
    service_id: str = go("ServiceID", default="")
    service_name: str = ""
    service_tags: list[str] | None = None
    type: str = ""
    definition: CheckDefinition = go(json_as=_definition_json, default_factory=CheckDefinition)
    create_index: int = 0
    modify_index: int = 0
