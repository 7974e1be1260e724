"""Checks of a service of the operating system (Consul 1.16): the state of a systemd unit."""

import shutil
from typing import Any, Final

from twisted.internet.defer import Deferred

from consulpy.checks.result import CheckFailed, Result
from consulpy.checks.script import ScriptProbe
from consulpy.structs.check import CRITICAL, PASSING, WARNING

_PROGRAM: Final = "systemctl"
#: Longest output of the program that is read, in bytes; a state is one word.
_OUTPUT_MAX_BYTES: Final = 256
#: States of a unit in which it is about to be, or was just, active.
_CHANGING: Final = frozenset({"activating", "deactivating", "reloading", "refreshing", "maintenance"})


class OsServiceProbe:
    """Asks systemd for the state of `unit`."""

    def __init__(self, reactor: Any, unit: str, timeout_s: float) -> None:
        self._unit = unit
        self._script = ScriptProbe(reactor, [_PROGRAM, "is-active", "--", unit], _OUTPUT_MAX_BYTES, timeout_s)
        self.timeout_s = timeout_s

    def check(self) -> None:
        """See `Probe.check`."""
        if shutil.which(_PROGRAM) is None:
            raise CheckFailed(f"OSService checks need systemd: there is no {_PROGRAM}")

    def run(self) -> Deferred[Result]:
        """See `Probe.run`."""
        return self._script.run().addCallback(self._result)

    def timed_out(self) -> Result:
        """See `Probe.timed_out`."""
        return Result(CRITICAL, f'Service "{self._unit}": systemd did not answer within {self.timeout_s:g}s')

    def _result(self, found: Result) -> Result:
        state = found.output.strip() or "unknown"
        if found.status == PASSING:
            return Result(PASSING, f'Service "{self._unit}" is healthy')
        status = WARNING if state in _CHANGING else CRITICAL
        return Result(status, f'Service "{self._unit}" is not healthy: {state}')
