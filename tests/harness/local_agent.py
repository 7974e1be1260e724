"""An agent's local state whose checks are started by a fake."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.task import Clock

from consulpy.local.definitions import (
    check_from_body,
    service_from_body,
)
from consulpy.local.health import service_json
from consulpy.local.state import LocalState
from consulpy.structs.definition import CheckType
from tests.fakes.local import Fraction, node


@dataclass
class Running:
    kind: CheckType
    report: Callable[[str, str], None]
    stopped: bool = False
    said: list[tuple[str, str]] = field(default_factory=list)

    def stop(self) -> None:
        self.stopped = True

    def update(self, status: str, output: str) -> None:
        self.said.append((status, output))
        self.report(status, output)


class Starter:
    def __init__(self) -> None:
        self.running: dict[str, Running] = {}

    def check_type(self, kind: CheckType) -> None:
        """Every type is supported."""

    def start(self, check_id: str, kind: CheckType, service_id: str, report: Callable[[str, str], None]) -> Running:
        running = self.running[check_id] = Running(kind, report)
        return running


class Agent:
    def __init__(self, **options: Any) -> None:
        self.clock, self.starter = Clock(), Starter()
        self.local = LocalState(node(), self.clock, Fraction(), starter=self.starter, **options)

    def service(self, body: Any, **options: Any) -> None:
        self.local.register_service(service_from_body(json.dumps(body).encode()), **options)

    def check(self, body: Any) -> None:
        self.local.register_check(check_from_body(json.dumps(body).encode()))

    def shown(self, service_id: str) -> dict[str, Any]:
        return service_json(self.local.services[service_id])
