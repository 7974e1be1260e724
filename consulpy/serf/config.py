"""Configuration of a Serf instance, with the defaults of Serf, of a Serf agent and of Consul.

Source: docs/wire/gossip.md 6 and 9. Times are seconds, sizes bytes.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any, Final, Self

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.errors import ConfigError

#: Maximum bytes of a user event's name and payload, whatever is configured.
USER_EVENT_SIZE_MAX_BYTES: Final = 9 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class SerfConfig:
    """Settings of one Serf instance (one gossip pool)."""

    #: Tags of the local member; at most 512 bytes encoded.
    tags: dict[str, str] = field(default_factory=dict)
    #: The Serf protocol version: 4 in Consul, 5 in a Serf agent (where it makes `serf` show protocol 5).
    protocol_version: int = 4

    #: Seconds for which reconnects to a failed member are tried; then it is reaped.
    reconnect_timeout_s: float = 24 * 3600.0
    #: Seconds after which a left member is reaped.
    tombstone_timeout_s: float = 24 * 3600.0
    #: `reap_after_s(tags, limit_s)`: seconds after which a failed or left member with these tags is reaped; `limit_s`:
    #: that of its status.
    reap_after_s: Callable[[Mapping[str, str], float], float] = lambda _tags, limit_s: limit_s
    #: Seconds between checks for members to reap.
    reap_interval_s: float = 15.0
    #: Seconds between reconnect attempts to failed members.
    reconnect_interval_s: float = 30.0
    #: Seconds after a failure within which a member that comes back is counted as flapping.
    flap_timeout_s: float = 60.0
    #: Seconds for which intents about unknown members are buffered.
    recent_intent_timeout_s: float = 300.0

    #: Seconds that a leave or force-leave waits for its intent to be transmitted.
    broadcast_timeout_s: float = 5.0
    #: Seconds between leaving and the end of the leave, in which other members still get answers and hear of it.
    leave_propagate_delay_s: float = 1.0

    #: Lamport times for which user events are remembered to detect duplicates.
    event_buffer_size: int = 512
    #: Lamport times for which queries are remembered to detect duplicates.
    query_buffer_size: int = 512
    #: Maximum bytes of a user event: of name and payload, and of the encoded message.
    user_event_size_limit_bytes: int = 512
    #: Maximum bytes of an encoded query.
    query_size_limit_bytes: int = 1024
    #: Maximum bytes of an encoded query response.
    query_response_size_limit_bytes: int = 1024
    #: A query's timeout is `gossip_interval_s * query_timeout_mult * ceil(log10(alive + 1))`.
    query_timeout_mult: int = 16
    #: Maximum query responses relayed for other members per second.
    relay_limit_per_s: int = 100

    #: Seconds between checks of the broadcast queues' depth.
    queue_check_interval_s: float = 30.0
    #: Queue depth above which a warning is logged.
    queue_depth_warning: int = 128
    #: Maximum queue depth.
    max_queue_depth: int = 4096
    #: If not 0, the maximum queue depth is max(this, 2 x members) instead of `max_queue_depth`.
    min_queue_depth: int = 0

    #: Whether a member that loses its name to a majority shuts down (Serf agents do, Consul agents never).
    resolve_name_conflicts: bool = True
    #: Whether acks carry network coordinates.
    coordinates: bool = True
    #: Whether the snapshot's members are rejoined even after a graceful leave.
    rejoin_after_leave: bool = False

    #: Seconds over which member events are coalesced; 0: each is delivered immediately.
    coalesce_period_s: float = 0.0
    #: Seconds without an event after which coalesced member events are delivered.
    quiescent_period_s: float = 1.0
    #: Seconds over which user events with the coalesce flag are coalesced; 0: each is delivered immediately.
    user_coalesce_period_s: float = 0.0
    #: Seconds without an event after which coalesced user events are delivered.
    user_quiescent_period_s: float = 1.0

    @classmethod
    def serf_agent(cls, **changes: Any) -> Self:
        """The settings of a `serf agent`: protocol 5, events coalesced over 3 seconds."""
        return dataclasses.replace(
            cls(protocol_version=5, coalesce_period_s=3.0, user_coalesce_period_s=3.0), **changes
        )

    @classmethod
    def consul(cls, **changes: Any) -> Self:
        """The settings of a Consul agent's pool (docs/wire/gossip.md 6.5, 6.8, 6.9, 5.7)."""
        ours = cls(
            reconnect_timeout_s=72 * 3600.0,
            leave_propagate_delay_s=3.0,
            min_queue_depth=4096,
            resolve_name_conflicts=False,
        )
        return dataclasses.replace(ours, **changes)

    def __post_init__(self) -> None:
        if not 2 <= self.protocol_version <= 5:
            raise ConfigError(f"protocol: Serf speaks versions 2 to 5, not {self.protocol_version}")
        if self.user_event_size_limit_bytes > USER_EVENT_SIZE_MAX_BYTES:
            raise ConfigError(
                f"user_event_size_limit: at most {USER_EVENT_SIZE_MAX_BYTES} bytes, "
                f"not {self.user_event_size_limit_bytes}"
            )
