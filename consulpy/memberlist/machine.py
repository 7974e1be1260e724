"""`Memberlist`: what comes in goes to its handler; joins, leaves, and the timers of probes and push/pulls.

What goes out is in `outgoing`. Pure: clock, random generator and transport are arguments.
Source: docs/wire/gossip.md 2 to 5.
"""

import math
from collections import deque
from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from consulpy.clock import Clock, Timer, cancel_timer
from consulpy.errors import MergeRefused, WireError
from consulpy.memberlist import messages, stream
from consulpy.memberlist.bad_packet_log import BadPacketLog
from consulpy.memberlist.broadcast import BroadcastQueue
from consulpy.memberlist.config import MemberlistConfig
from consulpy.memberlist.delegate import Delegate, NoDelegate, StreamReader, Transport
from consulpy.memberlist.evidence import EvidenceStore
from consulpy.memberlist.exchange import PushPullExchange
from consulpy.memberlist.incoming import IncomingStream, IncomingStreams
from consulpy.memberlist.keyring import Keyring
from consulpy.memberlist.member import Address, JoinTarget, Member, State
from consulpy.memberlist.members import Members
from consulpy.memberlist.messages import USER, Ack, Alive, Dead, Err, IndirectPing, Nack, Ping, Suspect
from consulpy.memberlist.outgoing import Outgoing
from consulpy.memberlist.packet import Sealer
from consulpy.memberlist.probe import Prober
from consulpy.memberlist.pushpull import PushPullState, push_pull_scale
from consulpy.memberlist.stream import MessageReader, PushPull, StreamMessage, UserMessage
from consulpy.memberlist.timeline import Timeline
from consulpy.metrics.registry import NOTHING, Measures

#: Message types that real agents queue before they handle them (docs/wire/gossip.md 5.10).
_GOSSIP_TYPES: Final = frozenset({Suspect.TYPE, Alive.TYPE, Dead.TYPE, USER})
#: A timer that fires later than this is late, in seconds: acks received meanwhile are handled too late as well.
LATE_TICK_S: Final = 0.25


class Memberlist:
    """The local member of one gossip pool.

    `log(level, text)`: writes a log line, level being `debug`, `info`, `warn` or `error`.
    """

    def __init__(
        self,
        config: MemberlistConfig,
        clock: Clock,
        rng: Random,
        transport: Transport,
        delegate: Delegate,
        *,
        log: Callable[[str, str], None] | None = None,
        metrics: Measures = NOTHING,
    ) -> None:
        self.config = config
        self._clock = clock
        self._metrics = metrics
        self._rng = rng
        self._transport = transport
        self._delegate = delegate
        self._log = log or (lambda _level, _text: None)
        self.queue = BroadcastQueue(
            config.retransmit_mult, lambda: len(self.members), queued=lambda: self.outgoing.schedule_gossip()
        )
        self.members = Members(config, clock, rng, self.queue, delegate, self._log, metrics)
        self.push_pull_state = PushPullState(self.members)
        self._push_pull = PushPullExchange(self, clock, transport, delegate, self._log, metrics)
        self.sealer = Sealer(
            config.keyring,
            verify_incoming=config.encrypt_verify_incoming,
            verify_outgoing=config.encrypt_verify_outgoing,
            label=config.label,
        )
        self.outgoing: Outgoing = Outgoing(self, clock, rng, transport, delegate, metrics)
        self._prober = Prober(config, clock, self.members, self.outgoing, delegate, self._log, metrics)
        self.members.on_suspicion_ending = self._ask_suspect
        self._timers: dict[str, Timer] = {}
        self._probe_due_s = math.inf
        #: Times at which the probe timer fired late, in the clock's seconds.
        self.late_ticks: deque[float] = deque(maxlen=32)
        self._bad_packets = BadPacketLog(clock, self._log)
        self._leave_done: Callable[[], None] | None = None
        self.incoming = IncomingStreams(self)
        self.running = False
        #: Whether this is an observer.
        self.observes = False
        #: Counts of packets in and out, their bytes, malformed packets, send errors and refused joins.
        self.counters = dict.fromkeys(
            ("packets_in", "bytes_in", "packets_out", "bytes_out", "bad_packets", "send_errors", "refused_joins"), 0
        )
        self._handlers: dict[type, Callable[..., None]] = {
            Ping: self._prober.handle_ping,
            IndirectPing: self._prober.handle_indirect_ping,
            Ack: self._prober.handle_ack,
            Nack: self._prober.handle_nack,
            Suspect: lambda suspect, _source: self.members.handle_suspect(suspect),
            Alive: lambda alive, _source: self.members.handle_alive(alive),
            Dead: lambda dead, _source: self.members.handle_dead(dead),
        }

    @classmethod
    def observer(cls, config: MemberlistConfig, clock: Clock, rng: Random, transport: Transport) -> "Memberlist":
        """A memberlist that is no member: it pings and requests over a transport of its own, and handles acks only.

        An ack carries gossip: pinged from a member's own port, a stranger would become a member.
        """
        memberlist = cls(config.replace(name="", advertise=("", 0)), clock, rng, transport, NoDelegate())
        memberlist.running = memberlist.observes = True
        return memberlist

    # -- state

    @property
    def local(self) -> Member:
        """The local member."""
        return self.members.local

    @property
    def node_count(self) -> int:
        """The number of members in any state."""
        return len(self.members)

    @property
    def health_score(self) -> int:
        """The local health score; 0 is healthy."""
        return self.members.awareness.score

    @property
    def keyring(self) -> Keyring | None:
        """The keyring, None if the pool is not encrypted."""
        return self.sealer.keyring

    @property
    def evidence(self) -> EvidenceStore:
        """Evidence of members that are not well, and of refused peers."""
        return self.members.evidence

    @property
    def timeline(self) -> Timeline:
        """The timelines of all members."""
        return self.members.timeline

    def start(self) -> None:
        """Start timers and announce the local member, alone at first (but for those in `members` already)."""
        self.running = True
        config = self.config
        self.outgoing.start()
        self.members.announce()
        self._schedule_probe(self._rng.random() * config.probe_interval_s)
        self._schedule_push_pull(self._rng.random() * config.push_pull_interval_s * push_pull_scale(len(self.members)))

    def shutdown(self) -> None:
        """Stop at once without notifying other members. A leave in progress completes."""
        self.running = False
        for timer in self._timers.values():
            cancel_timer(timer)
        self._timers.clear()
        self.outgoing.stop()
        self._prober.stop()
        self.members.stop()
        self._end_leave()

    def join(self, targets: Sequence[JoinTarget], done: Callable[[int, list[str]], None]) -> None:
        """Push/pull with each target in turn; then `done(number of successes, errors)`."""
        self._push_pull.join(targets, done)

    def leave(self, timeout_s: float, done: Callable[[], None]) -> None:
        """Broadcast that we leave; `done` when the transmit limit is reached, or after `timeout_s` seconds.

        Packets are still handled until `shutdown`.
        """
        if self.members.leaving:
            done()
            return
        self.members.leaving = True
        me = self.local
        if all(member is me or member.is_gone for member in self.members):
            self.members.handle_dead(Dead(me.incarnation, me.name, me.name))
            done()
            return
        self._leave_done = done
        self._timers["leave"] = self._clock.callLater(timeout_s, self._end_leave)
        self.members.on_own_dead_broadcast = self._end_leave
        self.members.handle_dead(Dead(me.incarnation, me.name, me.name))

    def _end_leave(self) -> None:
        done, self._leave_done = self._leave_done, None
        if done is not None:
            done()

    def update_meta(self) -> None:
        """Broadcast the delegate's current metadata."""
        self.members.announce()

    # -- incoming packets

    def packet_received(self, data: bytes, source: Address) -> None:
        """Handle a datagram. A malformed one costs at most one log line."""
        if not self.running:
            return
        self.counters["packets_in"] += 1
        self.counters["bytes_in"] += len(data)
        gossiped: list[bytes] = []
        observes = self.observes
        try:
            for message in self.sealer.open(data):
                if observes and message[0] not in (Ack.TYPE, Nack.TYPE):
                    continue
                if message[0] in _GOSSIP_TYPES:
                    gossiped.append(message)
                else:
                    self._handle_messages(message, source)
        except WireError as error:
            self._bad_packet(source, error)
            self.note_encryption(source, error, data)
        if not gossiped:
            return
        # As real agents do (docs/wire/gossip.md 5.10): alive messages first, and the last message first. Broadcasts are
        # packed newest first, so that messages are handled in the order in which they were sent.
        gossiped.reverse()
        gossiped.sort(key=lambda message: message[0] != Alive.TYPE)
        for message in gossiped:
            self._handle_messages(message, source)

    def _handle_messages(self, message: bytes, source: Address) -> None:
        try:
            self._message(message, source)
        except WireError as error:  # the packet's other messages are valid
            self._bad_packet(source, error)

    def _bad_packet(self, source: Address, error: WireError) -> None:
        self.counters["bad_packets"] += 1
        self.log_bad_packet(source, f"a packet: {error}")

    def _message(self, data: bytes, source: Address) -> None:
        if data[0] == USER:
            self._delegate.notify_message(data[1:])
            return
        message = messages.decode(data)
        handler = self._handlers.get(type(message))
        if handler is None:
            raise WireError(f"message type {data[0]} does not belong in a packet")
        handler(message, source)

    def log_bad_packet(self, source: Address, text: str) -> None:
        """Log a warning about malformed data from `source`, rate limited."""
        self._bad_packets.warn(source, text)

    def note_encryption(self, source: Address, error: WireError, packet: bytes = b"") -> None:
        """Record a peer whose encryption does not match ours.

        A packet does not tell whether it is encrypted: a plain one looks like one under an unknown key.
        """
        self.evidence.refuse_encryption(source[0], error, packet, encrypts=self.keyring is not None)

    # -- diagnosis

    def expect(self, received: Callable[[Ack | Nack, Address], None]) -> int:
        """See `Prober.expect`."""
        return self._prober.expect(received)

    def forget(self, seq_no: int) -> None:
        """See `Prober.forget`."""
        self._prober.forget(seq_no)

    @property
    def probes(self) -> tuple[int, int]:
        """The number of finished probes, and of those without a direct ack in time."""
        return self._prober.probes, self._prober.probes_failed

    def request(
        self,
        destination: Address,
        message: bytes,
        timeout_s: float,
        done: Callable[[StreamMessage | None, Exception | None], None],
    ) -> None:
        """Send one stream message (type byte and body) to any address; `done(reply, error)`."""
        reader = MessageReader(self.sealer)

        def finished(error: Exception | None) -> None:
            reader.close()
            done(reader.message, error)

        self._transport.exchange(destination, self.seal_stream(message), timeout_s, reader, finished)

    def exchange_raw(
        self,
        destination: Address,
        request: bytes,
        timeout_s: float,
        reader: StreamReader,
        done: Callable[[Exception | None], None],
    ) -> None:
        """See `Transport.exchange`: raw bytes, to an address that may not be gossip."""
        self._transport.exchange(destination, request, timeout_s, reader, done)

    def check_state(self, remote: PushPull) -> None:
        """Raises `MergeRefused` if a join that brought this state would be refused. Changes nothing."""
        self._push_pull.check(remote, True)

    # -- incoming streams

    def stream_opened(self, source: Address) -> IncomingStream:
        """A peer opened a stream: pass it the received bytes, and notify it when the connection is closed."""
        opened = self.incoming.open(source, accept=self.running)
        if not opened.refused:
            self._metrics.incr("memberlist.tcp.accept")
        return opened

    def handle_stream_message(self, message: StreamMessage, source: Address) -> bytes:
        """The reply to a stream message. Raises `WireError` for a message that gets none."""
        if isinstance(message, PushPull):
            if message.bad_nodes:
                self.log_bad_packet(source, f"{len(message.bad_nodes)} nodes of a push/pull: {message.bad_nodes[0]}")
            else:
                self._log("debug", f"push/pull from {source[0]}:{source[1]}, {len(message.nodes)} members")
            try:
                self._push_pull.check(message, message.join)
            except MergeRefused as error:
                self.counters["refused_joins"] += 1
                self.evidence.refuse(error.cause, source[0], str(error), error.ours, error.theirs)
                self._log("warn", f"refused a push/pull of {source[0]}:{source[1]}: {error}")
                return self.seal_stream(Err(str(error)).encode())
            reply = self._push_pull.own_state(message.join)
            self._push_pull.merge(message, message.join)
            return reply
        if isinstance(message, Ping):
            if message.node and message.node != self.config.name:
                raise WireError(f"it takes us for {message.node!r}")
            return self.seal_stream(Ack(message.seq_no).encode())
        if isinstance(message, UserMessage):
            self._delegate.notify_message(message.body)
            return b""
        raise WireError(f"{type(message).__name__} is no request")

    def seal_stream(self, plain: bytes) -> bytes:
        """Compress, encrypt and label a stream message."""
        return stream.seal(self.sealer, plain, self.config.compression)

    # -- timers

    def _schedule_probe(self, delay_s: float) -> None:
        self._timers["probe"] = self._clock.callLater(delay_s, self._probe_tick)

    def _probe_tick(self) -> None:
        now_s = self._clock.seconds()
        if now_s - self._probe_due_s > LATE_TICK_S:
            self.late_ticks.append(now_s)
        self._probe_due_s = now_s + self.config.probe_interval_s
        self._schedule_probe(self.config.probe_interval_s)
        self._prober.probe_next()

    def _ask_suspect(self, member: Member) -> None:
        """Before a suspect is declared dead: if it acks a ping, it lives, and its refutation did not arrive here.

        A push/pull with the suspect fetches it. Real memberlist does not ask; lost gossip then makes a member fail.
        """

        def finished(error: Exception | None) -> None:
            if error is not None and self.running:
                self._log("debug", f"push/pull with the suspect {member.name} failed: {error}")

        def answered() -> None:
            if self.running and member.state is State.SUSPECT:
                self._push_pull.run(member.endpoint, False, finished)

        if self.running:
            self._prober.ask_suspect(member, answered)

    def _schedule_push_pull(self, delay_s: float) -> None:
        self._timers["push_pull"] = self._clock.callLater(delay_s, self._push_pull_tick)

    def _push_pull_tick(self) -> None:
        self._schedule_push_pull(self.config.push_pull_interval_s * push_pull_scale(len(self.members)))
        partners = self.members.sample(1, lambda member: member.state is State.ALIVE)
        if not partners:
            return
        name = partners[0].name
        self._log("debug", f"push/pull with {name}")

        def finished(error: Exception | None) -> None:
            if error is not None and self.running:
                self._log("warn", f"push/pull with {name} failed: {error}")

        self._push_pull.run(partners[0].endpoint, False, finished)
