"""What operators set for the servers (docs/wire/rpc.md 10, 15)."""

from dataclasses import dataclass
from typing import Any, Final

from consulpy.structs.record import Record, go

_SECOND_NS: Final = 1_000_000_000
#: Go's zero `time.Time` on the wire (docs/wire/rpc.md 4).
ZERO_TIME: Final = b"\x01" + bytes(12) + b"\xff\xff"


@dataclass(slots=True)
class AutopilotConfig(Record):
    """How servers of a quorum are cared for; the defaults are Consul's. Durations in ns."""

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
class AutopilotSetRequest(Record):
    """Operator.AutopilotSetConfiguration and its log entry."""

    cas: bool = go("CAS", default=False)
    config: AutopilotConfig = go(default_factory=AutopilotConfig)
    datacenter: str = ""
    token: str = ""


@dataclass(slots=True)
class FederationState(Record):
    """The mesh gateways of one datacenter, as others see them. `updated_at` is Go's 15 bytes."""

    datacenter: str = ""
    mesh_gateways: list[Any] | None = None
    updated_at: bytes = ZERO_TIME
    primary_modify_index: int = 0
    create_index: int = 0
    modify_index: int = 0


@dataclass(slots=True)
class FederationStateRequest(Record):
    """The log entry that writes a federation state."""

    datacenter: str = ""
    op: str = "upsert"
    state: FederationState | None = None
    token: str = ""
