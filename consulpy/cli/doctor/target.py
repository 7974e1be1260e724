"""Tries an address to join from this process, while no agent runs here: with a port of its own, and without keys."""

from random import Random
from typing import Any

from consulpy.diagnosis.causes import Cause, Finding, Verdict


def target_findings(address: str, limit_s: float) -> list[Finding]:
    """Findings about a join to `address`, as far as they can be made without an agent."""
    from twisted.internet import reactor  # noqa: TID251 - this process is no agent
    from twisted.internet.defer import CancelledError, Deferred, TimeoutError  # noqa: A004

    from consulpy.agent.features.diagnosis import explain_target, root_cause
    from consulpy.agent.process.monotonic import use_monotonic_time
    from consulpy.memberlist.config import MemberlistConfig
    from consulpy.memberlist.transport import ClientTransport
    from consulpy.serf.config import SerfConfig
    from consulpy.serf.machine import Serf

    running: Any = reactor
    use_monotonic_time(running)
    found: list[Finding] = []

    def begin() -> None:
        config = MemberlistConfig.lan(name="", advertise=("", 0))  # it never starts, and so is no member
        serf = Serf(SerfConfig(tags={}), config, running, Random(), ClientTransport(running, ""), lambda _event: None)
        verdict: Deferred[Verdict] = Deferred.fromCoroutine(explain_target(running, serf, "", address, 8301))
        verdict.addTimeout(limit_s, running)
        verdict.addCallbacks(lambda good: found.append(Finding.of(f"join {address}", good)), failed)
        verdict.addBoth(lambda _: running.stop())

    def failed(failure: Any) -> None:
        error = root_cause(failure)
        why = f"no result in {limit_s:g} s" if isinstance(error, (CancelledError, TimeoutError)) else str(error)
        text = f"The join to {address} could not be looked at: {why or type(error).__name__}."
        found.append(Finding(f"join {address}", "warn", Cause.UNKNOWN, text, "run consulpy doctor -target again"))

    running.callWhenRunning(begin)
    running.run(installSignalHandlers=False)
    return found
