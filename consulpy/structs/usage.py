"""Numbers of nodes, services and instances of a datacenter (Consul 1.15)."""

from collections import Counter
from dataclasses import field

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.record import Record, go
from consulpy.structs.options import QueryMeta
from consulpy.structs.requests import Read
from consulpy.structs.service import NodeService

CONNECT_NATIVE = "connect-native"
#: Kinds of instances that belong to the mesh; the text of a service's `Kind`, or native.
CONNECT_KINDS = (CONNECT_NATIVE, "connect-proxy", "ingress-gateway", "mesh-gateway", "terminating-gateway")
#: The servers' own service, which is not counted as usage.
SERVERS = "consul"


@dataclass(slots=True)
class Usage(Record):
    """The numbers of one datacenter. Billable: instances of ordinary services, without the servers."""

    nodes: int = 0
    services: int = 0
    service_instances: int = 0
    connect_service_instances: dict[str, int] = field(default_factory=dict)
    billable_service_instances: int = 0


@dataclass(slots=True)
class UsageRequest(Read):
    """Operator.Usage. `is_global`: of all datacenters."""

    is_global: bool = go("Global", default=False)


@dataclass(slots=True)
class UsageReply(Record):
    """Operator.Usage: the numbers by datacenter."""

    usage: dict[str, Usage] | None = None
    meta: QueryMeta = go(inline=True, default_factory=QueryMeta)


class UsageCount:
    """Counts instances."""

    def __init__(self, nodes: int) -> None:
        self._nodes = nodes
        self._names: set[str] = set()
        self._kinds: Counter[str] = Counter()
        self._instances = self._billable = 0

    def add(self, service: NodeService) -> None:
        """Count an instance."""
        self._instances += 1
        self._names.add(service.service)
        if service.kind:
            self._kinds[service.kind] += 1
        elif service.service != SERVERS:
            self._billable += 1
        if service.connect.native:
            self._kinds[CONNECT_NATIVE] += 1

    @property
    def usage(self) -> Usage:
        """The numbers so far."""
        kinds = {kind: self._kinds[kind] for kind in CONNECT_KINDS}
        return Usage(self._nodes, len(self._names), self._instances, kinds, self._billable)
