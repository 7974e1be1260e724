"""The sending side of memberlist: packets with gossip beside a message, periodic gossip, and TCP pings.

Source: docs/wire/gossip.md 2, 5.6 and 5.7.
"""

import math
from collections.abc import Callable
from random import Random
from typing import Final, Protocol

from consulpy.clock import Clock, Timer, cancel_timer
from consulpy.errors import WireError
from consulpy.memberlist.broadcast import BroadcastQueue
from consulpy.memberlist.config import MemberlistConfig
from consulpy.memberlist.delegate import Delegate, Transport
from consulpy.memberlist.evidence import TcpResult, tcp_result, wire_result
from consulpy.memberlist.member import Address, Member, State
from consulpy.memberlist.members import Members
from consulpy.memberlist.messages import USER, Ack, Err, Ping
from consulpy.memberlist.packet import COMPOUND_PARTS_MAX, CRC_FROM_VERSION, Sealer
from consulpy.memberlist.stream import MessageReader
from consulpy.metrics.registry import Measures

#: Bytes that a compound adds for its header, and for each part.
_COMPOUND_BYTES: Final = 2
_PART_BYTES: Final = 2
#: Members that hear of a message at once where the pool was at rest; the next beat of gossip has so many fewer.
_AT_ONCE: Final = 1
#: How long that waits for messages that come together, as a share of the gossip interval.
_GATHER_SHARE: Final = 0.05


class OutgoingOwner(Protocol):
    """The part of `Memberlist` that sending uses."""

    config: MemberlistConfig
    sealer: Sealer
    queue: BroadcastQueue
    members: Members
    counters: dict[str, int]
    running: bool

    def seal_stream(self, plain: bytes) -> bytes:
        """Compress, encrypt and label a stream message."""


class Outgoing:
    """The packets and pings of one memberlist."""

    def __init__(
        self,
        owner: OutgoingOwner,
        clock: Clock,
        rng: Random,
        transport: Transport,
        delegate: Delegate,
        metrics: Measures,
    ) -> None:
        self._owner = owner
        self._config = owner.config
        self._clock = clock
        self._rng = rng
        self._transport = transport
        self._delegate = delegate
        self._metrics = metrics
        self._timer: Timer | None = None
        #: Whether a message may be queued, ours or the delegate's. Set by `schedule_gossip`, so that pings and acks of
        #: a pool at rest look at no queue.
        self._has_queued = True
        #: The next time of gossip: a multiple of the interval after a random start.
        self._gossip_at_s = 0.0
        #: Members that the next beat has fewer.
        self._in_advance = 0

    def start(self) -> None:
        """Set the phase of the gossip timer."""
        self._gossip_at_s = self._clock.seconds() + self._rng.random() * self._config.gossip_interval_s

    def stop(self) -> None:
        """Stop the gossip timer."""
        cancel_timer(self._timer)

    def send_user(self, destination: Address, message: bytes) -> bool:
        """Send one user message directly, alone in its packet."""
        return self._send_packet(destination, [bytes((USER,)) + message], None)

    def send(self, destination: Address, message: bytes, member: Member | None = None) -> bool:
        """Send a message, with gossip that fits into the packet."""
        if not self._has_queued:
            return self._send_packet(destination, [message], member)
        overhead = _COMPOUND_BYTES + _PART_BYTES + self._owner.sealer.overhead_bytes
        budget = self._config.packet_bytes - len(message) - overhead
        parts = [message, *self._broadcasts(_PART_BYTES, budget)]
        return self._send_packet(destination, parts[:COMPOUND_PARTS_MAX], member)

    def send_parts(self, destination: Address, parts: list[bytes], member: Member) -> bool:
        """Send these messages in one packet."""
        return self._send_packet(destination, parts, member)

    def _send_packet(self, destination: Address, parts: list[bytes], member: Member | None) -> bool:
        owner = self._owner
        crc = member is not None and member.protocol_max >= CRC_FROM_VERSION
        packet = owner.sealer.seal(parts, crc, self._config.compression)
        counters = owner.counters
        counters["packets_out"] += 1
        counters["bytes_out"] += len(packet)
        sent = self._transport.send_packet(destination, packet)
        if not sent:
            counters["send_errors"] += 1
        return sent

    def _broadcasts(self, overhead: int, limit: int) -> list[bytes]:
        """Messages to gossip: memberlist's own first, then the delegate's."""
        picked = self._owner.queue.get(overhead, limit)
        used = sum(len(message) + overhead for message in picked) if picked else 0
        if limit - used > overhead + 1:
            extra = self._delegate.get_broadcasts(overhead + 1, limit - used)
            picked += [bytes((USER,)) + message for message in extra]
        if not picked and not len(self._owner.queue) and not self._delegate.has_broadcasts():
            self._has_queued = False
        return picked

    def schedule_gossip(self) -> None:
        """Start the gossip timer. It runs only while messages are queued, which saves most timers of an idle agent.

        Real memberlist sends nothing before the next beat of its timer. Here one of that beat's packets goes out in
        advance, if the pool was at rest: a message needs a third less time to all, for as many packets.
        """
        self._has_queued = True
        if not self._owner.running or (self._timer is not None and self._timer.active()):
            return
        gather_s = _GATHER_SHARE * self._config.gossip_interval_s
        if self._beat_in_s() > gather_s:
            self._timer = self._clock.callLater(gather_s, self._gossip_at_once)
        else:
            self._schedule_beat()

    def _beat_in_s(self) -> float:
        """Seconds until the next beat."""
        now_s, interval_s = self._clock.seconds(), self._config.gossip_interval_s
        self._gossip_at_s += max(0, math.ceil((now_s - self._gossip_at_s) / interval_s)) * interval_s
        return max(0.0, self._gossip_at_s - now_s)

    def _schedule_beat(self) -> None:
        if self._owner.running:
            self._timer = self._clock.callLater(self._beat_in_s(), self._gossip_tick)

    def _gossip_at_once(self) -> None:
        self._in_advance = _AT_ONCE
        self._gossip(_AT_ONCE)
        self._schedule_beat()

    def _gossip_tick(self) -> None:
        self._gossip_at_s += self._config.gossip_interval_s
        nodes, self._in_advance = max(0, self._config.gossip_nodes - self._in_advance), 0
        if (len(self._owner.queue) or self._delegate.has_broadcasts()) and len(self._owner.members) > 1:
            self._gossip(nodes)
            self._schedule_beat()

    def _gossip(self, nodes: int) -> None:
        config = self._config
        budget = config.packet_bytes - _COMPOUND_BYTES - self._owner.sealer.overhead_bytes
        now_s = self._clock.seconds()
        oldest_s = now_s - config.gossip_to_the_dead_time_s

        def hears_gossip(member: Member) -> bool:
            return member.state <= State.SUSPECT or (member.state is State.DEAD and member.changed_s > oldest_s)

        # returned broadcasts count as transmitted: get them only for an existing receiver
        for receiver in self._owner.members.sample(nodes, hears_gossip):
            parts = self._broadcasts(_PART_BYTES, budget)
            if not parts:
                return
            for start in range(0, len(parts), COMPOUND_PARTS_MAX):
                self._send_packet(receiver.endpoint, parts[start : start + COMPOUND_PARTS_MAX], receiver)
        self._metrics.sample("memberlist.gossip", 1000 * (self._clock.seconds() - now_s))

    def tcp_ping(
        self, name: str, endpoint: Address, seq_no: int, timeout_s: float, done: Callable[[TcpResult], None]
    ) -> None:
        """Ping the member `name` at an address by TCP; `done(result)`."""
        address, port = self._config.advertise
        request = self._owner.seal_stream(Ping(seq_no, name, address, port, self._config.name).encode())
        reader = MessageReader(self._owner.sealer)

        def finished(error: Exception | None) -> None:
            reader.close()
            reply, result = reader.message, tcp_result(error)
            if error is None and not (isinstance(reply, Ack) and reply.seq_no == seq_no):
                result = wire_result(WireError(reply.error)) if isinstance(reply, Err) else TcpResult.GARBLED
            done(result)

        self._transport.exchange(endpoint, request, timeout_s, reader, finished)
