"""What can be set about a Serf, with Serf's own defaults and Consul's changes to them.

Source: docs/wire/gossip.md 6 and 9. Times are seconds, sizes bytes.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Final, Self

from consulpy.errors import ConfigError

#: No user event may be larger than this, whatever is configured.
USER_EVENT_SIZE_MAX_BYTES: Final = 9 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class SerfConfig:
    """The settings of one Serf instance (one gossip pool)."""

    #: What we tell of ourselves; at most 512 bytes encoded.
    tags: dict[str, str] = field(default_factory=dict)
    #: The Serf protocol that we speak: 4 in Consul, 5 in a Serf agent (where it makes `serf` show protocol 5).
    protocol_version: int = 4

    #: Failed members are tried again, and listed, for this long.
    reconnect_timeout_s: float = 24 * 3600.0
    #: Left members are listed for this long.
    tombstone_timeout_s: float = 24 * 3600.0
    #: How often failed and left members are looked through for such as are due to be erased.
    reap_interval_s: float = 15.0
    #: How often a failed member may be tried again.
    reconnect_interval_s: float = 30.0
    #: A member that comes back sooner than this after it failed is flapping.
    flap_timeout_s: float = 60.0
    #: How long intents about members that we do not know yet are kept.
    recent_intent_timeout_s: float = 300.0

    #: How long a leave or force-leave waits for its intent to be transmitted.
    broadcast_timeout_s: float = 5.0
    #: How long we still answer after having left, so that everybody hears of it.
    leave_propagate_delay_s: float = 1.0

    #: How many Lamport times back user events are told apart.
    event_buffer_size: int = 512
    #: The same for queries.
    query_buffer_size: int = 512
    #: The most bytes of name and payload, and of the encoded message, of a user event.
    user_event_size_limit_bytes: int = 512
    #: The most bytes of an encoded query.
    query_size_limit_bytes: int = 1024
    #: The most bytes of an encoded response to a query.
    query_response_size_limit_bytes: int = 1024
    #: Queries wait for `gossip_interval_s * query_timeout_mult * ceil(log10(alive + 1))`.
    query_timeout_mult: int = 16
    #: How many other members' responses we forward each second.
    relay_limit_per_s: int = 100

    #: How often the queues of broadcasts are looked at.
    queue_check_interval_s: float = 30.0
    #: A queue that is this deep is worth a warning.
    queue_depth_warning: int = 128
    #: No queue may be deeper.
    max_queue_depth: int = 4096
    #: If not 0, a queue may be as deep as max(this, 2 x members), instead of `max_queue_depth`.
    min_queue_depth: int = 0

    #: Whether somebody who loses his name to a majority shuts down (Serf agents do, Consul agents never).
    resolve_name_conflicts: bool = True
    #: Whether acks carry our network coordinate.
    coordinates: bool = True
    #: Join the members of the snapshot again even after a graceful leave.
    rejoin_after_leave: bool = False

    #: Member events of this many seconds are put together; 0: each is told at once.
    coalesce_period_s: float = 0.0
    #: ... or as soon as nothing happened for this long.
    quiescent_period_s: float = 1.0
    #: The same for user events that may be coalesced.
    user_coalesce_period_s: float = 0.0
    #: ... or as soon as nothing happened for this long.
    user_quiescent_period_s: float = 1.0

    @classmethod
    def serf_agent(cls, **changes: Any) -> Self:
        """The settings of a `serf agent`: protocol 5, events coalesced over 3 seconds."""
        return dataclasses.replace(
            cls(protocol_version=5, coalesce_period_s=3.0, user_coalesce_period_s=3.0), **changes
        )

    @classmethod
    def consul(cls, **changes: Any) -> Self:
        """The settings of a pool of Consul agents (docs/wire/gossip.md 6.5, 6.8, 6.9, 5.7)."""
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
