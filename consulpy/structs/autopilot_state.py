"""Operator.AutopilotState of agents from Consul 1.9 on: the health of the servers by id (types of raft-autopilot)."""

from collections.abc import Mapping
from dataclasses import field
from types import MappingProxyType
from typing import Final

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.record import Record, go
from consulpy.gocompat.time import ZERO_TIME, time_field
from consulpy.structs.operator import ClusterHealth, ServerHealth

NO_METAS: Final[Mapping[str, dict[str, str] | None]] = MappingProxyType({})
LEADER, VOTER, NON_VOTER = "leader", "voter", "non-voter"
_NODE_STATUSES = {0: "unknown", 1: "alive", 2: "unknown", 3: "left", 4: "failed"}


@dataclass(slots=True)
class ServerFacts(Record):
    """Identity of a server."""

    id: str = go("ID", default="")
    name: str = ""
    address: str = ""
    node_status: str = ""
    version: str = ""
    meta: dict[str, str] | None = None
    raft_version: int = 3
    is_leader: bool = False
    node_type: str = "voter"


@dataclass(slots=True)
class ServerStats(Record):
    """The server's last report of its log. `last_contact` in ns."""

    last_contact: int = 0
    last_term: int = 0
    last_index: int = 0


@dataclass(slots=True)
class StableHealth(Record):
    """Whether it is healthy, and since when that has not changed."""

    healthy: bool = False
    stable_since: bytes = time_field(default=ZERO_TIME)


@dataclass(slots=True)
class ServerState(Record):
    """One server. `state`: `leader`, `voter` or `non-voter`."""

    server: ServerFacts = field(default_factory=ServerFacts)
    state: str = ""
    stats: ServerStats = field(default_factory=ServerStats)
    health: StableHealth = field(default_factory=StableHealth)


@dataclass(slots=True)
class AutopilotState(Record):
    """The servers by id, with the leader and the voters."""

    healthy: bool = False
    failure_tolerance: int = 0
    servers: dict[str, ServerState] | None = None
    leader: str = ""
    voters: list[str] | None = None

    @classmethod
    def of(cls, health: ClusterHealth, metas: Mapping[str, dict[str, str] | None] = NO_METAS) -> "AutopilotState":
        """The state from the reply of `Operator.ServerHealth`, and the metadata of nodes by id."""
        servers = {each.id: _state_of(each, metas.get(each.id)) for each in health.servers or ()}
        return cls(
            healthy=health.healthy,
            failure_tolerance=health.failure_tolerance,
            servers=servers,
            leader=next((server_id for server_id, each in servers.items() if each.state == LEADER), ""),
            voters=[server_id for server_id, each in servers.items() if each.state in (LEADER, VOTER)],
        )


def _state_of(health: ServerHealth, meta: dict[str, str] | None) -> ServerState:
    return ServerState(
        ServerFacts(
            id=health.id,
            name=health.name,
            address=health.address,
            node_status=_NODE_STATUSES.get(health.serf_status, "unknown"),
            version=health.version,
            meta=meta or {},
            is_leader=health.leader,
        ),
        LEADER if health.leader else VOTER if health.voter else NON_VOTER,
        ServerStats(health.last_contact, health.last_term, health.last_index),
        StableHealth(health.healthy, health.stable_since),
    )
