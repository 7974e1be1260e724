"""Answers `why` and the agent's part of `doctor`: judges members and addresses with this agent's own pools and keys."""

from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from random import Random
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred, FirstError, TimeoutError, gatherResults  # noqa: A004

from consulpy.agent.features.addresses import JoinAddress, resolve
from consulpy.agent.process.monotonic import wall_clock
from consulpy.clock import Clock
from consulpy.diagnosis.causes import Cause, Finding, Verdict
from consulpy.diagnosis.member import MemberDiagnosis
from consulpy.diagnosis.target import LocalSide, TargetDiagnosis
from consulpy.errors import ConfigError
from consulpy.memberlist.machine import Memberlist
from consulpy.memberlist.member import Address
from consulpy.memberlist.transport import ClientTransport
from consulpy.serf.machine import Serf
from consulpy.serf.members import Status

if TYPE_CHECKING:
    from consulpy.agent.parts import AgentParts

#: A check of `doctor`: its name and its findings.
Check = tuple[str, Awaitable[list[Finding]]]
#: A check that takes longer is given up, in seconds: `doctor` answers within 5.
CHECK_LIMIT_S: Final = 3.8
#: How long a host name may take to resolve, in seconds.
RESOLVE_LIMIT_S: Final = 2.0
#: Addresses of one host name that are looked at.
ADDRESSES_MAX: Final = 3


def moment(clock: Clock) -> Callable[[float], str]:
    """Shows the clock's seconds as a time of day, in UTC."""

    wall_s = wall_clock(clock)

    def shown(at_s: float) -> str:
        return datetime.fromtimestamp(at_s - clock.seconds() + wall_s(), UTC).strftime("%H:%M:%SZ")

    return shown


def own_side(serf: Serf, datacenter: str) -> LocalSide:
    """The local side of a join into `serf`'s pool, for comparison with the target."""
    living = [member for member in serf.members.values() if member.status is Status.ALIVE]
    leaders = [member.name for member in living if "bootstrap" in member.tags]
    return LocalSide(serf.local_name, datacenter, dict(serf.members), leaders)


async def explain_target(
    reactor: Any, serf: Serf, datacenter: str, address: str, default_port: int, *, strangers_only: bool = False
) -> Verdict:
    """Why a join to `address` (as people write it) works or does not.

    `strangers_only`: nothing is asked where a member is, living or failed.
    """
    try:
        parsed = JoinAddress.parse(address, default_port)
    except ConfigError as error:
        return Verdict(Cause.NAME_UNRESOLVED, str(error), [], "write host, host:port or [IPv6]:port")
    try:
        hosts = await resolve(reactor, parsed.host).addTimeout(RESOLVE_LIMIT_S, reactor)
    except (ConfigError, TimeoutError) as error:
        why = str(error) if isinstance(error, ConfigError) else f"no answer in {RESOLVE_LIMIT_S:g} s"
        text = f"The host name {parsed.host} has no address: {why}."
        return Verdict(Cause.NAME_UNRESOLVED, text, [why], f"correct {parsed.host}, or its DNS or /etc/hosts entry")
    own = own_side(serf, datacenter)
    if strangers_only:
        known = {(each.address, each.port): each for each in own.members.values() if each.status is not Status.LEFT}
        found = next((known[host, parsed.port] for host in hosts if (host, parsed.port) in known), None)
        if found is not None:
            return Verdict(Cause.HEALTHY, f"{found.name} at {address} is a member.")
    targets: list[Address] = [(host, parsed.port) for host in hosts[:ADDRESSES_MAX]]
    waiting = [Deferred.fromCoroutine(_explain(reactor, serf.memberlist, own, target)) for target in targets]
    verdicts: list[Verdict] = await gatherResults(waiting, consumeErrors=True)
    fine = (verdict for verdict in verdicts if verdict.cause is Cause.HEALTHY)  # a join needs one that works
    return next(fine, verdicts[0])


async def _explain(reactor: Any, memberlist: Memberlist, own: LocalSide, target: Address) -> Verdict:
    transport = ClientTransport(reactor, "::" if ":" in target[0] else "")
    transport.startService()
    try:
        observer = Memberlist.observer(memberlist.config, reactor, Random(), transport)
        observer.sealer = memberlist.sealer  # its keys of now
        transport.attach(observer)
        return await TargetDiagnosis(observer, reactor, own, memberlist if own.name else None).explain(target)
    finally:
        transport.stopService()


def root_cause(failure: Any) -> BaseException:
    """The error of one of several that ran concurrently, without what Twisted wraps it in."""
    while isinstance(failure.value, FirstError):
        failure = failure.value.subFailure
    return failure.value  # type: ignore[no-any-return]


def without_symptoms(findings: list[Finding]) -> list[Finding]:
    """The findings without those that merely follow: no server is called whose agent is gone."""
    gone = {
        finding.check.partition(" ")[2]
        for finding in findings
        if finding.check.startswith(("member ", "gossip ")) and finding.status == "fail"
    }
    return [
        finding
        for finding in findings
        if finding.status == "pass" or not (finding.check.startswith("rpc ") and finding.check[4:] in gone)
    ]


class AgentDiagnosis:
    """The diagnoses of one agent."""

    def __init__(self, agent: "AgentParts", reactor: Any) -> None:
        self._agent = agent
        self._reactor = reactor

    async def why(self, name: str) -> Verdict:
        """The verdict about a member, which one of the pools knows."""
        pools = [pool for pool in (self._agent.lan, self._agent.wan) if pool is not None]
        found = [MemberDiagnosis(pool, self._reactor, moment(self._reactor)) for pool in pools]
        return await next((each for each in found if each.knows(name)), found[0]).explain(name)

    async def target(self, address: str) -> list[Finding]:
        """Findings about a join to `address`."""
        agent = self._agent
        check = explain_target(self._reactor, agent.lan, agent.datacenter, address, agent.config.ports.serf_lan)
        return await self.within(f"join {address}", self._one(f"join {address}", check))

    async def _one(self, check: str, verdict: Awaitable[Verdict]) -> list[Finding]:
        return [Finding.of(check, await verdict)]

    def run(self, checks: Iterable[Check]) -> "Deferred[list[Finding]]":
        """The findings of all checks, which run concurrently."""
        running = [self.within(name, check) for name, check in checks]
        together: Deferred[list[list[Finding]]] = gatherResults(running, consumeErrors=True)
        return together.addCallback(lambda found: without_symptoms([each for findings in found for each in findings]))

    def within(self, name: str, check: Awaitable[list[Finding]]) -> "Deferred[list[Finding]]":
        """A check's findings; one that does not end in time is unknown, and so is one that fails by our own fault."""

        def failed(failure: Any) -> list[Finding]:
            over = self._reactor.seconds() - began_s >= CHECK_LIMIT_S
            error = root_cause(failure)
            why = f"no result in {CHECK_LIMIT_S:g} s" if over else f"{type(error).__name__} {error}"
            text = f"The check {name} did not end: {why}."
            return [Finding(name, "warn", Cause.UNKNOWN, text, "run consulpy doctor again, and look into the log")]

        began_s = self._reactor.seconds()
        running: Deferred[list[Finding]] = Deferred.fromCoroutine(check)  # type: ignore[arg-type]
        return running.addTimeout(CHECK_LIMIT_S, self._reactor).addErrback(failed)
