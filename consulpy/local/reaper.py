"""Deregisters services whose check has been critical for longer than `deregister_critical_service_after`.

Looked at every 30 s (public documentation of Consul). The time begins with the first result, as a check is critical
before its first run too (seen of a real agent). Less than a minute, which Consul raises to one, is honoured.
"""

from typing import Final

from consulpy.clock import Clock, Timer, cancel_timer
from consulpy.local.state import LocalState
from consulpy.log import Logger

_log = Logger()

#: Seconds between looks; less while a check asks for less, down to `INTERVAL_MIN_S`.
INTERVAL_S: Final = 30.0
INTERVAL_MIN_S: Final = 1.0
_SECOND_NS: Final = 1_000_000_000


class Reaper:
    """Checks the services of `local` from `start` to `stop`."""

    def __init__(self, local: LocalState, clock: Clock) -> None:
        self._local = local
        self._clock = clock
        self._timer: Timer | None = None

    def start(self) -> None:
        """Check every `INTERVAL_S`."""
        self._again(INTERVAL_S)

    def _again(self, interval_s: float) -> None:
        self._timer = self._clock.callLater(max(interval_s, INTERVAL_MIN_S), self._reap_all)

    def stop(self) -> None:
        """Stop checking."""
        cancel_timer(self._timer)
        self._timer = None

    def _reap_all(self) -> None:
        now_s, interval_s = self._clock.seconds(), INTERVAL_S
        for check_id, entry in list(self._local.entries.checks.items()):
            kind = self._local.type_of(check_id)
            since_s, service_id = entry.critical_since_s, entry.check.service_id
            if kind is None or not service_id or kind.deregister_critical_service_after <= 0:
                continue
            after_s = kind.deregister_critical_service_after / _SECOND_NS
            interval_s = min(interval_s, after_s)
            if since_s is None or entry.first_result_s is None:
                continue
            since_s = max(since_s, entry.first_result_s)
            if now_s - since_s > after_s and self._local.entries.service(service_id) is not None:
                self._reap(service_id, check_id, now_s - since_s)
        self._again(interval_s)

    def _reap(self, service_id: str, check_id: str, critical_s: float) -> None:
        _log.info(
            "deregistering service {service}: its check {check} has been critical for {critical_s:.0f} s",
            service=service_id,
            check=check_id,
            critical_s=critical_s,
        )
        done = self._local.submit(lambda: self._local.deregister_service(service_id))
        done.addErrback(
            lambda failure: _log.error(
                "cannot deregister service {service}: {error}", service=service_id, error=failure.getErrorMessage()
            )
        )
