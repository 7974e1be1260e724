"""User events: fired here, received from the cluster, each delivered once.

Source: docs/wire/gossip.md 6.4.
"""

from collections.abc import Callable
from typing import Final

from consulpy.clock import Clock
from consulpy.serf.broadcasts import Broadcasts
from consulpy.serf.coalesce import UserCoalescer
from consulpy.serf.config import USER_EVENT_SIZE_MAX_BYTES, SerfConfig
from consulpy.serf.events import Event, RecentBuffer, UserEvent
from consulpy.serf.lamport import LamportClock
from consulpy.serf.messages import UserEventMessage
from consulpy.serf.snapshot import Snapshot

#: Bytes of a packet besides a user event: compound, encryption, message type and length.
_PACKET_OVERHEAD_BYTES: Final = 2 + 29 + 3


class UserEvents:
    """The user events of one pool. `deliver(event)`: called once with each; `packet_bytes`: limit of a packet."""

    def __init__(
        self,
        config: SerfConfig,
        clock: Clock,
        broadcasts: Broadcasts,
        snapshot: Snapshot | None,
        deliver: Callable[[Event], None],
        *,
        packet_bytes: int,
    ) -> None:
        self._broadcasts = broadcasts
        self._snapshot = snapshot
        self._size_max_bytes = config.user_event_size_limit_bytes
        self._packed_max_bytes = packet_bytes - _PACKET_OVERHEAD_BYTES
        self.ltime = LamportClock()
        self.recent: RecentBuffer[tuple[str, bytes | None]] = RecentBuffer(config.event_buffer_size)
        self._coalescer: UserCoalescer | None = None
        self._deliver: Callable[[UserEvent], None] = deliver
        if config.user_coalesce_period_s:
            self._coalescer = UserCoalescer(
                clock, config.user_coalesce_period_s, config.user_quiescent_period_s, deliver
            )
            self._deliver = self._coalescer.add

    def fire(self, name: str, payload: bytes, coalesce: bool) -> None:
        """Broadcast an event; the local member handles it too. Raises `ValueError` if it is too large."""
        limit = self._size_max_bytes
        size = len(name.encode("utf-8", "surrogateescape")) + len(payload)
        if size > limit:
            raise ValueError(f"user event exceeds configured limit of {limit} bytes before encoding")
        if size > USER_EVENT_SIZE_MAX_BYTES:
            raise ValueError(f"user event exceeds sane limit of {USER_EVENT_SIZE_MAX_BYTES} bytes before encoding")
        message = UserEventMessage(self.ltime.time(), name, payload or None, coalesce)
        encoded = message.encode()
        if len(encoded) > limit:
            raise ValueError(f"user event exceeds configured limit of {limit} bytes after encoding")
        if len(encoded) > self._packed_max_bytes:  # it could never be sent
            raise ValueError(f"user event does not fit into a packet: {len(encoded)} of {self._packed_max_bytes} bytes")
        self.ltime.increment()
        self.receive(message)
        self._broadcasts.event(encoded)

    def receive(self, event: UserEventMessage) -> bool:
        """Handle an event; whether it is new and to be rebroadcast. One far ahead of the clock is delivered only."""
        identity = (event.name, event.payload or None)
        is_far = self.ltime.is_far_ahead(event.ltime)
        if not self.recent.accept_from(self.ltime, event.ltime, identity):
            return False
        if self._snapshot is not None and not is_far:
            self._snapshot.user_event(event.ltime)
        self._deliver(UserEvent(event.ltime, event.name, event.payload or b"", event.cc))
        return not is_far

    def close(self) -> None:
        """Drop events that are not delivered yet."""
        if self._coalescer is not None:
            self._coalescer.close()
