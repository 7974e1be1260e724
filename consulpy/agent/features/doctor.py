"""The checks of `doctor` that the agent itself makes: data directory, joins, members, servers and their leader."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThreadPool

from consulpy.agent.features.diagnosis import Check, explain_target, moment
from consulpy.agent.features.servers_check import ServersCheck
from consulpy.agent.process.data_dir_check import examine
from consulpy.diagnosis.causes import FINE, Cause, Finding, Verdict
from consulpy.diagnosis.member import RECENT_S, MemberDiagnosis
from consulpy.diagnosis.pings import PingReport, PingRound
from consulpy.memberlist.evidence import Refusal, TcpResult
from consulpy.serf.machine import Serf
from consulpy.serf.members import Member, Status

if TYPE_CHECKING:
    from consulpy.agent.parts import AgentParts

#: How many members of each kind are looked at: those that are not well, those that live.
MEMBERS_MAX: Final = 10
#: How many addresses of `retry_join` and `start_join` are looked at.
JOINS_MAX: Final = 5
#: Age of a member's ping, in seconds, up to which it shows that our advertised address leads to us.
HEARD_S: Final = 60.0
#: Two living members with one node id are two agents if both joined longer ago than this, in seconds.
SHARED_ID_S: Final = 15.0


def checks(agent: "AgentParts", reactor: Any) -> Iterator[Check]:
    """All checks: name, and what gives the findings."""
    lan = agent.lan
    members = MembersCheck(lan, reactor)
    yield "agent", members.own()
    yield "data-dir", _data_dir(agent, reactor)
    yield "refusals", members.refusals()
    for member in members.unwell():
        yield (check := f"member {member.name}"), members.verdict(check, member)
    for member in members.living():
        yield (check := f"gossip {member.name}"), members.verdict(check, member)
    yield "joins", joins(agent, reactor)
    yield "servers", ServersCheck(agent, reactor).run()


async def _data_dir(agent: "AgentParts", reactor: Any) -> list[Finding]:
    path = agent.config.data_dir
    if path is None:
        return [Finding.passed("data-dir", "This agent stores nothing (-dev).")]
    verdict: Verdict = await deferToThreadPool(reactor, reactor.getThreadPool(), examine, path)
    finding = Finding.of("data-dir", verdict)
    if verdict.evidence and verdict.cause is Cause.DISK_FULL:  # there is still some space
        finding.status = "warn"
    return [finding]


class MembersCheck:
    """Members of the LAN pool, as `why` judges them, and this agent among them."""

    def __init__(self, serf: Serf, reactor: Any) -> None:
        self._serf = serf
        self._reactor = reactor
        self._diagnosis = MemberDiagnosis(serf, reactor, moment(reactor))
        others = [member for member in serf.members.values() if member.name != serf.local_name]
        evidence = serf.memberlist.evidence
        suspects = {node.name for node in serf.memberlist.members.by_name.values() if node.state == node.state.SUSPECT}
        self._unwell = [
            member
            for member in others
            if member.status is Status.FAILED
            or (member.status is Status.ALIVE and (member.name in suspects or evidence.of(member.name) is not None))
        ]
        self._living = [member for member in others if member.status is Status.ALIVE and member not in self._unwell]

    def unwell(self) -> list[Member]:
        """Members that failed, are suspected, or that a direct probe failed for lately."""
        return sorted(self._unwell, key=lambda member: member.status is Status.ALIVE)[:MEMBERS_MAX]

    def living(self) -> list[Member]:
        """A sample of the members that are alive."""
        rng = self._serf.rng
        return self._living if len(self._living) <= MEMBERS_MAX else rng.sample(self._living, MEMBERS_MAX)

    async def verdict(self, check: str, member: Member) -> list[Finding]:
        """The verdict of `why`; for a member without a fault, whether large datagrams pass too."""
        verdict, report = await self._diagnosis.examine(member.name, watch_self=False)
        if verdict.cause in (Cause.HEALTHY, Cause.SELF_SLOW) and report is not None and report.only_large_lost:
            where = f"{member.address}:{member.port}"
            text = f"Small datagrams to {member.name} at {where} pass, those of 1,300 bytes do not."
            fix = f"raise the MTU of the way to {where} (tunnel, VPN) to 1,500, or let fragments pass"
            return [Finding(check, "fail", Cause.LARGE_DATAGRAMS_LOST, text, fix)]
        return [Finding.of(check, verdict)]

    async def own(self) -> list[Finding]:
        """Whether this agent runs on time, and is where it says that it is."""
        slow = self._diagnosis.self_slow()
        found = [Finding.of("agent", slow or Verdict(Cause.HEALTHY, "The agent answers, and its timers are on time."))]
        return [*found, await self._advertised()]

    async def _advertised(self) -> Finding:
        name, own = "advertise", self._serf.local_member
        where = f"{own.address}:{own.port}"
        now_s, nodes = self._reactor.seconds(), self._serf.memberlist.members
        if any(now_s - node.heard_s < HEARD_S for node in nodes.by_name.values()):
            return Finding.passed(name, f"Members reach this agent at {where}.")
        at = (own.address, own.port)
        report: PingReport = await PingRound(
            self._serf.memberlist, self._reactor, own.name, at, helpers=False, short=True
        ).run()
        if report.acked or report.unadvertised_acked or report.tcp is TcpResult.ANSWERED:
            return Finding.passed(name, f"The advertised address {where} leads to this agent.")
        text = f"This agent advertises {where}, and that address does not lead to it."
        return Finding(name, "fail", Cause.WRONG_ADVERTISE, text, "set advertise_addr to an address of this host")

    async def refusals(self) -> list[Finding]:
        """Peers that were refused in the last 10 minutes, each cause and peer once."""
        now_s, shown = self._reactor.seconds(), moment(self._reactor)
        recent: dict[tuple[str, str], Refusal] = {}
        for refusal in self._serf.memberlist.evidence.refusals:
            if refusal.cause and now_s - refusal.at_s < RECENT_S:
                recent[refusal.cause, refusal.theirs or refusal.name] = refusal
        shared = self._shared_ids()
        if not recent and not shared:
            return [Finding.passed("refusals", "No peer was refused in the last 10 minutes.")]
        return [
            *shared,
            *self._refused(recent, shown),
        ]

    def _refused(self, recent: dict[tuple[str, str], Refusal], shown: Callable[[float], str]) -> list[Finding]:
        return [
            Finding(
                "refusals",
                "fail",
                Cause(each.cause),
                f"At {shown(each.at_s)} from {each.name}: {each.text}",
                _fix(each),
            )
            for each in list(recent.values())[-MEMBERS_MAX:]
        ]

    def _shared_ids(self) -> list[Finding]:
        """Living members with one node id: agents of a cloned image that joined together, before a member held it.

        A member that was renamed a moment ago is none: it has its address still.
        """
        first: dict[str, Member] = {}
        found: list[Finding] = []
        now_s = self._reactor.seconds()
        for member in [self._serf.local_member, *self._living]:
            node_id = member.tags.get("id", "").lower()
            other = first.setdefault(node_id, member)
            if not node_id or other is member or other.address == member.address:
                continue
            if now_s - max(member.since_s, other.since_s) < SHARED_ID_S:
                continue  # one of them may be gone, which is not known yet
            text = f"{other.name} at {other.address} and {member.name} at {member.address} have one node id, {node_id}."
            fix = f"delete the file node-id in the data_dir of {member.name} and start it anew"
            found.append(Finding("node ids", "fail", Cause.NODE_ID_CONFLICT, text, fix))
        return found[:MEMBERS_MAX]


def _fix(refusal: Refusal) -> str:
    peer = refusal.theirs or refusal.name
    return {
        "name-conflict": f"give the agent {peer} another node_name (-node)",
        "node-id-conflict": f"delete the file node-id in the data_dir of {peer} and start it anew",
        "wrong-datacenter": f"start the agent at {refusal.name} with datacenter = {refusal.ours!r}",
        "key-mismatch": f"give the agent at {refusal.name} a key of our keyring (encrypt; consulpy keyring -install)",
        "encryption-mismatch": f"set the same encrypt key here and at {refusal.name}",
    }.get(refusal.cause, f"look into the log of {peer}")


async def joins(agent: "AgentParts", reactor: Any) -> list[Finding]:
    """The addresses that this agent is to join and that are no members."""
    config, lan = agent.config, agent.lan
    addresses = list(dict.fromkeys((*config.retry_join, *config.start_join)))
    if not addresses:
        return [Finding.passed("joins", "No addresses to join are configured.")]
    waiting = [Deferred.fromCoroutine(_join(agent, reactor, address)) for address in addresses[:JOINS_MAX]]
    found: list[Finding | None] = await gatherResults(waiting, consumeErrors=True)
    findings = [finding for finding in found if finding is not None]
    alone = all(member.status is not Status.ALIVE or member is lan.local_member for member in lan.members.values())
    tried = agent.join_status
    if alone and tried.attempts and not tried.worked:
        text = f"No try to join {', '.join(addresses)} has worked in {tried.attempts} attempts: {tried.last_error}"
        fix = findings[0].fix if findings else f"see why {addresses[0]} refuses this agent, or join another address"
        findings.insert(0, Finding("joins", "fail", Cause.JOIN_FAILING, text, fix))
    return findings or [Finding.passed("joins", f"All of {', '.join(addresses)} are members.")]


async def _join(agent: "AgentParts", reactor: Any, address: str) -> Finding | None:
    """The verdict about an address; None if a member is there, which has a finding of its own, or nothing is wrong."""
    port = agent.config.ports.serf_lan
    verdict = await explain_target(reactor, agent.lan, agent.datacenter, address, port, strangers_only=True)
    return None if verdict.cause in FINE else Finding.of(f"join {address}", verdict)
