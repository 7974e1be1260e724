"""Failure detection: one member is probed in each interval, by a direct ping, then by indirect pings and TCP.

Source: docs/wire/gossip.md 5.6 (SWIM's probe with Lifeguard's nacks and local health).
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Protocol

from consulpy.clock import Clock, Timer, cancel_timer
from consulpy.codec.lazy_dataclass import dataclass
from consulpy.errors import RPCError
from consulpy.memberlist.config import MemberlistConfig
from consulpy.memberlist.delegate import Delegate
from consulpy.memberlist.evidence import TcpResult
from consulpy.memberlist.member import Address, Member, State
from consulpy.memberlist.members import Members
from consulpy.memberlist.messages import Ack, IndirectPing, Nack, Ping, PingEncoder, Suspect
from consulpy.metrics.registry import NOTHING, Measures

#: Lowest pmax of members that answer TCP pings, and of those that send nacks.
TCP_PING_FROM: Final = 3
NACK_FROM: Final = 4
#: Indirect pings for other members in progress; above it requests are ignored.
RELAYED_MAX: Final = 256
#: TCP pings of our own in progress; above it none is started.
TCP_PINGS_MAX: Final = 16
#: Failed probes whose late acks are still matched, for the evidence; above it the oldest is dropped.
LATE_MAX: Final = 64
#: Diagnostic pings awaiting an ack; above it a diagnosis fails.
EXPECTED_MAX: Final = 4096


class Sender(Protocol):
    """Sends a prober's messages (`Outgoing`)."""

    def send(self, destination: Address, message: bytes, member: Member | None = None) -> bool:
        """Send a message, with gossip that fits into the packet."""

    def send_parts(self, destination: Address, parts: list[bytes], member: Member) -> bool:
        """Send these messages in one packet."""

    def tcp_ping(
        self, name: str, endpoint: Address, seq_no: int, timeout_s: float, done: Callable[[TcpResult], None]
    ) -> None:
        """Ping the member `name` at an address by TCP; `done(result)`."""


@dataclass(slots=True, eq=False)
class _Probe:
    """A probe in progress."""

    member: Member
    sent_s: float
    timer: Timer | None = None
    indirect: bool = False
    nacks_expected: int = 0
    nacks: int = 0
    by_tcp: bool = False


@dataclass(slots=True, eq=False)
class _DiagnosticPing:
    """A ping outside of the probes in turn. `received(message, source)`: called with its ack or nack."""

    received: Callable[[Ack | Nack, Address], None]
    timer: Timer | None = None


@dataclass(slots=True, eq=False)
class _RelayedPing:
    """A ping on behalf of another member."""

    seq_no: int
    destination: Address
    nack: bool
    timer: Timer | None = None


class Prober:
    """Probes members in turn, and handles the pings of other members."""

    def __init__(
        self,
        config: MemberlistConfig,
        clock: Clock,
        members: Members,
        sender: Sender,
        delegate: Delegate,
        log: Callable[[str, str], None],
        metrics: Measures = NOTHING,
    ) -> None:
        self._metrics = metrics
        self._config = config
        self._clock = clock
        self._members = members
        self._sender = sender
        self._delegate = delegate
        self._log = log
        self._own_pings = PingEncoder(*config.advertise, config.name)
        self._seq_no = 0
        self._next = 0
        #: Start of the last probe: the time of pings received since, without a look at the clock for each.
        self._started_s = 0.0
        self._probe: _Probe | None = None
        self._by_seq: dict[int, _Probe | _RelayedPing | _DiagnosticPing] = {}
        #: Failed probes by sequence number: the member's name, and the time of the ping.
        self._late: OrderedDict[int, tuple[str, float]] = OrderedDict()
        self._expected = 0
        #: Finished probes, and those without a direct ack in time.
        self.probes = self.probes_failed = 0
        self._relayed = self._tcp_pings = 0
        self._running = True
        #: Whether an interval passed while a probe was in progress: the next probe then follows immediately.
        self._missed = False

    # -- own probes

    def probe_next(self) -> None:
        """Probe the next member, unless a probe is in progress."""
        if self._probe is not None or not self._running:
            self._missed = True
            return
        self._missed = False
        members = self._members
        for _ in range(len(members.probe_order) + 1):
            if self._next >= len(members.probe_order):
                self._next = 0
                members.purge()
                if not members.probe_order:
                    return
            member = members.probe_order[self._next]
            self._next += 1
            if not member.is_gone and member.name != self._config.name:
                self._start(member)
                return

    def _start(self, member: Member) -> None:
        config, now_s = self._config, self._clock.seconds()
        seq_no = self._new_seq_no()
        probe = self._probe = _Probe(member, now_s)
        self._started_s = now_s
        self._by_seq[seq_no] = probe
        interval_s = config.probe_interval_s
        if self._members.awareness.score:
            interval_s = self._members.awareness.scale_s(interval_s)
            self._metrics.incr("memberlist.degraded.probe")
        deadline_s = now_s + interval_s
        probe.timer = self._clock.callLater(
            min(config.probe_timeout_s, interval_s), self._probe_indirectly, seq_no, probe, deadline_s
        )
        ping = self._ping(seq_no, member.name)
        if member.state is State.ALIVE:
            sent = self._sender.send(member.endpoint, ping, member)
        else:
            sent = self._ping_suspect(member, ping)
        if not sent:  # no ack will come: other members may have a better network
            probe.timer.cancel()
            self._probe_indirectly(seq_no, probe, deadline_s)

    def _ping_suspect(self, member: Member, ping: bytes) -> bool:
        """Ping a member, the suspicion sent along, so that it can refute."""
        suspicion = Suspect(member.incarnation, member.name, self._config.name)
        return self._sender.send_parts(member.endpoint, [ping, suspicion.encode()], member)

    def ask_suspect(self, member: Member, answered: Callable[[], None]) -> None:
        """Ping a suspect outside of the probes in turn; `answered()` if its ack comes within a probe interval."""
        seq_no = self._new_seq_no()

        def received(message: Ack | Nack, _source: Address) -> None:
            if isinstance(message, Ack):
                timer.cancel()
                del self._by_seq[seq_no]
                answered()

        timer = self._clock.callLater(self._config.probe_interval_s, self._by_seq.pop, seq_no, None)
        self._by_seq[seq_no] = _DiagnosticPing(received, timer)
        self._ping_suspect(member, self._ping(seq_no, member.name))

    def _probe_indirectly(self, seq_no: int, probe: _Probe, deadline_s: float) -> None:
        config, target = self._config, probe.member
        probe.indirect = True
        self.probes_failed += 1
        text = f"ping to {target.address}:{target.port} by UDP: no ack in {config.probe_timeout_s:g} s"
        self._members.evidence.bad(target.name, probe.sent_s, text)
        self._log("debug", f"failed ping: {target.name} (no ack within {config.probe_timeout_s:g} s), asking others")
        left_s = max(deadline_s - self._clock.seconds(), 0.0)
        probe.timer = self._clock.callLater(left_s, self._failed, seq_no, probe)
        address, port = config.advertise
        helpers = self._members.sample(
            config.indirect_checks, lambda member: member.state is State.ALIVE and member is not target
        )
        for helper in helpers:
            nack = helper.protocol_max >= NACK_FROM
            probe.nacks_expected += nack
            request = IndirectPing(seq_no, target.address, target.port, target.name, nack, address, port, config.name)
            self._sender.send(helper.endpoint, request.encode(), helper)
        if config.tcp_pings and target.protocol_max >= TCP_PING_FROM and self._tcp_pings < TCP_PINGS_MAX:
            self._tcp_pings += 1
            began_s = self._clock.seconds()
            self._sender.tcp_ping(
                target.name, target.endpoint, seq_no, left_s, lambda result: self._tcp_ping_done(probe, began_s, result)
            )

    def _tcp_ping_done(self, probe: _Probe, began_s: float, result: TcpResult) -> None:
        self._tcp_pings -= 1
        probe.by_tcp = probe.by_tcp or result is TcpResult.ANSWERED
        if self._running:
            member, took_s = probe.member, self._clock.seconds() - began_s
            self._members.evidence.tcp(member.name, result, took_s, member.endpoint)

    def _failed(self, seq_no: int, probe: _Probe) -> None:
        self._end(seq_no, probe)
        member, members = probe.member, self._members
        self._late[seq_no] = (member.name, probe.sent_s)
        if len(self._late) > LATE_MAX:
            self._late.popitem(last=False)
        if probe.by_tcp:
            members.awareness.apply(-1)
            members.timeline.add(member.name, "reached by TCP only", member.incarnation, self._config.name)
            self._log(
                "warn",
                f"Was able to connect to {member.name} but other probes failed, network may be misconfigured",
            )
            return
        missing = probe.nacks_expected - probe.nacks
        members.awareness.apply(missing if probe.nacks_expected else 1)
        detail = f"no ack to a ping, {_helped(probe.nacks, probe.nacks_expected)}, no answer by TCP"
        if not member.is_gone and members.by_name.get(member.name) is member:
            self._log("info", f"suspect {member.name} has failed, no acks received")
            members.handle_suspect(Suspect(member.incarnation, member.name, self._config.name), detail)

    def handle_ack(self, ack: Ack, source: Address) -> None:
        """Handle an ack of one of our pings."""
        waiting = self._by_seq.get(ack.seq_no)
        if isinstance(waiting, _Probe):
            self._end(ack.seq_no, waiting)
            self._members.awareness.apply(-1)
            if waiting.indirect:
                self._late_ack(waiting.member.name, waiting.sent_s, ack, source)
            else:
                rtt_s = self._clock.seconds() - waiting.sent_s
                if self._members.evidence.by_name:
                    self._members.evidence.good(waiting.member.name)
                self._metrics.sample("memberlist.probe.rtt", 1000 * rtt_s)
                self._log("trace", f"probe of {waiting.member.name}: ack after {1000 * rtt_s:.1f} ms")
                self._delegate.notify_ping_complete(waiting.member, rtt_s, ack.payload)
        elif isinstance(waiting, _DiagnosticPing):
            waiting.received(ack, source)
        elif waiting is not None:
            self._relay(ack.seq_no, waiting, answered=True)
        elif ack.seq_no in self._late:
            name, sent_s = self._late.pop(ack.seq_no)
            self._late_ack(name, sent_s, ack, source)

    def _late_ack(self, name: str, sent_s: float, ack: Ack, source: Address) -> None:
        """An ack after the probe timeout: of the member itself, or relayed, which has no payload."""
        helper = self._members.alive_at(source)
        if ack.payload or helper is None or helper.name == name:
            self._members.evidence.late(name, self._clock.seconds() - sent_s, source)
        else:
            self._members.evidence.acked_via(name, helper.name)

    def handle_nack(self, nack: Nack, source: Address) -> None:
        """Handle a nack of a member that relayed our ping."""
        waiting = self._by_seq.get(nack.seq_no)
        if isinstance(waiting, _DiagnosticPing):
            waiting.received(nack, source)
        elif isinstance(waiting, _Probe) and waiting.nacks < waiting.nacks_expected:
            waiting.nacks += 1
            helper = self._members.alive_at(source)
            if helper is not None:
                self._members.evidence.nacked_by(waiting.member.name, helper.name)

    # -- diagnostic pings

    def expect(self, received: Callable[[Ack | Nack, Address], None]) -> int:
        """A sequence number whose acks and nacks go to `received` until `forget`. Raises `RPCError` above a limit."""
        if self._expected >= EXPECTED_MAX:
            raise RPCError("too many diagnoses are under way, try again in some seconds")
        self._expected += 1
        seq_no = self._new_seq_no()
        self._by_seq[seq_no] = _DiagnosticPing(received)
        return seq_no

    def forget(self, seq_no: int) -> None:
        """Stop expecting acks of this sequence number."""
        if isinstance(self._by_seq.get(seq_no), _DiagnosticPing):
            del self._by_seq[seq_no]
            self._expected -= 1

    # -- other members' probes

    def handle_ping(self, ping: Ping, source: Address) -> None:
        """Handle a ping: send an ack."""
        if ping.node and ping.node != self._config.name:
            self._log("warn", f"{source[0]}:{source[1]} takes us for {ping.node}")
            return
        member = self._members.by_name.get(ping.source_node)
        if member is not None:
            member.heard_s = self._started_s
            member.heard_from = None if source[0] == member.address else source[0]
        destination = self._reply_address(ping, source)
        self._sender.send(destination, Ack(ping.seq_no, self._delegate.ack_payload()).encode())

    def _reply_address(self, ping: Ping | IndirectPing, source: Address) -> Address:
        """The address for the ack: the ping's source fields, but only if a member has that IP address."""
        address, port = ping.source_address, ping.source_port
        trusted = address == source[0] or self._members.is_member_address(address)
        return (address, port) if address and port and trusted else source

    def handle_indirect_ping(self, request: IndirectPing, source: Address) -> None:
        """Handle a request to ping another member."""
        if self._relayed >= RELAYED_MAX or not self._members.is_member_address(request.target):
            return  # never ping an address outside of the pool
        seq_no = self._new_seq_no()
        relayed = _RelayedPing(request.seq_no, self._reply_address(request, source), request.nack)
        self._relayed += 1
        self._by_seq[seq_no] = relayed
        relayed.timer = self._clock.callLater(self._config.probe_timeout_s, self._relay, seq_no, relayed, False)
        port = request.port or self._config.advertise[1]
        self._sender.send((request.target, port), self._ping(seq_no, request.node))

    def _relay(self, seq_no: int, relayed: _RelayedPing, answered: bool) -> None:
        del self._by_seq[seq_no]
        self._relayed -= 1
        cancel_timer(relayed.timer)
        if answered:
            self._sender.send(relayed.destination, Ack(relayed.seq_no).encode())
        elif relayed.nack:
            self._sender.send(relayed.destination, Nack(relayed.seq_no).encode())

    # -- common

    def _ping(self, seq_no: int, node: str) -> bytes:
        return self._own_pings.encode(seq_no, node)

    def _new_seq_no(self) -> int:
        self._seq_no = (self._seq_no + 1) & 0xFFFFFFFF
        return self._seq_no

    def _end(self, seq_no: int, probe: _Probe) -> None:
        del self._by_seq[seq_no]
        self.probes += 1
        self._metrics.sample("memberlist.probeNode", 1000 * (self._clock.seconds() - probe.sent_s))
        if self._probe is probe:
            self._probe = None
            if self._missed and self._running:
                self._clock.callLater(0, self._probe_missed)
        cancel_timer(probe.timer)

    def _probe_missed(self) -> None:
        if self._missed:
            self.probe_next()

    def stop(self) -> None:
        """Stop probing and drop probes in progress."""
        self._running = False
        for seq_no, waiting in list(self._by_seq.items()):
            if isinstance(waiting, _Probe):
                self._end(seq_no, waiting)
            else:
                cancel_timer(waiting.timer)
        self._by_seq.clear()


def _helped(nacks: int, expected: int) -> str:
    """The outcome of indirect pings, as text: `expected` members were asked, `nacks` of them got no ack."""
    if not expected:
        return "nobody else to ask"
    helpers = "the only helper" if expected == 1 else f"{expected} helpers"
    if nacks == expected:
        return f"{helpers} got none either"
    if not nacks:
        return f"no answer of {helpers}"
    return f"{nacks} of {helpers} got none either, no answer of the others"
