"""A simulated node that is gossip alone: the LAN pool of an agent, straight on the simulated network."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from random import Random
from typing import Any, Final

from twisted.internet.defer import Deferred

from consulpy.agent.build.gossip import lan_pool
from consulpy.agent.report import timeline
from consulpy.config.schema import RuntimeConfig
from consulpy.diagnosis.member import MemberDiagnosis
from consulpy.memberlist.member import JoinTarget
from consulpy.memberlist.node_state import NodeState
from consulpy.serf.machine import Serf
from consulpy.testing.simulation.clock import NodeClock
from consulpy.testing.simulation.disk import InlineDisk
from consulpy.testing.simulation.network import Host, Network
from consulpy.testing.simulation.node import GossipRecorder, Record

#: Pause before a join that failed is tried again, in seconds (`retry_interval`).
RETRY_S: Final = 30.0


class GossipNode:
    """See `consulpy.testing.simulation.node.Node`."""

    def __init__(
        self, config: RuntimeConfig, network: Network, clock: NodeClock, seed: int | str, record: Record
    ) -> None:
        self.name = config.node_name
        self.address = config.advertise_addr
        self.config = config
        self.clock = clock
        self._network = network
        self._seed = seed
        self._starts = 0
        self._recorder = GossipRecorder(self.name, record)
        self._host: Host | None = None
        self._serf: Serf | None = None

    @property
    def is_running(self) -> bool:
        """See `Node`."""
        return self._host is not None

    @property
    def is_settled(self) -> bool:
        """See `Node`."""
        return True

    @property
    def serf(self) -> Serf:
        """See `Node`."""
        if self._serf is None:
            raise ValueError(f"{self.name} never ran")
        return self._serf

    def start(self) -> None:
        """See `Node`."""
        self._build().start()

    def settle(self, members: list[NodeState], adopt: Callable[[Serf], None]) -> None:  # noqa: ARG002 - all are alike
        """See `Node`."""
        serf = self._build()
        adopt(serf)
        serf.start()
        serf.memberlist.queue.clear()

    def _build(self) -> Serf:
        self._starts += 1
        rng = Random(f"{self._seed} {self.name} {self._starts}")
        host = self._network.host((self.address, self.config.ports.serf_lan))
        clock: Any = self.clock
        disk = InlineDisk("", clock.seconds)  # without a data directory nothing is written
        pool = lan_pool(self.config, clock, rng, disk, self._recorder.event, transport=host)
        self._host, self._serf = host, pool.serf
        self._recorder.attach(pool.serf)
        return pool.serf

    def join(self) -> None:
        """See `Node`."""
        serf, port = self.serf, self.config.ports.serf_lan
        targets = [JoinTarget((address, port)) for address in self.config.retry_join]

        def done(count: int, _errors: list[str]) -> None:
            if count == 0 and targets and serf is self._serf and self.is_running:
                self.clock.callLater(RETRY_S, self._join_again, serf)

        serf.join(targets, True, done)

    def _join_again(self, serf: Serf) -> None:
        if serf is self._serf and self.is_running:
            self.join()

    def crash(self) -> None:
        """See `Node`."""
        host, self._host = self._host, None
        if host is not None:
            host.crash()
            self.serf.shutdown()

    def leave(self) -> None:
        """See `Node`."""
        serf = self.serf

        def left() -> None:
            if serf is self._serf:
                self.crash()

        serf.leave(left)

    def why(self, name: str) -> "Deferred[dict[str, Any]]":
        """See `Node`."""
        serf = self.serf
        diagnosis = MemberDiagnosis(serf, self.clock, self._moment)
        if not diagnosis.knows(name):
            raise ValueError(f"{self.name} knows nothing of a member {name!r}")

        async def explain() -> dict[str, Any]:
            verdict = await diagnosis.explain(name)
            events = timeline(serf, name, self.clock.wall_s() - self.clock.seconds())
            return {
                "Name": name,
                "Index": serf.memberlist.timeline.index_of(name),
                "verdict": verdict.to_json(),
                "Events": events,
            }

        return Deferred.fromCoroutine(explain())

    def _moment(self, at_s: float) -> str:
        return datetime.fromtimestamp(at_s - self.clock.seconds() + self.clock.wall_s(), UTC).strftime("%H:%M:%SZ")

    def ask(self, action: Mapping[str, Any]) -> "Deferred[Any]":
        """See `Node`."""
        raise ValueError(f"{self.name} is gossip alone (layers='gossip'): nothing answers a {action['action']} there")
