"""Interface of a running check (`consulpy.checks`) for the local state, which does not import it."""

from collections.abc import Callable
from typing import Protocol

from consulpy.structs.definition import CheckType


class RunningCheck(Protocol):
    """A started check (`consulpy.checks`)."""

    def stop(self) -> None:
        """Stop it; it reports nothing more."""

    def update(self, status: str, output: str) -> None:
        """Set the status of a TTL check; not called for others."""


class CheckStarter(Protocol):
    """Starts checks (`consulpy.checks.runner.Runner`)."""

    def check_type(self, kind: CheckType) -> None:
        """Raise `BadRequest` for a type of check that cannot run here."""

    def start(
        self, check_id: str, kind: CheckType, service_id: str, report: Callable[[str, str], None]
    ) -> RunningCheck:
        """Start a check. `report(status, output)` is called after each run."""
