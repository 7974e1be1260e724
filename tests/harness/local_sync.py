"""An agent's services and checks, and the anti-entropy that tells a fake catalog of them."""

from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock

from consulpy.local.state import LocalState
from consulpy.local.sync.anti_entropy import PARTIAL_INTERVAL_S, AntiEntropy
from consulpy.structs.check import HealthCheck
from consulpy.structs.service import NodeService, Weights
from tests.fakes.local import FakeCatalog, Fraction, node


class Agent:
    """An agent's local state and anti-entropy with a fake catalog; all random parts are one half."""

    def __init__(self, members: int = 3, token: Callable[[], str] = lambda: "", **options: Any) -> None:
        self.clock, self.catalog = Clock(), FakeCatalog()
        self.local = LocalState(node(), self.clock, Fraction(), **options)
        self.entries = self.local.entries
        self.sync = AntiEntropy(self.catalog, self.local, self.clock, Fraction(), lambda: members, token=token)

    def start(self) -> "Agent":
        self.sync.start()
        self.clock.advance(0)
        self.catalog.calls.clear()
        return self

    def service(self, name: str = "web", **fields: Any) -> NodeService:
        service = NodeService(id=name, service=name, weights=Weights(), **fields)
        self.entries.put_service(service, "")
        return service

    def check(self, name: str, service: str = "", status: str = "passing", **fields: Any) -> HealthCheck:
        check = HealthCheck(node="c1", check_id=name, name=name, status=status, service_id=service, **fields)
        self.entries.put_check(check, "")
        return check

    def settle(self) -> list[tuple[str, Any]]:
        self.catalog.calls.clear()
        self.clock.advance(PARTIAL_INTERVAL_S)
        return self.catalog.calls
