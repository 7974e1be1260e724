"""Checks of an agent that has those with a TTL only."""

from collections.abc import Callable
from typing import Any

from consulpy.checks.ttl import TTLCheck
from consulpy.clock import Clock
from consulpy.structs.definition import CheckType


class TtlStarter:
    """Starts each check as one with a TTL, whatever its type."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def check_type(self, kind: CheckType) -> None:
        """Every type is supported."""

    def start(self, check_id: str, kind: CheckType, service_id: str, report: Callable[[str, str], None]) -> Any:
        return TTLCheck(kind.ttl / 1e9, 0, report, self.clock)
