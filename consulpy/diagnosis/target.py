"""Judges an address to join, as a join would find it, without joining: at most 3.5 seconds.

A push/pull with no members brings the other side's members and leaves nothing there; pings without a node name show
UDP. Source: docs/wire/gossip.md 4 and 9; docs/diagnosis.md.
"""

from dataclasses import dataclass
from typing import Final

from twisted.internet.defer import Deferred

from consulpy.clock import Clock, cancel_timer
from consulpy.diagnosis.causes import Cause, Verdict
from consulpy.diagnosis.fingerprint import DEFAULT_PORTS, identify
from consulpy.diagnosis.pings import PingReport, PingRound
from consulpy.errors import MergeRefused, WireError
from consulpy.memberlist import stream
from consulpy.memberlist.evidence import TcpResult, tcp_result, wire_result
from consulpy.memberlist.machine import Memberlist
from consulpy.memberlist.member import Address, State
from consulpy.memberlist.messages import Err
from consulpy.memberlist.stream import PushPull, StreamMessage
from consulpy.rpc.merge import is_wan_name
from consulpy.serf.members import Member, Status
from consulpy.serf.membership import member_of

#: How long the push/pull may take, in seconds.
EXCHANGE_S: Final = 1.6
#: If it has brought nothing after this, and no ping either, it is looked what else listens there; in seconds.
IDENTIFY_AFTER_S: Final = 0.3
#: Where that brings nothing, acks of pings are waited for so long from then on, in seconds.
ACKS_S: Final = 0.5
#: The usual port of the LAN pool.
GOSSIP_PORT: Final = 8301
#: Above this share datagrams are lost.
LOSS_MOST: Final = 0.15


@dataclass(slots=True)
class LocalSide:
    """The side that would join: its datacenter, the members it knows, and whether it `refuses` theirs.

    `datacenter` is empty where it does not matter: no agent runs, or the pool is the WAN's.
    """

    name: str
    datacenter: str
    members: dict[str, Member]
    #: Whether there is a server here that was started to lead alone.
    leads_alone: list[str]


@dataclass(slots=True)
class _Answer:
    result: TcpResult
    message: StreamMessage | None
    error: str
    #: What it is, where that is known not to be gossip.
    what: str = ""


class TargetDiagnosis:
    """Judges addresses. `observer` asks (`Memberlist.observer`), so that no address becomes a member by being asked.

    `memberlist`: the side that would join, for its checks; None where no agent runs.
    """

    def __init__(self, observer: Memberlist, clock: Clock, own: LocalSide, memberlist: Memberlist | None) -> None:
        self._observer = observer
        self._memberlist = memberlist
        self._clock = clock
        self._own = own

    async def explain(self, at: Address) -> Verdict:
        """The verdict about a join to `at`."""
        pings = PingRound(self._observer, self._clock, "", at, helpers=False, tcp=False)
        rounds = pings.run()
        answer = await self._state_of(at, pings)
        if not isinstance(answer.message, PushPull):
            self._clock.callLater(0 if answer.what else ACKS_S, pings.stop)  # whether it answers at all is enough
        report = await rounds
        evidence = [
            f"push/pull with {_shown(at)}: {answer.error or answer.result.value}",
            f"{report.sent} pings to {_shown(at)} by UDP: {report.acked} acked",
            f"{report.large_sent} pings of 1,300 bytes: {report.large_acked} acked",
        ]
        if isinstance(answer.message, PushPull):
            verdict = await self._of_state(at, answer.message, report)
        else:
            verdict = await self._without_state(at, answer, report)
        verdict.evidence = [] if verdict.cause is Cause.HEALTHY else [*verdict.evidence, *evidence]
        return verdict

    def _state_of(self, at: Address, pings: PingRound) -> "Deferred[_Answer]":
        """The target's member list, by a push/pull that sends no member of ours; or what it is instead of gossip."""
        found: Deferred[_Answer] = Deferred()

        def done(message: StreamMessage | None, error: Exception | None) -> None:
            cancel_timer(look)
            result = tcp_result(error)
            if isinstance(message, Err):
                result = wire_result(WireError(message.error))
            text = message.error if isinstance(message, Err) else str(error or "")
            answered(_Answer(result, message, text))

        def identified(what: str) -> None:
            if what:
                answered(_Answer(TcpResult.SILENT, None, "", what))

        def answered(answer: _Answer) -> None:
            if not found.called:
                found.callback(answer)

        def look_closer() -> None:
            if not pings.report.acked and not found.called:
                identify(self._observer.exchange_raw, at).addCallback(identified)

        look = self._clock.callLater(IDENTIFY_AFTER_S, look_closer)
        self._observer.request(at, stream.push_pull(False, b"", 0, b""), EXCHANGE_S, done)
        return found

    # -- no state came

    async def _without_state(self, at: Address, answer: _Answer, report: PingReport) -> Verdict:
        where, result = _shown(at), answer.result
        if answer.what:
            return await self._no_gossip(at, answer)
        by_key = self._by_key(where, result)
        if by_key is not None:
            return by_key
        if report.acked and result in (TcpResult.REFUSED, TcpResult.NOT_OPENED):
            how = "is refused" if result is TcpResult.REFUSED else "does not open"
            text = f"{where} answers pings by UDP, and TCP {how}: no join is possible."
            return Verdict(
                Cause.TCP_BLOCKED, text, fix=f"let TCP to {where} pass, both ways (firewall, security group)"
            )
        if result is TcpResult.REFUSED:
            return self._refused(at)
        if result is TcpResult.NO_ROUTE:
            kind = "IPv6 " if ":" in at[0] else ""
            text = f"This host has no way to the {kind}address {at[0]}: {answer.error.rstrip('.')}."
            return Verdict(
                Cause.NO_ROUTE, text, fix=f"give this host a route to {at[0]} (ip route), or use another address"
            )
        if result is TcpResult.NOT_OPENED:
            text = f"Nothing comes back from {where} by TCP or UDP: the host is down, or a firewall drops everything."
            return Verdict(
                Cause.UNREACHABLE, text, fix=f"look at the host {at[0]} and at firewalls on the way to {where}"
            )
        if not report.acked:
            return await self._no_gossip(at, answer)
        text = f"{where} answers pings by UDP, and a join by TCP ends with: {answer.error or result.value}."
        return Verdict(Cause.UNKNOWN, text, fix=f"look into the log of the agent at {where}")

    def _by_key(self, where: str, result: TcpResult) -> Verdict | None:
        encrypts = self._observer.keyring is not None
        if result is TcpResult.NOT_DECRYPTED and encrypts:
            text = f"Both sides encrypt gossip, and none of our keys opens what {where} sends."
            return Verdict(
                Cause.KEY_MISMATCH, text, fix="give both the same key (encrypt; consulpy keyring -install KEY)"
            )
        if result is TcpResult.NOT_DECRYPTED:
            if self._memberlist is None:
                text = f"{where} encrypts gossip; whether our key fits can't be seen while no agent runs here."
                return Verdict(
                    Cause.UNKNOWN, text, fix="start the agent with the encrypt key of that cluster, and ask again"
                )
            text = f"{where} encrypts gossip, and this agent does not."
            return Verdict(
                Cause.ENCRYPTION_MISMATCH, text, fix="start this agent with the key of that cluster (encrypt)"
            )
        if result is TcpResult.NOT_ENCRYPTED:
            text = f"This agent encrypts gossip, and {where} does not."
            return Verdict(Cause.ENCRYPTION_MISMATCH, text, fix=f"start the agent at {where} with our key (encrypt)")
        return None

    def _refused(self, at: Address) -> Verdict:
        where = _shown(at)
        for member in self._own.members.values():
            if (member.address, member.port) == at and member.status is not Status.LEFT:
                text = f"The host of {member.name} refuses connections at {where}: its agent does not run."
                return Verdict(Cause.PROCESS_GONE, text, fix=f"start the agent of {member.name} at {where}")
        text = f"The host {at[0]} refuses connections at port {at[1]}: nothing listens there."
        fix = f"start an agent at {at[0]}, or name the port where it gossips"
        if at[1] != GOSSIP_PORT:
            fix += f" ({GOSSIP_PORT} by default) instead of {at[1]}"
        return Verdict(Cause.NOTHING_LISTENS, text, fix=fix)

    async def _no_gossip(self, at: Address, answer: _Answer) -> Verdict:
        """TCP opens and speaks no gossip: say what it is."""
        where = _shown(at)
        what = answer.what or await identify(self._observer.exchange_raw, at)
        fix = f"join the gossip port of that agent instead: {_shown((at[0], GOSSIP_PORT))}"
        if at[1] == GOSSIP_PORT:
            fix = f"look which program holds {where} (ss -lnp), and join the port where the agent gossips (serf_lan)"
        if what:
            return Verdict(Cause.NOT_GOSSIP, f"What listens at {where} is {what}, no gossip.", fix=fix)
        for member in self._own.members.values():
            if (member.address, member.port) == at and member.status is Status.ALIVE:
                text = (
                    f"TCP to {where} opens, and {member.name} answers nothing: {answer.error or answer.result.value}."
                )
                return Verdict(Cause.PROCESS_FROZEN, text, fix=f"look at the agent's process on {at[0]}")
        if at[1] in DEFAULT_PORTS or answer.result in (TcpResult.CLOSED, TcpResult.GARBLED):
            usual = DEFAULT_PORTS.get(at[1])
            guess = f" (port {at[1]} is {usual} by default)" if usual else ""
            return Verdict(Cause.NOT_GOSSIP, f"What listens at {where} does not speak gossip{guess}.", fix=fix)
        text = f"TCP to {where} opens, and nothing is answered there: a process that stands still, or no gossip."
        return Verdict(Cause.UNKNOWN, text, fix=f"look which program listens at {where} (ss -ltnp)")

    # -- the target's state

    async def _of_state(self, at: Address, state: PushPull, report: PingReport) -> Verdict:
        where, nodes = _shown(at), self._observer.push_pull_state.members_of(state, self._clock.seconds())
        if not nodes:  # an agent names itself at least
            text = f"What listens at {where} answers with no member, as a program does that sends back what it gets."
            usual = "" if at[1] == GOSSIP_PORT else f" ({GOSSIP_PORT} by default)"
            fix = f"join the gossip port of an agent{usual} instead of {where}"
            return Verdict(Cause.NOT_GOSSIP, text, fix=fix)
        members = {node.name: member_of(node) for node in nodes}
        living = {node.name: members[node.name] for node in nodes if node.state in (State.ALIVE, State.SUSPECT)}
        target = _sender(at, living)
        shown = [target] if target is not None else list(living.values())
        found = self._by_pool(where, shown, living)
        if found is not None:
            return found
        if self._memberlist is not None:
            try:
                self._memberlist.check_state(state)
            except MergeRefused as error:
                return _of_refusal(where, error)
            found = self._by_leaders(where, living)
            if found is not None:
                return found
        if target is not None and target.address != at[0]:
            found = await self._by_advertised(at, target)
            if found is not None:
                return found
        return _by_datagrams(where, report, target)

    def _by_pool(self, where: str, shown: list[Member], living: dict[str, Member]) -> Verdict | None:
        """Whether it is the LAN pool of our datacenter's agents at all."""
        roles = {member.tags.get("role", "") for member in shown}
        if shown and not roles & {"consul", "node"}:
            text = (
                f"{where} speaks gossip and is no Consul agent ({shown[0].name} has no role tag): plain Serf, perhaps."
            )
            return Verdict(Cause.NOT_CONSUL, text, fix=f"join a Consul agent; {where} is other software")
        if living and all(is_wan_name(member) for member in living.values()):
            text = f"{where} is the gossip port of the WAN pool ({shown[0].name}): only servers join it."
            host = where.rpartition(":")[0]
            return Verdict(Cause.WAN_PORT, text, fix=f"join the LAN port: {host}:8301 (WAN pool: consulpy join -wan)")
        ours = self._own.datacenter
        theirs = next(
            (m.tags.get("dc", "") for m in shown if m.tags.get("role") and m.tags.get("dc", "") != ours), None
        )
        if ours and theirs is not None:
            text = f"{where} belongs to datacenter {theirs!r}, and this agent to {ours!r}."
            fix = f"start this agent with datacenter = {theirs!r}, or join servers over the WAN (consulpy join -wan)"
            return Verdict(Cause.WRONG_DATACENTER, text, fix=fix)
        return None

    def _by_leaders(self, where: str, living: dict[str, Member]) -> Verdict | None:
        theirs = [name for name, member in living.items() if "bootstrap" in member.tags]
        others = [name for name in theirs if name not in self._own.members and name != self._own.name]
        ours = [name for name in self._own.leads_alone if name not in living]
        if not others or not ours:
            return None
        text = (
            f"{ours[0]} here and {others[0]} at {where} were both started to lead alone (bootstrap): joined, both lead."
        )
        fix = f"start {ours[0]} or {others[0]} anew: with an empty data_dir, without bootstrap (bootstrap_expect = 1)"
        return Verdict(Cause.TWO_BOOTSTRAPPED, text, fix=fix)

    async def _by_advertised(self, at: Address, target: Member) -> Verdict | None:
        """Findings about a member that is reached here, but may not be at the address that it advertises."""
        advertised = (target.address, target.port)
        report = await PingRound(self._observer, self._clock, "", advertised, helpers=False, short=True).run()
        if report.acked or report.tcp is TcpResult.ANSWERED:
            return None
        text = f"{target.name} is reached at {_shown(at)} and advertises {_shown(advertised)}, where nothing answers."
        return Verdict(Cause.WRONG_ADVERTISE, text, fix=f"start {target.name} with -advertise {at[0]} (advertise_addr)")


def _by_datagrams(where: str, report: PingReport, target: Member | None) -> Verdict:
    name = f"{target.name} at {where}" if target is not None else where
    if not report.acked:
        text = f"{name} answers by TCP, and none of {report.sent} pings by UDP came back."
        return Verdict(Cause.UDP_BLOCKED, text, fix=f"let UDP to and from {where} pass (firewall, security group)")
    if report.loss > LOSS_MOST and report.sent >= 20:
        text = f"{100 * report.loss:.0f} % of {report.sent} pings to {name} by UDP were lost."
        return Verdict(Cause.UDP_LOSS, text, fix=f"look for loss between here and {where}")
    if report.only_large_lost:
        text = f"Small datagrams to {name} pass, those of 1,300 bytes do not: memberlist sends up to 1,400."
        fix = f"raise the MTU of the way to {where} (tunnel, VPN) to 1,500, or let fragments pass"
        return Verdict(Cause.LARGE_DATAGRAMS_LOST, text, fix=fix)
    return Verdict(Cause.HEALTHY, f"{name} can be joined: TCP opens, {report.acked} of {report.sent} pings came back.")


def _of_refusal(where: str, error: MergeRefused) -> Verdict:
    cause = Cause(error.cause) if error.cause else Cause.UNKNOWN
    fixes = {
        Cause.NAME_CONFLICT: f"give {' or '.join(filter(None, (error.ours, error.theirs)))} another node_name (-node)",
        Cause.NODE_ID_CONFLICT: f"delete node-id in the data_dir of {error.theirs or 'one of them'} and start it anew",
        Cause.WAN_PORT: f"join the LAN port (8301) of the host at {where}",
        Cause.WRONG_DATACENTER: f"start this agent with datacenter = {error.theirs!r}, or join over the WAN",
    }
    text = f"A join to {where} would be refused: {error}"
    return Verdict(cause, text, fix=fixes.get(cause, f"look at the versions of the agents at {where}"))


def _sender(at: Address, living: dict[str, Member]) -> Member | None:
    """The member that sent the state: a push/pull does not name it."""
    exact = [member for member in living.values() if (member.address, member.port) == at]
    alike = [member for member in living.values() if member.port == at[1]]
    for found in (exact, list(living.values()), alike):
        if len(found) == 1:
            return found[0]
    return None


def _shown(at: Address) -> str:
    return f"[{at[0]}]:{at[1]}" if ":" in at[0] else f"{at[0]}:{at[1]}"
