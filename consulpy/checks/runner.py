"""Runs checks: each at its own interval, on its own, so that one that hangs never delays another.

A first run comes after a random part of the interval, so that many checks registered at once do not run at once. A run
has a timeout; the next one starts one interval after the last has ended. A check that is stopped reports no more.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Final, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from consulpy.checks.agenttls import AgentTls
from consulpy.checks.alias import AliasCheck, AliasSource
from consulpy.checks.dial import Dialer
from consulpy.checks.result import OUTPUT_MAX_BYTES, CheckFailed, Probe, Result
from consulpy.checks.ttl import TTLCheck
from consulpy.clock import Clock, Timer
from consulpy.errors import BadRequest
from consulpy.structs.check import CRITICAL
from consulpy.structs.definition import CheckType

_log = Logger()

#: No check runs more often, in seconds.
INTERVAL_MIN_S: Final = 1.0
#: How long a run of a check that names no timeout may take, in seconds; also never longer than the interval.
TIMEOUT_S: Final = 10.0
SCRIPT_TIMEOUT_S: Final = 30.0
_SECOND_NS: Final = 1_000_000_000

Report = Callable[[str, str], None]


class Running(Protocol):
    """A check that runs."""

    def stop(self) -> None:
        """End it."""

    def update(self, status: str, output: str) -> None:
        """Only for TTL checks: somebody says how it stands."""


@dataclass(slots=True)
class Thresholds:
    """How many results in a row it takes before a status is reported."""

    success_before_passing: int
    failures_before_critical: int
    successes: int = 0
    failures: int = 0

    def passes(self, status: str) -> bool:
        """Note a result; whether it is to be reported."""
        if status == CRITICAL:
            self.failures, self.successes = self.failures + 1, 0
            return self.failures >= self.failures_before_critical
        self.successes, self.failures = self.successes + 1, 0
        return self.successes >= self.success_before_passing


class IntervalCheck:
    """Runs a probe at an interval until it is stopped."""

    def __init__(
        self, check_id: str, probe: Probe, interval_s: float, thresholds: Thresholds, report: Report, clock: Clock
    ) -> None:
        self._check_id = check_id
        self._probe = probe
        self._interval_s = max(interval_s, INTERVAL_MIN_S)
        self._thresholds = thresholds
        self._report = report
        self._clock = clock
        self._stopped = False
        self._timer: Timer | None = None
        self._run: Deferred[Result] | None = None

    def start(self, rng: Random) -> None:
        """Begin, after a random part of the interval."""
        self._timer = self._clock.callLater(rng.uniform(0, self._interval_s), self._start_run)

    def stop(self) -> None:
        """End; a run under way is given up and reports nothing."""
        self._stopped = True
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
        run, self._run = self._run, None
        if run is not None:
            run.cancel()

    def update(self, status: str, output: str) -> None:  # noqa: ARG002 - the form of `Running`
        """Nobody may say how this check stands."""
        raise AssertionError("only TTL checks are updated by others")

    def _start_run(self) -> None:
        try:
            run = self._probe.run()
        except CheckFailed as error:
            self._ended(error.result())
            return
        except Exception as error:  # no descriptor is free, or our own fault: the next run comes all the same
            _log.failure("check {check} could not begin", check=self._check_id)
            self._ended(Result(CRITICAL, str(error)))
            return
        self._run = run
        self._timer = self._clock.callLater(self._probe.timeout_s, self._give_up, run)
        run.addCallbacks(self._finished, self._failed, callbackArgs=(run,), errbackArgs=(run,))
        run.addErrback(lambda failure: _log.failure("check {check} broke", failure, check=self._check_id))

    def _give_up(self, run: Deferred[Result]) -> None:
        if self._run is run:
            self._run = None
            run.cancel()
            self._ended(self._probe.timed_out())

    def _finished(self, result: Result, run: Deferred[Result]) -> None:
        if self._run is run and not self._stopped:
            self._ended(result)

    def _failed(self, failure: Failure, run: Deferred[Result]) -> None:
        if self._run is not run or self._stopped:
            failure.trap(CancelledError, Exception)
            return
        error = failure.value
        if not isinstance(error, CheckFailed | CancelledError):
            _log.failure("check {check} failed unexpectedly", failure, check=self._check_id)
        self._ended(Result(CRITICAL, str(error)))

    def _ended(self, result: Result) -> None:
        self._run = None
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = self._clock.callLater(self._interval_s, self._start_run)
        if self._thresholds.passes(result.status):
            # a definition may hold what is no Unicode text, and its parts stand in the output
            self._report(result.status, result.output.encode("utf-8", "replace").decode())


class Runner:
    """Starts checks. `reactor`: for their connections, processes and timers. `aliases`: what alias checks look at.

    `docker_host`: where Docker listens, as in its variable of that name. A type whose library is missing is refused
    with `BadRequest`.
    """

    def __init__(
        self,
        reactor: Any,
        rng: Random,
        aliases: AliasSource,
        *,
        clock: Clock | None = None,
        docker_host: str = "",
        output_max_bytes: int = OUTPUT_MAX_BYTES,
        tls: AgentTls | None = None,
    ) -> None:
        self._tls = tls
        self._output_max_bytes = output_max_bytes
        self._reactor = reactor
        self._clock: Clock = clock or reactor
        self._rng = rng
        self._aliases = aliases
        self._docker_host = docker_host or "unix:///var/run/docker.sock"
        self._dialer = Dialer(reactor)

    def start(self, check_id: str, kind: CheckType, service_id: str, report: Report) -> Running:  # noqa: ARG002
        """Run a check until it is stopped; `report(status, output)` after each run that counts."""
        own = kind.output_max_size  # a check may keep less than the agent allows, never more
        most = min(own, self._output_max_bytes) if own > 0 else self._output_max_bytes
        kind = replace(kind, output_max_size=most)
        if kind.kind == "ttl":
            return TTLCheck(kind.ttl / _SECOND_NS, kind.output_max_size, report, self._clock)
        if kind.kind == "alias":
            return AliasCheck(check_id, kind.alias_node, kind.alias_service, self._aliases, report, self._clock)
        thresholds = Thresholds(kind.success_before_passing, kind.failures_before_critical)
        probe, interval_s = self._probe(kind), kind.interval / _SECOND_NS
        check = IntervalCheck(check_id, probe, interval_s, thresholds, report, self._clock)
        check.start(self._rng)
        return check

    def check_type(self, kind: CheckType) -> None:
        """Raise `BadRequest` for a check that could never run here: a library that is missing.

        What is no URL or no address is taken, as by Consul, and is critical when it is run.
        """
        if kind.kind in ("ttl", "alias"):
            return
        try:
            self._probe(kind).check()
        except CheckFailed as error:
            raise BadRequest(f"Invalid check: {error}") from None

    def _probe(self, kind: CheckType) -> Probe:
        timeout_s = self._timeout_s(kind)
        # each kind is imported when it is first used: an agent without such checks does not pay for it
        match kind.kind:
            case "http":
                from consulpy.checks.http import HttpProbe

                return HttpProbe(self._reactor, self._dialer, kind, timeout_s, self._tls)
            case "tcp":
                from consulpy.checks.tcp import TcpProbe

                return TcpProbe(self._dialer, kind.tcp, timeout_s)
            case "grpc":
                from consulpy.checks.grpc import GrpcProbe

                return GrpcProbe(self._dialer, kind, timeout_s, self._tls)
            case "docker":
                from consulpy.checks.docker import DockerProbe

                return DockerProbe(self._reactor, self._dialer, self._docker_host, kind, timeout_s)
            case "script":
                from consulpy.checks.script import ScriptProbe

                return ScriptProbe(self._reactor, kind.script_args or [], kind.output_max_size, timeout_s)
        raise BadRequest(f"Invalid check: no such type: {kind.kind!r}")

    @staticmethod
    def _timeout_s(kind: CheckType) -> float:
        if kind.timeout > 0:
            return kind.timeout / _SECOND_NS
        if kind.kind in ("script", "docker"):
            return SCRIPT_TIMEOUT_S
        return min(TIMEOUT_S, max(kind.interval / _SECOND_NS, INTERVAL_MIN_S))
