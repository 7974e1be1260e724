"""`LocalState`: the services and checks of this agent."""

from random import Random

from consulpy.clock import Clock
from consulpy.local.entries import Entries
from consulpy.structs.check import HealthCheck
from consulpy.structs.node import Node
from consulpy.structs.service import NodeService


class LocalState:
    """The services and checks of this agent. `node`: the agent as the catalog is to have it."""

    def __init__(self, node: Node, clock: Clock, rng: Random, *, check_update_interval_s: float = 300.0) -> None:
        self.entries = Entries(node, clock, rng, check_update_interval_s=check_update_interval_s)

    @property
    def services(self) -> dict[str, NodeService]:
        """The registered services by id; not to be changed by the reader."""
        return self.entries.live_services()

    @property
    def checks(self) -> dict[str, HealthCheck]:
        """The registered checks by id; not to be changed by the reader."""
        return self.entries.live_checks()
