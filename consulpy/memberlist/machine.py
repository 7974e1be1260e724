"""`Memberlist`: the timers, and the way of each message in and out. Pure: clock, random and transport are handed in.

Source: docs/wire/gossip.md 2 to 5.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from consulpy.clock import Clock, Timer
from consulpy.errors import MergeRefused, WireError
from consulpy.memberlist import messages, stream
from consulpy.memberlist.broadcast import BroadcastQueue
from consulpy.memberlist.config import MemberlistConfig
from consulpy.memberlist.delegate import Delegate, Transport
from consulpy.memberlist.keyring import Keyring
from consulpy.memberlist.member import Address, Member, State
from consulpy.memberlist.members import Members
from consulpy.memberlist.messages import USER, Ack, Alive, Dead, Err, IndirectPing, Nack, Ping, Suspect
from consulpy.memberlist.packet import COMPOUND_PARTS_MAX, CRC_FROM_VERSION, Sealer
from consulpy.memberlist.probe import Prober
from consulpy.memberlist.pushpull import StateExchange, push_pull_scale
from consulpy.memberlist.stream import MessageReader, PushPull, StreamMessage, UserMessage
from consulpy.memberlist.timeline import Timeline
from consulpy.metrics.registry import NOTHING, Measures

#: Streams that may be read at a time.
INCOMING_STREAMS_MAX: Final = 128
#: ... and of one IP address: many members may run on one machine, but nobody takes all.
INCOMING_STREAMS_PER_SOURCE_MAX: Final = 32
#: What all of them together may have brought, in bytes.
INCOMING_STREAM_BYTES_MAX: Final = 64 * 1024 * 1024
#: Bytes that a compound adds for itself, and for each part.
_COMPOUND_BYTES: Final = 2
_PART_BYTES: Final = 2
#: Types that real agents put into a queue before they act on them (docs/wire/gossip.md 5.10).
_RUMOURS: Final = frozenset({Suspect.TYPE, Alive.TYPE, Dead.TYPE, USER})
#: Warnings about bad packets: one for each source in this many seconds, and so many sources.
_COMPLAIN_EVERY_S: Final = 10.0
_COMPLAINTS_MAX: Final = 256
#: Nodes of a push/pull that are merged in one turn: new ones take 20 ms together.
MERGE_NODES: Final = 256


@dataclass(frozen=True, slots=True)
class JoinTarget:
    """Whom to join: an address, and the name that is expected there (empty: any)."""

    address: Address
    name: str = ""


class IncomingStream:
    """A stream that somebody opened to us. `feed` gives the reply when the request is whole."""

    def __init__(self, memberlist: "Memberlist", source: Address, refused: bool) -> None:
        self._memberlist = memberlist
        self._source = source
        self._refused = refused
        self._bytes = 0
        self._reader = MessageReader(memberlist.sealer)

    def feed(self, data: bytes) -> bytes | None:
        """Take more bytes. None: more is needed. Otherwise write this (perhaps nothing) and close."""
        if self._refused:
            return b""
        self._bytes += len(data)
        self._memberlist.incoming_bytes += len(data)
        try:
            if self._memberlist.incoming_bytes > INCOMING_STREAM_BYTES_MAX:
                raise WireError("too much comes on all streams together")
            if not self._reader.feed(data):
                return None
            assert self._reader.message is not None
            return self._memberlist.answer(self._reader.message, self._source)
        except WireError as error:
            self._memberlist.complain(self._source, f"a stream message: {error}")
            return b"" if self._reader.typed else self._memberlist.seal_stream(Err(str(error)).encode())

    def closed(self) -> None:
        """The connection is gone."""
        self._reader.close()
        if not self._refused:
            self._refused = True
            self._memberlist.stream_closed(self._source, self._bytes)


class Memberlist:
    """One member of one pool."""

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
        self.queue = BroadcastQueue(config.retransmit_mult, lambda: len(self.list), queued=self.gossip_soon)
        self.list = Members(config, clock, rng, self.queue, delegate, self._log, metrics)
        self.exchange = StateExchange(self.list)
        self.sealer = Sealer(
            config.keyring,
            verify_incoming=config.encrypt_verify_incoming,
            verify_outgoing=config.encrypt_verify_outgoing,
            label=config.label,
        )
        self._prober = Prober(config, clock, self.list, self, delegate, self._log, metrics)
        self._timers: dict[str, Timer] = {}
        self._gossip_at_s = 0.0
        self._complained: OrderedDict[str, float] = OrderedDict()
        self._leave_done: Callable[[], None] | None = None
        self.incoming_streams = self.incoming_bytes = 0
        self._streams_of: dict[str, int] = {}
        self.running = False
        #: How often what happened: packets in and out and their bytes, bad ones, refused joins.
        self.counters = dict.fromkeys(
            ("packets_in", "bytes_in", "packets_out", "bytes_out", "bad_packets", "send_errors", "refused_joins"), 0
        )
        self._handlers: dict[type, Callable[..., None]] = {
            Ping: self._prober.pinged,
            IndirectPing: self._prober.asked_to_ping,
            Ack: lambda ack, _source: self._prober.acked(ack),
            Nack: lambda nack, _source: self._prober.nacked(nack),
            Suspect: lambda suspect, _source: self.list.suspect(suspect),
            Alive: lambda alive, _source: self.list.alive(alive),
            Dead: lambda dead, _source: self.list.dead(dead),
        }

    # -- what the layer above sees

    @property
    def members(self) -> dict[str, Member]:
        """All members by name, dead ones and ourselves too."""
        return self.list.by_name

    @property
    def local(self) -> Member:
        """Ourselves."""
        return self.list.local

    @property
    def node_count(self) -> int:
        """How many members there are, in any state."""
        return len(self.list)

    @property
    def health_score(self) -> int:
        """How much we doubt ourselves; 0 is healthy."""
        return self.list.awareness.score

    @property
    def keyring(self) -> Keyring | None:
        """The keys, if the pool is encrypted."""
        return self.sealer.keyring

    @property
    def timeline(self) -> Timeline:
        """What happened to each member."""
        return self.list.timeline

    def start(self) -> None:
        """Become a member, alone at first (but for those in `list` already)."""
        self.running = True
        config = self.config
        self._gossip_at_s = self._clock.seconds() + self._rng.random() * config.gossip_interval_s
        self.list.announce()
        self._schedule_probe(self._rng.random() * config.probe_interval_s)
        self._schedule_push_pull(self._rng.random() * config.push_pull_interval_s * push_pull_scale(len(self.list)))

    def shutdown(self) -> None:
        """Stop at once; nobody is told. A leave that is under way is done with."""
        self.running = False
        for timer in self._timers.values():
            if timer.active():
                timer.cancel()
        self._timers.clear()
        self._prober.stop()
        self.list.stop()
        if self._leave_done is not None:
            self._leave_done()

    def join(self, targets: Sequence[JoinTarget], done: Callable[[int, list[str]], None]) -> None:
        """Exchange states with each target, one after the other; then `done(how many worked, errors)`."""
        waiting = list(targets)
        errors: list[str] = []

        def next_target(joined: int) -> None:
            if not waiting:
                done(joined, errors)
                return
            target = waiting.pop(0)

            def finished(error: Exception | None) -> None:
                if error is not None:
                    errors.append(f"Failed to join {target.address[0]}: {error}")
                next_target(joined + (error is None))

            self._push_pull(target.address, True, finished)

        next_target(0)

    def leave(self, timeout_s: float, done: Callable[[], None]) -> None:
        """Tell everybody that we leave; `done` once that was sent often enough, or after `timeout_s` seconds.

        We go on answering until `shutdown`.
        """
        if self.list.leaving:
            done()
            return
        self.list.leaving = True
        me = self.local
        if all(member is me or member.is_gone for member in self.list):
            self.list.dead(Dead(me.incarnation, me.name, me.name))
            done()
            return
        finish = self._leave_done = _once(done)
        self._timers["leave"] = self._clock.callLater(timeout_s, finish)
        self.list.own_death = finish
        self.list.dead(Dead(me.incarnation, me.name, me.name))

    def update_meta(self) -> None:
        """Tell everybody our metadata of now."""
        self.list.announce()

    def send_user(self, destination: Address, message: bytes) -> bool:
        """Send one user message directly, with nothing else in the packet."""
        return self._write(destination, [bytes((USER,)) + message], None)

    # -- packets in

    def packet_received(self, data: bytes, source: Address) -> None:
        """A datagram arrived. Whatever it holds, the worst that it does is one log line."""
        if not self.running:
            return
        self.counters["packets_in"] += 1
        self.counters["bytes_in"] += len(data)
        rumours: list[bytes] = []
        try:
            for message in self.sealer.open(data):
                if message[0] in _RUMOURS:
                    rumours.append(message)
                else:
                    self._take(message, source)
        except WireError as error:
            self._bad_packet(source, error)
        # As real agents do (docs/wire/gossip.md 5.10): alive before the rest, and the last first. Broadcasts are packed
        # newest first, so what was said one after the other is heard in that order.
        rumours.reverse()
        rumours.sort(key=lambda message: message[0] != Alive.TYPE)
        for message in rumours:
            self._take(message, source)

    def _take(self, message: bytes, source: Address) -> None:
        try:
            self._message(message, source)
        except WireError as error:  # what else the packet holds is good all the same
            self._bad_packet(source, error)

    def _bad_packet(self, source: Address, error: WireError) -> None:
        self.counters["bad_packets"] += 1
        self.complain(source, f"a packet: {error}")

    def _message(self, data: bytes, source: Address) -> None:
        if data[0] == USER:
            self._delegate.notify_message(data[1:])
            return
        message = messages.decode(data)
        handler = self._handlers.get(type(message))
        if handler is None:
            raise WireError(f"message type {data[0]} does not belong in a packet")
        handler(message, source)

    def complain(self, source: Address, text: str) -> None:
        """Log what is wrong with what `source` sends, now and then."""
        now_s = self._clock.seconds()
        last_s = self._complained.get(source[0])
        if last_s is not None and now_s - last_s < _COMPLAIN_EVERY_S:
            return
        self._complained[source[0]] = now_s
        self._complained.move_to_end(source[0])
        if len(self._complained) > _COMPLAINTS_MAX:
            self._complained.popitem(last=False)
        self._log("warn", f"dropped from {source[0]}:{source[1]}: {text}")

    # -- packets out

    def send(self, destination: Address, message: bytes, member: Member | None = None) -> bool:
        """Send a message, with what there is to gossip and fits."""
        budget = self.config.packet_bytes - len(message) - _COMPOUND_BYTES - _PART_BYTES - self.sealer.overhead_bytes
        parts = [message, *self._broadcasts(_PART_BYTES, budget)]
        return self._write(destination, parts[:COMPOUND_PARTS_MAX], member)

    def send_parts(self, destination: Address, parts: list[bytes], member: Member) -> bool:
        """Send just these messages in one packet."""
        return self._write(destination, parts, member)

    def _write(self, destination: Address, parts: list[bytes], member: Member | None) -> bool:
        crc = member is not None and member.protocol_max >= CRC_FROM_VERSION
        packet = self.sealer.seal(parts, crc, self.config.compression)
        self.counters["packets_out"] += 1
        self.counters["bytes_out"] += len(packet)
        sent = self._transport.send_packet(destination, packet)
        if not sent:
            self.counters["send_errors"] += 1
        return sent

    def _broadcasts(self, overhead: int, limit: int) -> list[bytes]:
        """What there is to gossip: memberlist's own first, then the delegate's."""
        picked = self.queue.get(overhead, limit)
        used = sum(len(message) + overhead for message in picked) if picked else 0
        if limit - used > overhead + 1:
            extra = self._delegate.get_broadcasts(overhead + 1, limit - used)
            picked += [bytes((USER,)) + message for message in extra]
        return picked

    def gossip_soon(self) -> None:
        """There is something new to gossip. Gossip has a beat of its own, and who has nothing to say sleeps through it:
        most of the time, that saves most of the timers of an agent."""
        timer = self._timers.get("gossip")
        if not self.running or (timer is not None and timer.active()):
            return
        now_s, interval_s = self._clock.seconds(), self.config.gossip_interval_s
        self._gossip_at_s += max(0, math.ceil((now_s - self._gossip_at_s) / interval_s)) * interval_s
        self._timers["gossip"] = self._clock.callLater(max(0.0, self._gossip_at_s - now_s), self._gossip_tick)

    def _gossip_tick(self) -> None:
        self._gossip_at_s += self.config.gossip_interval_s
        if (len(self.queue) or self._delegate.has_broadcasts()) and len(self.list) > 1:
            self._gossip()
            self.gossip_soon()

    def _gossip(self) -> None:
        config = self.config
        budget = config.packet_bytes - _COMPOUND_BYTES - self.sealer.overhead_bytes
        now_s = self._clock.seconds()
        oldest_s = now_s - config.gossip_to_the_dead_time_s

        def wanted(member: Member) -> bool:
            return member.state <= State.SUSPECT or (member.state is State.DEAD and member.changed_s > oldest_s)

        # what is picked counts as sent: pick only for a receiver that is there
        for receiver in self.list.sample(config.gossip_nodes, wanted):
            parts = self._broadcasts(_PART_BYTES, budget)
            if not parts:
                return
            for start in range(0, len(parts), COMPOUND_PARTS_MAX):
                self._write(receiver.at, parts[start : start + COMPOUND_PARTS_MAX], receiver)
        self._metrics.sample("memberlist.gossip", 1000 * (self._clock.seconds() - now_s))

    # -- streams in

    def stream_opened(self, source: Address) -> IncomingStream:
        """Somebody connected: feed it what comes, and tell it when the connection is gone."""
        of_source = self._streams_of.get(source[0], 0)
        full = self.incoming_streams >= INCOMING_STREAMS_MAX or of_source >= INCOMING_STREAMS_PER_SOURCE_MAX
        if full or not self.running:
            return IncomingStream(self, source, refused=True)
        self.incoming_streams += 1
        self._metrics.incr("memberlist.tcp.accept")
        self._streams_of[source[0]] = of_source + 1
        return IncomingStream(self, source, refused=False)

    def stream_closed(self, source: Address, size: int) -> None:
        """A stream that brought `size` bytes is gone."""
        self.incoming_streams -= 1
        self.incoming_bytes -= size
        left = self._streams_of[source[0]] - 1
        if left:
            self._streams_of[source[0]] = left
        else:
            del self._streams_of[source[0]]

    def answer(self, message: StreamMessage, source: Address) -> bytes:
        """What a whole stream message is answered with. Raises `WireError` for one that is not answered."""
        if isinstance(message, PushPull):
            if message.bad_nodes:
                self.complain(source, f"{len(message.bad_nodes)} nodes of a push/pull: {message.bad_nodes[0]}")
            else:
                self._log("debug", f"push/pull from {source[0]}:{source[1]}, {len(message.nodes)} members")
            try:
                self._check_merge(message, message.join)
            except MergeRefused as error:
                self.counters["refused_joins"] += 1
                self._log("warn", f"refused a push/pull of {source[0]}:{source[1]}: {error}")
                return self.seal_stream(Err(str(error)).encode())
            reply = self._own_state(message.join)
            self._merge(message, message.join)
            return reply
        if isinstance(message, Ping):
            if message.node != self.config.name:
                raise WireError(f"it takes us for {message.node!r}")
            return self.seal_stream(Ack(message.seq_no).encode())
        if isinstance(message, UserMessage):
            self._delegate.notify_message(message.body)
            return b""
        raise WireError(f"{type(message).__name__} is no request")

    def seal_stream(self, plain: bytes) -> bytes:
        """A stream message, ready to be written."""
        return stream.seal(self.sealer, plain, self.config.compression)

    # -- streams out

    def tcp_ping(self, member: Member, seq_no: int, timeout_s: float, done: Callable[[bool], None]) -> None:
        """Ping by TCP; `done(whether it answered)`."""
        address, port = self.config.advertise
        request = self.seal_stream(Ping(seq_no, member.name, address, port, self.config.name).encode())
        reader = MessageReader(self.sealer)

        def finished(error: Exception | None) -> None:
            reader.close()
            reply = reader.message
            done(error is None and isinstance(reply, Ack) and reply.seq_no == seq_no)

        self._transport.exchange(member.at, request, timeout_s, reader, finished)

    def _push_pull(self, destination: Address, join: bool, done: Callable[[Exception | None], None]) -> None:
        reader = MessageReader(self.sealer)

        began_s = self._clock.seconds()

        def finished(error: Exception | None) -> None:
            reader.close()
            if error is None and self.running:
                try:
                    self._take_reply(reader.message, join, merged)
                    return
                except (WireError, MergeRefused) as refused:
                    error = refused
            merged(error)

        def merged(error: Exception | None = None) -> None:
            self._metrics.sample("memberlist.pushPullNode", 1000 * (self._clock.seconds() - began_s))
            done(error)

        state = self._own_state(join)
        self._metrics.incr("memberlist.tcp.connect")
        self._metrics.incr("memberlist.tcp.sent", len(state))
        self._transport.exchange(destination, state, self.config.stream_timeout_s, reader, finished)

    def _take_reply(self, reply: StreamMessage | None, join: bool, merged: Callable[[], None]) -> None:
        if isinstance(reply, Err):
            raise MergeRefused(f"remote error: {reply.error}")
        if not isinstance(reply, PushPull):
            raise WireError(f"a push/pull was answered with {type(reply).__name__}")
        self._check_merge(reply, join)
        self._merge(reply, join, merged)

    def _own_state(self, join: bool) -> bytes:
        nodes, count = self.exchange.own_state()
        return self.seal_stream(stream.push_pull(join, nodes, count, self._delegate.local_state(join)))

    def _check_merge(self, remote: PushPull, join: bool) -> None:
        self.exchange.check(remote)
        if join and remote.nodes:
            self._delegate.notify_merge(self.exchange.members_of(remote, self._clock.seconds()))

    def _merge(self, remote: PushPull, join: bool, merged: Callable[[], None] = lambda: None, first: int = 0) -> None:
        """Take what the other one knows, some nodes in each turn; then call `merged`."""
        if first and not self.running:  # stopped meanwhile
            merged()
            return
        rest = first + MERGE_NODES
        self.exchange.merge(remote.nodes[first:rest])
        if rest < len(remote.nodes):
            self._clock.callLater(0, self._merge, remote, join, merged, rest)
            return
        if remote.user_state:
            try:
                self._delegate.merge_remote_state(remote.user_state, join)
            except WireError as error:
                self._log("error", f"the user state of a push/pull: {error}")
        merged()

    # -- timers

    def _schedule_probe(self, delay_s: float) -> None:
        self._timers["probe"] = self._clock.callLater(delay_s, self._probe_tick)

    def _probe_tick(self) -> None:
        self._schedule_probe(self.config.probe_interval_s)
        self._prober.probe_next()

    def _schedule_push_pull(self, delay_s: float) -> None:
        self._timers["push_pull"] = self._clock.callLater(delay_s, self._push_pull_tick)

    def _push_pull_tick(self) -> None:
        self._schedule_push_pull(self.config.push_pull_interval_s * push_pull_scale(len(self.list)))
        partners = self.list.sample(1, lambda member: member.state is State.ALIVE)
        if not partners:
            return
        name = partners[0].name
        self._log("debug", f"push/pull with {name}")

        def finished(error: Exception | None) -> None:
            if error is not None and self.running:
                self._log("warn", f"push/pull with {name} failed: {error}")

        self._push_pull(partners[0].at, False, finished)


def _once(call: Callable[[], None]) -> Callable[[], None]:
    called = False

    def first_time() -> None:
        nonlocal called
        if not called:
            called = True
            call()

    return first_time
