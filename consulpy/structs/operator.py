"""Records of the operator endpoints: autopilot, Raft configuration, federation states (docs/wire/rpc.md 10, 15)."""

from typing import Final

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.record import Record, go
from consulpy.gocompat.time import time_field
from consulpy.structs.options import QueryMeta, QueryOptions
from consulpy.structs.requests import Write
from consulpy.structs.service import CheckServiceNode

_SECOND_NS: Final = 1_000_000_000


@dataclass(slots=True)
class AutopilotConfig(Record):
    """Autopilot configuration; the defaults are Consul's. Durations in ns."""

    cleanup_dead_servers: bool = True
    last_contact_threshold: int = 200_000_000
    max_trailing_logs: int = 250
    min_quorum: int = 0
    server_stabilization_time: int = 10 * _SECOND_NS
    redundancy_zone_tag: str = ""
    disable_upgrade_migration: bool = False
    upgrade_version_tag: str = ""
    create_index: int = 0
    modify_index: int = 0


@dataclass(slots=True)
class AutopilotSetRequest(Write):
    """Operator.AutopilotSetConfiguration and its log entry."""

    cas: bool = go("CAS", default=False)
    config: AutopilotConfig = go(default_factory=AutopilotConfig)


#: Operations on federation states.
FEDERATION_UPSERT: Final = "upsert"
FEDERATION_DELETE: Final = "delete"


@dataclass(slots=True)
class FederationState(Record):
    """Mesh gateways of one datacenter. `updated_at` is Go's 15 bytes."""

    datacenter: str = ""
    mesh_gateways: list[CheckServiceNode] | None = go(omit_empty=True, default=None)
    updated_at: bytes = time_field()
    primary_modify_index: int = 0
    create_index: int = 0
    modify_index: int = 0


@dataclass(slots=True)
class FederationStateRequest(Record):
    """FederationState.Apply and its log entry."""

    datacenter: str = ""
    op: str = ""
    state: FederationState | None = None
    token: str = ""


@dataclass(slots=True)
class RaftServer(Record):
    """A server in the Raft configuration."""

    id: str = go("ID", default="")
    node: str = ""
    address: str = ""
    leader: bool = False
    protocol_version: str = "3"
    voter: bool = True


@dataclass(slots=True)
class RaftConfiguration(Record):
    """Operator.RaftGetConfiguration."""

    servers: list[RaftServer] | None = None
    index: int = 0


@dataclass(slots=True)
class RaftPeerRequest(Write):
    """Operator.RaftRemovePeerByAddress and ByID."""

    address: str = ""
    id: str = go("ID", default="")


@dataclass(slots=True)
class TransferLeaderReply(Record):
    """Operator.TransferLeader: whether another server leads now."""

    success: bool = False


@dataclass(slots=True)
class ServerHealth(Record):
    """Health of one server. `last_contact` in ns; `serf_status` as in `consulpy.serf.members.Status`."""

    id: str = go("ID", default="")
    name: str = ""
    address: str = ""
    serf_status: int = 1
    version: str = ""
    leader: bool = False
    last_contact: int = 0
    last_term: int = 0
    last_index: int = 0
    healthy: bool = False
    voter: bool = False
    stable_since: bytes = time_field()


@dataclass(slots=True)
class ClusterHealth(Record):
    """Operator.ServerHealth: how the servers do, and how many of them may fail."""

    healthy: bool = False
    failure_tolerance: int = 0
    servers: list[ServerHealth] | None = None


@dataclass(slots=True)
class FederationStateQuery(Record):
    """FederationState.Get: the state that `datacenter` has of the datacenter `wanted`."""

    wanted: str = go("Datacenter", default="")
    datacenter: str = go("TargetDatacenter", default="")
    options: QueryOptions = go(inline=True, default_factory=QueryOptions)


@dataclass(slots=True)
class FederationStateReply(Record):
    """FederationState.Get; nil for an unknown datacenter."""

    state: FederationState | None = None
    meta: QueryMeta = go(inline=True, default_factory=QueryMeta)


@dataclass(slots=True)
class FederationStatesReply(Record):
    """FederationState.ListMeshGateways: mesh gateways by datacenter."""

    states: list[FederationState] | None = None
    meta: QueryMeta = go(inline=True, default_factory=QueryMeta)


@dataclass(slots=True)
class MeshGatewaysReply(Record):
    """FederationState.ListMeshGateways: the mesh gateways of every datacenter that has some."""

    datacenter_nodes: dict[str, list[CheckServiceNode]] | None = None
    meta: QueryMeta = go(inline=True, default_factory=QueryMeta)
