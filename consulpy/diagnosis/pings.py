"""Active test of one gossip address: pings by UDP, small and large, one by TCP, and some through other members.

At most 3 seconds. Nothing here changes a member: a ping carries no news of its own, and its ack is no part of failure
detection. Source: docs/wire/gossip.md 4 (ping, indirectPing, ack, nack).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from twisted.internet.defer import Deferred

from consulpy.clock import Clock, Timer, cancel_timer
from consulpy.codec.msgpack import pack
from consulpy.memberlist.evidence import TcpResult
from consulpy.memberlist.machine import LATE_TICK_S, Memberlist
from consulpy.memberlist.member import Address, Member, State
from consulpy.memberlist.messages import Ack, IndirectPing, Nack, Ping, pack_address

#: Everything ends after this, in seconds.
LIMIT_S: Final = 2.8
#: ... after this, where only an answer at all is wanted.
SHORT_S: Final = 1.0
#: Small pings of the first look; further ones if one of them is lost, and their interval in seconds.
FIRST_PINGS: Final = 8
MORE_PINGS: Final = 56
SPACING_S: Final = 0.0125
#: How long the ping by TCP may take, in seconds: a lost SYN is sent again after one.
TCP_S: Final = 1.8
#: How long the ack of the last ping is waited for beyond the probe timeout, in seconds.
LATE_S: Final = 1.2
#: Members that are asked to ping for us.
HELPERS: Final = 3
#: Timers by which this process's own lateness is measured, and their interval in seconds.
TIMERS: Final = 24
TIMER_S: Final = 0.05
#: What a large ping has, in bytes; memberlist fills datagrams up to 1,400.
LARGE_BYTES: Final = 1300
LARGE_PINGS: Final = 3


@dataclass(slots=True)
class PingReport:
    """Counts and times of the pings' acks. Times in seconds."""

    sent: int = 0
    in_time_s: list[float] = field(default_factory=list)
    late_s: list[float] = field(default_factory=list)
    large_sent: int = 0
    large_acked: int = 0
    #: Acks to pings that asked for the answer at the address that they came from, not at the advertised one.
    unadvertised_acked: int = 0
    #: IP addresses from which acks came.
    sources: set[str] = field(default_factory=set)
    tcp: TcpResult | None = None
    tcp_s: float = 0.0
    #: Members that reached it for us, that had no ack either, and all that were asked.
    reached_by: list[str] = field(default_factory=list)
    missed_by: list[str] = field(default_factory=list)
    helpers: list[str] = field(default_factory=list)
    #: The most that one of our own timers was late meanwhile.
    lateness_s: float = 0.0

    @property
    def acked(self) -> int:
        """Number of small pings that were acknowledged."""
        return len(self.in_time_s) + len(self.late_s)

    @property
    def only_large_lost(self) -> bool:
        """Whether small pings were acknowledged, and none of the large ones."""
        return bool(self.acked and self.large_sent) and not self.large_acked

    @property
    def loss(self) -> float:
        """The share of the small pings that were not."""
        return 1 - self.acked / self.sent if self.sent else 0.0


class PingRound:
    """One look at the agent that should be `name` (empty: any) at `at`. `run` gives the `PingReport`.

    `thorough`: many pings in any case, to see loss. `helpers`: other members are asked to ping it too. `tcp`: it is
    pinged by TCP as well. `short`: within `SHORT_S`.
    """

    def __init__(
        self,
        memberlist: Memberlist,
        clock: Clock,
        name: str,
        at: Address,
        *,
        thorough: bool = False,
        helpers: bool = True,
        tcp: bool = True,
        short: bool = False,
    ) -> None:
        self._memberlist = memberlist
        self._clock = clock
        self._name = name
        self._at = at
        self._thorough = thorough
        self._with_helpers = helpers
        self._with_tcp = tcp
        self._limit_s = SHORT_S if short else LIMIT_S
        self._timeout_s = min(memberlist.config.probe_timeout_s, 1.0)
        self.report = PingReport()
        self._seq_nos: list[int] = []
        self._timers: list[Timer] = []
        self._done: Deferred[PingReport] = Deferred()
        self._has_more = False

    def run(self) -> "Deferred[PingReport]":
        """Begin; fires within `LIMIT_S`."""
        self._later(self._limit_s, self._finish)
        for _ in range(FIRST_PINGS):
            self._ping()
        for _ in range(LARGE_PINGS):
            self._ping_large()
        if self._with_tcp:
            self._ping_tcp()
        if self._thorough:
            self._more()
        else:
            self._later(self._timeout_s, self._more)
        return self._done

    def stop(self) -> None:
        """End early, with the results so far."""
        self._finish()

    # -- what is sent

    def _ping(self) -> None:
        sent_s = self._clock.seconds()
        self.report.sent += 1

        def heard(message: Ack | Nack, source: Address) -> None:
            if isinstance(message, Ack):
                took_s = self._clock.seconds() - sent_s
                (self.report.in_time_s if took_s <= self._timeout_s else self.report.late_s).append(took_s)
                self.report.sources.add(source[0])
                self._check()

        self._send(self._ping_of(self._expect(heard)).encode())

    def _ping_of(self, seq_no: int) -> Ping:
        address, port = self._memberlist.config.advertise
        return Ping(seq_no, self._name, address, port, self._memberlist.config.name)

    def _ping_large(self) -> None:
        """A ping that is filled up with a field that receivers ignore."""
        self.report.large_sent += 1
        ping = self._ping_of(self._expect(self._large_acked))
        body: dict[str, Any] = {"Node": ping.node, "Padding": bytes(LARGE_BYTES), "SeqNo": ping.seq_no}
        if ping.source_address:
            body |= {"SourceAddr": pack_address(ping.source_address), "SourceNode": ping.source_node}
            body["SourcePort"] = ping.source_port
        self._send(b"\0" + pack(body))

    def _large_acked(self, message: Ack | Nack, _source: Address) -> None:
        if isinstance(message, Ack):
            self.report.large_acked += 1
            self._check()

    def _ping_unadvertised(self) -> None:

        def heard(message: Ack | Nack, _source: Address) -> None:
            self.report.unadvertised_acked += isinstance(message, Ack)

        self._send(Ping(self._expect(heard), self._name).encode())

    def _send(self, message: bytes) -> None:
        self._memberlist.outgoing.send_parts(self._at, [message], _NO_CRC)

    def _ping_tcp(self) -> None:
        began_s = self._clock.seconds()

        def done(result: TcpResult) -> None:
            if not self._done.called:
                self.report.tcp, self.report.tcp_s = result, self._clock.seconds() - began_s
                self._check()

        self._memberlist.outgoing.tcp_ping(
            self._name, self._at, self._expect(_ignored), min(TCP_S, self._limit_s - 0.2), done
        )

    def _more(self) -> None:
        """One of the first pings was lost, or is late: try more, from other sides too."""
        report = self.report
        if len(report.in_time_s) == report.sent and not self._thorough:
            return  # what is waited for is TCP, or a large one
        self._has_more = True
        for number in range(MORE_PINGS):
            self._later(number * SPACING_S, self._ping)
        self._later(self._timeout_s if self._thorough else 0, self._others)
        self._later(MORE_PINGS * SPACING_S + self._timeout_s + LATE_S, self._finish)

    def _others(self) -> None:
        """No ack came back: ask for acks to the address that we send from, and other members to ping."""
        if self.report.acked:
            return
        for number in range(3):
            self._later(number * SPACING_S, self._ping_unadvertised)
        if self._with_helpers:
            self._ask_helpers()

    def _ask_helpers(self) -> None:
        config = self._memberlist.config

        def may_help(member: Member) -> bool:
            return member.state is State.ALIVE and member.name != self._name and member.endpoint != self._at

        for helper in self._memberlist.members.sample(HELPERS, may_help):
            self.report.helpers.append(helper.name)
            for _ in range(2):  # one lost datagram proves nothing
                seq_no = self._expect(self._helper_heard(helper.name))
                address, port = config.advertise
                request = IndirectPing(seq_no, *self._at, self._name, True, address, port, config.name)
                self._memberlist.outgoing.send_parts(helper.endpoint, [request.encode()], helper)

    def _helper_heard(self, helper: str) -> Callable[[Ack | Nack, Address], None]:
        def heard(message: Ack | Nack, _source: Address) -> None:
            report = self.report
            if isinstance(message, Ack):
                if helper not in report.reached_by:
                    report.reached_by.append(helper)
                if helper in report.missed_by:
                    report.missed_by.remove(helper)
            elif helper not in report.missed_by and helper not in report.reached_by:
                report.missed_by.append(helper)
            self._check()

        return heard

    # -- the end

    def _expect(self, heard: Callable[[Ack | Nack, Address], None]) -> int:
        seq_no = self._memberlist.expect(heard)
        self._seq_nos.append(seq_no)
        return seq_no

    def _later(self, delay_s: float, call: Callable[[], None]) -> None:
        due_s = self._clock.seconds() + delay_s

        def fire() -> None:
            self.report.lateness_s = max(self.report.lateness_s, self._clock.seconds() - due_s)
            call()

        self._timers.append(self._clock.callLater(delay_s, fire))

    def _check(self) -> None:
        """Whether nothing more can come."""
        report = self.report
        all_small = report.acked == (report.sent if not self._has_more else FIRST_PINGS + MORE_PINGS)
        if all_small and report.large_acked == report.large_sent and not (self._with_tcp and report.tcp is None):
            self._finish()

    def _finish(self) -> None:
        if self._done.called:
            return
        for timer in self._timers:
            cancel_timer(timer)
        for seq_no in self._seq_nos:
            self._memberlist.forget(seq_no)
        self._done.callback(self.report)


async def late_timers(clock: Clock) -> int:
    """Number of `TIMERS` timers, one each 50 ms, that fire more than 0.25 s late: is this process itself slow?"""
    late = 0
    for _ in range(TIMERS):
        due_s = clock.seconds() + TIMER_S
        fired: Deferred[None] = Deferred()
        clock.callLater(TIMER_S, fired.callback, None)
        await fired
        late += clock.seconds() - due_s > LATE_TICK_S
    return late


def _ignored(_message: Ack | Nack, _source: Address) -> None:
    """The ack to a TCP ping comes by TCP."""


#: Stands for a receiver whose version is unknown: no CRC frame is sent.
_NO_CRC: Final = Member("", "", 0, b"", (), 0, State.ALIVE, 0.0)
