"""Runs checks, each at its own interval and independently: one that hangs does not delay another.

The first run starts after a random part of the interval, so that checks registered together are spread. A run has a
timeout; the next one starts one interval after the last has ended. A stopped check reports nothing more.
"""

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from consulpy.checks.agenttls import AgentTls
from consulpy.checks.alias import AliasCheck, AliasSource
from consulpy.checks.dial import Dialer
from consulpy.checks.proxy_environment import Proxies
from consulpy.checks.result import OUTPUT_MAX_BYTES, CheckFailed, Probe, Result
from consulpy.checks.ttl import TTLCheck
from consulpy.clock import Clock, Timer, cancel_timer
from consulpy.errors import BadRequest
from consulpy.log import Logger
from consulpy.structs.check import CRITICAL, WARNING
from consulpy.structs.definition import CheckType
from consulpy.structs.running_check import RunningCheck

_log = Logger()

#: Shortest interval of a check, in seconds.
INTERVAL_MIN_S: Final = 1.0
#: Default timeout of a run in seconds, if the interval is not shorter; and that of scripts and Docker checks.
TIMEOUT_S: Final = 10.0
SCRIPT_TIMEOUT_S: Final = 30.0
_SECOND_NS: Final = 1_000_000_000

Report = Callable[[str, str], None]


class Thresholds:
    """Results in a row that are needed before a status is reported; the first result is reported in any case."""

    def __init__(
        self, success_before_passing: int, failures_before_critical: int, failures_before_warning: int
    ) -> None:
        self._success_before_passing = self._successes = success_before_passing
        self._failures_before_critical = self._failures = failures_before_critical
        self._failures_before_warning = failures_before_warning

    def add(self, status: str) -> str | None:
        """Count a result. The status to report: its own, or warning before critical; None: not yet."""
        if status == CRITICAL:
            self._failures, self._successes = self._failures + 1, 0
            if self._failures >= self._failures_before_critical:
                return CRITICAL
            return WARNING if self._failures >= self._failures_before_warning else None
        self._successes, self._failures = self._successes + 1, 0
        return status if self._successes >= self._success_before_passing else None


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
        """Start, after a random part of the interval."""
        self._timer = self._clock.callLater(rng.uniform(0, self._interval_s), self._start_run)

    def stop(self) -> None:
        """End; a run under way is given up and reports nothing."""
        self._stopped = True
        cancel_timer(self._timer)
        self._timer = None
        run, self._run = self._run, None
        if run is not None:
            run.cancel()

    def update(self, status: str, output: str) -> None:  # noqa: ARG002 - the form of `RunningCheck`
        """See `RunningCheck.update`: not called."""
        raise AssertionError("only TTL checks are updated")

    def _start_run(self) -> None:
        try:
            run = self._probe.run()
        except CheckFailed as error:
            self._ended(error.result())
            return
        except Exception as error:  # no free descriptor, or a bug: the next run is scheduled all the same
            _log.failure("check {check} could not start", check=self._check_id)
            self._ended(Result(CRITICAL, str(error)))
            return
        self._run = run
        self._timer = self._clock.callLater(self._probe.timeout_s, self._timed_out, run)
        run.addCallbacks(self._finished, self._failed, callbackArgs=(run,), errbackArgs=(run,))
        run.addErrback(
            lambda failure: _log.failure(
                "the result of check {check} could not be handled", failure, check=self._check_id
            )
        )

    def _timed_out(self, run: Deferred[Result]) -> None:
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
        cancel_timer(self._timer)
        self._timer = self._clock.callLater(self._interval_s, self._start_run)
        status = self._thresholds.add(result.status)
        if status is not None:
            # the output may contain parts of the definition, which may have lone surrogates
            self._report(status, result.output.encode("utf-8", "replace").decode())


class Runner:
    """Starts checks. `reactor`: for connections, processes and timers. `aliases`: what alias checks read.

    `docker_host`: as in the environment variable DOCKER_HOST. `output_max_bytes`: stored output of a check. `tls`: the
    agent's certificates for checks over TLS. `proxies`: of HTTP checks.
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
        proxies: Proxies | None = None,
    ) -> None:
        self._proxies = proxies or Proxies()
        #: Certificates of checks over TLS; may be replaced.
        self.tls = tls
        self._output_max_bytes = output_max_bytes
        self._reactor = reactor
        self._clock: Clock = clock or reactor
        self._rng = rng
        self._aliases = aliases
        self._docker_host = docker_host or "unix:///var/run/docker.sock"
        self._dialer = Dialer(reactor)

    def start(self, check_id: str, kind: CheckType, service_id: str, report: Report) -> RunningCheck:  # noqa: ARG002
        """Start a check. `report(status, output)` is called after each run that reaches its threshold."""
        own = kind.output_max_size  # a check may set a lower limit than the agent, not a higher one
        limit = min(own, self._output_max_bytes) if own > 0 else self._output_max_bytes
        kind = replace(kind, output_max_size=limit)
        if kind.kind == "ttl":
            return TTLCheck(kind.ttl / _SECOND_NS, kind.output_max_size, report, self._clock)
        if kind.kind == "alias":
            return AliasCheck(check_id, kind.alias_node, kind.alias_service, self._aliases, report, self._clock)
        # without a threshold of its own, warning is critical at once
        warning = kind.failures_before_warning or kind.failures_before_critical
        thresholds = Thresholds(kind.success_before_passing, kind.failures_before_critical, warning)
        probe, interval_s = self._probe(kind), kind.interval / _SECOND_NS
        check = IntervalCheck(check_id, probe, interval_s, thresholds, report, self._clock)
        check.start(self._rng)
        return check

    def check_type(self, kind: CheckType) -> None:
        """Raise `BadRequest` for a type of check that cannot run here, as its library is missing.

        An invalid URL or address is accepted, as by Consul; its runs are critical.
        """
        if kind.kind in ("ttl", "alias"):
            return
        try:
            self._probe(kind).check()
        except CheckFailed as error:
            raise BadRequest(f"Invalid check: {error}") from None

    def _probe(self, kind: CheckType) -> Probe:
        timeout_s = self._timeout_s(kind)
        # imported on first use: agents without such checks do not pay for it
        match kind.kind:
            case "http":
                from consulpy.checks.http import HttpProbe

                return HttpProbe(self._reactor, self._dialer, kind, timeout_s, lambda: self.tls, self._proxies)
            case "tcp":
                from consulpy.checks.tcp import TcpProbe

                return TcpProbe(self._dialer, kind, timeout_s, lambda: self.tls)
            case "udp":
                from consulpy.checks.udp import UdpProbe

                return UdpProbe(self._reactor, self._dialer, kind.udp, timeout_s)
            case "h2ping":
                from consulpy.checks.h2ping import H2PingProbe

                return H2PingProbe(self._dialer, kind, timeout_s, lambda: self.tls)
            case "os_service":
                from consulpy.checks.os_service import OsServiceProbe

                return OsServiceProbe(self._reactor, kind.os_service, timeout_s)
            case "grpc":
                from consulpy.checks.grpc import GrpcProbe

                return GrpcProbe(self._dialer, kind, timeout_s, lambda: self.tls)
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
