"""Judges one member: what is known of it, then, where that cannot decide, a round of pings. At most 3 seconds.

The verdict is about now. Source of the rules: docs/diagnosis.md.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from twisted.internet.defer import Deferred

from consulpy.clock import Clock
from consulpy.diagnosis.causes import Cause, Verdict
from consulpy.diagnosis.pings import PingReport, PingRound, late_timers
from consulpy.memberlist.evidence import MemberEvidence, Refusal, TcpResult
from consulpy.memberlist.member import Address
from consulpy.memberlist.stream import PushPull, StreamMessage, push_pull
from consulpy.memberlist.timeline import LEFT_OR_REMOVED, TimelineEvent
from consulpy.serf.machine import Serf
from consulpy.serf.members import Member, Status
from consulpy.serf.membership import member_of

#: How long a refusal is of interest, in seconds.
RECENT_S: Final = 600.0
#: How long late acks and late timers count, in seconds.
LATE_WINDOW_S: Final = 60.0
#: Share of lost pings above which loss is a cause, and the least number of pings that shows it.
LOSS_MOST: Final = 0.15
LOSS_TRIES: Final = 20
#: Late timers in the window from which this agent is slow.
LATE_TICKS: Final = 3
#: The same within the second of a measurement.
LATE_NOW: Final = 2
#: How long an agent of another name at a member's address may take to say who it is, in seconds.
WHO_S: Final = 0.5
#: Late acks of the record from which a member is slow.
LATE_ACKS: Final = 3

_NOT_OPENED: Final = (TcpResult.NOT_OPENED, TcpResult.NO_ROUTE, TcpResult.FAILED, None)


@dataclass(frozen=True, slots=True)
class Observations:
    """Observations of a member besides its pings. `heard_s`, `heard_from`: the last ping that it sent itself."""

    name: str
    at: Address
    status: Status
    evidence: MemberEvidence | None
    heard_s: float
    heard_from: str
    since_s: float

    @property
    def where(self) -> str:
        """Its advertised address."""
        return f"[{self.at[0]}]:{self.at[1]}" if ":" in self.at[0] else f"{self.at[0]}:{self.at[1]}"


class MemberDiagnosis:
    """Judges the members of one pool. `moment(seconds of the clock)`: the time of day, as people read it."""

    def __init__(self, serf: Serf, clock: Clock, moment: Callable[[float], str]) -> None:
        self._serf = serf
        self._clock = clock
        self._moment = moment
        #: Late timers of the measurement during the last `explain`.
        self._late_timers = 0

    def knows(self, name: str) -> bool:
        """Whether this agent ever heard of the member."""
        return name in self._serf.members or bool(self._serf.timeline(name))

    async def explain(self, name: str, watch_self: bool = True) -> Verdict:
        """The verdict about a member that `knows` is true of. `watch_self`: measure our own lateness meanwhile."""
        return (await self.examine(name, watch_self))[0]

    async def examine(self, name: str, watch_self: bool = True) -> tuple[Verdict, PingReport | None]:
        """The verdict, and the round of pings that it needed; None if it needed none."""
        passive = self._passive(name)
        if passive is not None:
            return passive, None
        member = self._serf.members[name]
        record = self._serf.memberlist.evidence.of(name)
        began_s = self._clock.seconds()
        lateness = Deferred.fromCoroutine(late_timers(self._clock)) if watch_self else None
        at = (member.address, member.port)
        report = await PingRound(
            self._serf.memberlist, self._clock, name, at, thorough=record is not None or member.is_gone
        ).run()
        if lateness is not None:
            self._late_timers = await lateness
        member = self._serf.members.get(name, member)
        verdict = self.judge(self._seen(member, began_s), report)
        if verdict.cause is Cause.UNKNOWN and report.tcp in (TcpResult.CLOSED, TcpResult.GARBLED):
            verdict = await self._by_who_answers(member, verdict)
        if verdict.cause is Cause.HEALTHY:
            self._serf.memberlist.evidence.answers(name)
        return verdict, report

    # -- without asking anybody

    def _passive(self, name: str) -> Verdict | None:
        member = self._serf.members.get(name)
        if member is None or member.status is Status.LEFT:
            return self._gone(name, member)
        if name == self._serf.local_name:
            return self._own(member)
        if member.status is Status.FAILED:
            other = self._renamed(member)
            if other is not None:
                return self._as_renamed(member, other)
            return None
        conflict = self._conflict(name)
        return self._as_conflict(name, conflict) if conflict is not None else None

    def _gone(self, name: str, member: Member | None) -> Verdict:
        """The verdict about a member that left, was made to leave, or was forgotten."""
        events = self._serf.timeline(name)
        last = next((event for event in reversed(events) if event.what in ("left", "force-left", "dead")), None)
        where = f" at {member.address}:{member.port}" if member is not None else ""
        if last is None or last.what == "left":
            when = f" at {self._moment(last.at_s)}" if last is not None else ""
            return Verdict(Cause.LEFT, f"{name}{where} left{when} by its own leave message.", self._history(events))
        dead = next((event for event in reversed(events) if event.what == "dead"), None)
        failed = f" failed at {self._moment(dead.at_s)}" if dead is not None else " failed"
        if last.what == "dead":
            text = f"{name}{where}{failed} and was forgotten since: it is no member any more."
            return Verdict(Cause.UNKNOWN, text, self._history(events))
        if last.detail == LEFT_OR_REMOVED:
            text = (
                f"{name}{where}{failed} here, and others have it as left since {self._moment(last.at_s)}: by its own "
                "leave message, which did not come here, or by force-leave."
            )
            return Verdict(Cause.UNKNOWN, text, self._history(events), f"ask another agent: consulpy why {name}")
        by = f" by force-leave at {last.peer}" if last.peer else " by force-leave at another agent"
        text = f"{name}{where}{failed} and was removed at {self._moment(last.at_s)}{by}."
        return Verdict(Cause.FORCE_LEFT, text, self._history(events))

    def _history(self, events: list[TimelineEvent]) -> list[str]:
        return [f"{self._moment(each.at_s)} {each.what} {each.peer} {each.detail}".rstrip() for each in events[-4:]]

    def _own(self, member: Member) -> Verdict:
        conflict = self._conflict(member.name)
        if conflict is not None:
            return self._as_conflict(member.name, conflict)
        slow = self.self_slow()
        return slow or Verdict(Cause.HEALTHY, f"{member.name} is this agent itself, and its timers are on time.")

    def _conflict(self, name: str) -> Refusal | None:
        for refusal in reversed(self._serf.memberlist.evidence.refusals):
            is_of = refusal.name.lower() == name.lower() or refusal.ours.startswith(f"{name} at ")
            if refusal.cause == Cause.NAME_CONFLICT and is_of:
                return refusal if self._clock.seconds() - refusal.at_s < RECENT_S else None
        return None

    def _as_conflict(self, name: str, conflict: Refusal) -> Verdict:
        text = f"Two agents use the name {name}: {conflict.ours} has it, and {conflict.theirs} claims it."
        evidence = [f"{self._moment(conflict.at_s)} {conflict.text}"]
        fix = f"give the agent {conflict.theirs} another node_name (-node)"
        return Verdict(Cause.NAME_CONFLICT, text, evidence, fix)

    def _renamed(self, member: Member) -> Member | None:
        """The living member of another name at the same address, or with the same node id."""
        node_id = member.tags.get("id", "")
        for other in self._serf.members.values():
            if other.name == member.name or other.status is not Status.ALIVE:
                continue
            same_place = (other.address, other.port) == (member.address, member.port)
            if same_place or (node_id and other.tags.get("id", "") == node_id):
                return other
        return None

    def _as_renamed(self, member: Member, other: Member) -> Verdict:
        where = f"{other.address}:{other.port}"
        text = f"The agent that was {member.name} is called {other.name} now, at {where}."
        evidence = [f"{other.name} is alive at {where} with node id {other.tags.get('id', '') or '(none)'}"]
        return Verdict(Cause.RENAMED, text, evidence, f"consulpy force-leave {member.name}")

    def self_slow(self) -> Verdict | None:
        """Whether this agent itself runs late."""
        memberlist, now_s = self._serf.memberlist, self._clock.seconds()
        late = [at_s for at_s in memberlist.late_ticks if now_s - at_s < LATE_WINDOW_S]
        slow = memberlist.evidence.looks_late(now_s - LATE_WINDOW_S)
        alive = memberlist.members.alive_count - 1
        several = memberlist.health_score > 0 and len(slow) >= 2 and 2 * len(slow) > alive
        if len(late) < LATE_TICKS and not several and self._late_timers < LATE_NOW:
            return None
        if self._late_timers >= LATE_NOW:
            late.append(now_s)
        evidence = [f"{self._moment(at_s)} a timer of this agent fired more than 0.25 s late" for at_s in late[-4:]]
        if several:
            evidence.append(f"acks of {len(slow)} of {alive} members came late: {', '.join(sorted(slow)[:5])}")
        text = (
            f"This agent ({self._serf.local_name}) itself runs late (health score {memberlist.health_score}): what it "
            "says of other members is to be distrusted."
        )
        fix = "give this host more CPU and memory, or find what takes them (top, vmstat, the log's slow turns)"
        return Verdict(Cause.SELF_SLOW, text, evidence, fix)

    def _seen(self, member: Member, began_s: float) -> Observations:
        node = self._serf.memberlist.members.by_name.get(member.name)
        record = self._serf.memberlist.evidence.of(member.name)
        failing_since_s = record.failing_since_s if record is not None else None
        heard_s = node.heard_s if node is not None else float("-inf")
        is_new = heard_s > (failing_since_s if failing_since_s is not None else began_s)
        return Observations(
            member.name,
            (member.address, member.port),
            member.status,
            record,
            heard_s if is_new else float("-inf"),
            (node.heard_from or node.address) if node is not None and is_new else "",
            failing_since_s if failing_since_s is not None else began_s,
        )

    # -- by what came back

    async def _by_who_answers(self, member: Member, verdict: Verdict) -> Verdict:
        """The verdict, if an agent answers at the member's address that has another name and is no member here.

        Agents close a connection whose ping names another one. A push/pull without members changes nothing there.
        """
        memberlist, at = self._serf.memberlist, (member.address, member.port)
        answered: Deferred[StreamMessage | None] = Deferred()
        request = push_pull(False, b"", 0, b"")
        memberlist.request(at, request, WHO_S, lambda message, _error: answered.callback(message))
        state = await answered
        if not isinstance(state, PushPull):
            return verdict
        members = map(member_of, memberlist.push_pull_state.members_of(state, self._clock.seconds()))
        there = [each for each in members if (each.address, each.port) == at and each.status is Status.ALIVE]
        if len(there) != 1 or there[0].name == member.name or "role" not in there[0].tags:
            return verdict
        text = f"At {at[0]}:{at[1]}, where {member.name} was, an agent answers that is called {there[0].name}."
        fix = f"start {member.name} there again, or consulpy force-leave {member.name}"
        return Verdict(Cause.RENAMED, text, verdict.evidence, fix)

    def judge(self, seen: Observations, report: PingReport) -> Verdict:
        """The verdict, by what is known and what came back just now."""
        evidence = self._evidence(seen, report)
        found = _answering(seen, report, self._clock.seconds()) if report.acked else _silent(seen, report)
        cause, text, fix = found
        if cause in (Cause.HEALTHY, Cause.SLOW_NODE):
            slow = self.self_slow()
            if slow is not None:
                return slow
        since = "" if cause is Cause.HEALTHY else f" (since {self._moment(seen.since_s)})"
        return Verdict(cause, f"{text}{since}.", [] if cause is Cause.HEALTHY else evidence, fix)

    def _evidence(self, seen: Observations, report: PingReport) -> list[str]:
        now = self._moment(self._clock.seconds())
        sightings = seen.evidence.sightings if seen.evidence is not None else ()
        oldest_s = min(seen.since_s, self._clock.seconds() - LATE_WINDOW_S)
        passed = [f"{self._moment(each.at_s)} {each.text}" for each in sightings if each.at_s >= oldest_s]
        tcp = report.tcp.value if report.tcp is not None else "nothing in time"
        took = f" after {1000 * report.tcp_s:.0f} ms" if report.tcp is TcpResult.ANSWERED else ""
        lines = [
            f"{now} {report.sent} pings to {seen.where}: {len(report.in_time_s)} in time, {len(report.late_s)} late",
            f"{now} ping to {seen.where} by TCP: {tcp}{took}",
        ]
        if report.helpers:
            lines.append(
                f"{now} pings through {_names(report.helpers)}: acked through {_names(report.reached_by)}, "
                f"not through {_names(report.missed_by)}"
            )
        if seen.heard_from:
            lines.append(f"{self._moment(seen.heard_s)} a ping of {seen.name} came by UDP from {seen.heard_from}")
        return passed[-6:] + lines


def _names(names: list[str]) -> str:
    return ", ".join(names) or "none"


_Found = tuple[Cause, str, str]


def _answering(seen: Observations, report: PingReport, now_s: float) -> _Found:
    """Pings are answered: too late, too few, or all is well."""
    name, where, record = seen.name, seen.where, seen.evidence
    loss = report.loss
    if report.tcp is TcpResult.REFUSED or (report.tcp in _NOT_OPENED and loss < LOSS_MOST):
        how = "is refused" if report.tcp is TcpResult.REFUSED else "does not open"
        text = f"{name} answers pings by UDP, and TCP to {where} {how}: no join and no exchange of states is possible"
        return Cause.TCP_BLOCKED, text, f"let TCP to {where} pass, both ways (firewall, security group)"
    late, many = len(report.late_s), 0.2 * report.sent
    lately = record is not None and record.late >= LATE_ACKS and now_s - record.late_at_s < LATE_WINDOW_S
    if late > many or (lately and loss < LOSS_MOST):
        slowest = max(report.late_s, default=0.0)
        text = f"{name} at {where} answers, but often later than the probe timeout ({late} of {report.sent} pings now"
        text += f", the slowest after {slowest:.2f} s)" if late else ")"
        return Cause.SLOW_NODE, text, f"look for CPU, swap or long pauses on the host of {name}"
    if report.sent >= LOSS_TRIES and loss > LOSS_MOST:
        text = f"{100 * loss:.0f} % of {report.sent} pings to {where} by UDP were lost, the other answers came in time"
        return Cause.UDP_LOSS, text, f"look for loss between here and {seen.at[0]} (ping -f, interface errors, queues)"
    if seen.status is Status.FAILED:
        text = f"{name} at {where} answers pings now, and is taken for failed still: it should be back soon"
        return Cause.UNKNOWN, text, "ask again in a minute; consulpy join brings it back at once"
    median_ms = 1000 * sorted(report.in_time_s)[len(report.in_time_s) // 2] if report.in_time_s else 0.0
    return Cause.HEALTHY, f"{name} is alive at {where} and answers by UDP within {median_ms:.1f} ms", ""


def _silent(seen: Observations, report: PingReport) -> _Found:
    """No ping by UDP is answered: what TCP and the others say."""
    name, where, tcp = seen.name, seen.where, report.tcp
    from_elsewhere = bool(seen.heard_from) and seen.heard_from != seen.at[0]
    if tcp is TcpResult.ANSWERED:
        return _udp_only_silent(seen, report)
    if from_elsewhere and tcp is not TcpResult.SILENT:
        text = f"{name} sends from {seen.heard_from} and advertises {where}, where it is not reached"
        return Cause.WRONG_ADVERTISE, text, f"start {name} with -advertise {seen.heard_from} (advertise_addr)"
    if tcp is TcpResult.SILENT:
        if report.reached_by:
            text = (
                f"{name} at {where} answers {', '.join(report.reached_by)}, and here TCP opens and nothing comes back"
            )
            return Cause.UNKNOWN, text, f"look at the network between here and {where}"
        text = f"TCP to {where} opens, and {name} answers no ping by TCP or UDP: the process stands still"
        return (
            Cause.PROCESS_FROZEN,
            text,
            f"look at the process on the host of {name}: stopped (SIGCONT), swapping, stuck",
        )
    if report.reached_by:
        text = (
            f"Neither UDP nor TCP passes between here and {where}, while {', '.join(report.reached_by)} reaches {name}"
        )
        return Cause.PATH_BLOCKED, text, f"let UDP and TCP pass between this host and {where}"
    if tcp is TcpResult.REFUSED:
        text = f"The host of {name} refuses connections at {where}: its agent does not run"
        return (
            Cause.PROCESS_GONE,
            text,
            f"start the agent on the host of {name}; consulpy force-leave {name} if it is gone",
        )
    if tcp is TcpResult.NOT_DECRYPTED:
        text = f"{name} at {where} encrypts gossip with a key that is not in our keyring"
        return Cause.KEY_MISMATCH, text, "give both the same key (encrypt; consulpy keyring -install)"
    if tcp in _NOT_OPENED:
        by = f", neither here nor through {', '.join(report.helpers)}" if report.helpers else ""
        text = f"Nothing comes back from {where} ({name}) by UDP or TCP{by}"
        if seen.heard_from:
            text += ", while its own pings came: a firewall there drops what comes in, or it is gone since"
        return Cause.UNREACHABLE, text, f"look whether the host of {name} runs, and at firewalls on the way to {where}"
    text = f"{name} at {where} answers no ping by UDP; by TCP it is: {tcp.value if tcp is not None else 'not answered'}"
    return Cause.UNKNOWN, text, f"look which program listens at {where} (ss -lnp)"


def _udp_only_silent(seen: Observations, report: PingReport) -> _Found:
    """A ping by TCP was answered, none by UDP."""
    name, where = seen.name, seen.where
    pass_udp = f"let UDP to and from {where} pass (firewall, security group)"
    if report.unadvertised_acked:
        text = f"Answers by UDP reach us, but not at the address that this agent advertises; {name} is at {where}"
        return Cause.WRONG_ADVERTISE, text, "start this agent with an -advertise address at which it is reached"
    if seen.heard_from:
        text = (
            f"{name} answers by TCP and its own datagrams reach us, but none of our pings to {where} comes back: "
            f"UDP passes from {name} to here only"
        )
        return Cause.UDP_ONE_WAY, text, pass_udp
    text = f"{name} answers by TCP, and none of {report.sent} pings by UDP to {where} came back"
    return Cause.UDP_BLOCKED, text, pass_udp
