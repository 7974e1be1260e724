"""Deregisters services whose check has been critical for longer than `deregister_critical_service_after`.

That time is at least one minute, checked every 30 s (public documentation of Consul).
"""

from typing import Final

from consulpy.clock import Clock, Timer
from consulpy.local.state import LocalState
from consulpy.log import Logger

_log = Logger()

INTERVAL_S: Final = 30.0
AFTER_MIN_S: Final = 60.0
_SECOND_NS: Final = 1_000_000_000


class Reaper:
    """Checks the services of `local` from `start` to `stop`."""

    def __init__(self, local: LocalState, clock: Clock) -> None:
        self._local = local
        self._clock = clock
        self._timer: Timer | None = None

    def start(self) -> None:
        """Check every `INTERVAL_S`."""
        self._timer = self._clock.callLater(INTERVAL_S, self._reap_all)

    def stop(self) -> None:
        """Stop checking."""
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def _reap_all(self) -> None:
        self.start()
        now_s = self._clock.seconds()
        for check_id, entry in list(self._local.entries.checks.items()):
            kind = self._local.type_of(check_id)
            since_s, service_id = entry.critical_since_s, entry.check.service_id
            if kind is None or since_s is None or not service_id or kind.deregister_critical_service_after <= 0:
                continue
            after_s = max(kind.deregister_critical_service_after / _SECOND_NS, AFTER_MIN_S)
            if now_s - since_s > after_s and self._local.entries.service(service_id) is not None:
                self._reap(service_id, check_id, now_s - since_s)

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
