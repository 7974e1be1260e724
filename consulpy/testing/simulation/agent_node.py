"""A simulated node that is a whole agent: all that `consulpy agent` runs, on a simulated reactor."""

import dataclasses
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any, Final

from twisted.internet.defer import Deferred

import consulpy.agent.build.connect  # noqa: F401 - all simulations find it loaded: one turn less, the same in each
from consulpy.agent.agent import Agent
from consulpy.agent.build.listeners import dns_listener
from consulpy.agent.features.local_request import send
from consulpy.config.schema import RuntimeConfig
from consulpy.connections import UNLIMITED, ConnectionTable
from consulpy.dns.cache import CacheableAnswer
from consulpy.dns.transport import DnsService
from consulpy.memberlist.node_state import NodeState
from consulpy.serf.events import Event, MemberEvent, MemberEventKind
from consulpy.serf.machine import Serf
from consulpy.testing.simulation.clock import NodeClock
from consulpy.testing.simulation.disk import InlinePool, MemoryFiles
from consulpy.testing.simulation.dns_text import question, records
from consulpy.testing.simulation.network import Network
from consulpy.testing.simulation.node import GossipRecorder, Record, action_body
from consulpy.testing.simulation.reactor import SimulatedReactor

_HTTP_NOT_FOUND: Final = 404


class AgentNode:
    """See `consulpy.testing.simulation.node.Node`. `folder`: a server's data directory."""

    def __init__(
        self,
        config: RuntimeConfig,
        network: Network,
        clock: NodeClock,
        seed: int | str,
        record: Record,
        folder: Path | None,
    ) -> None:
        self.name = config.node_name
        self.address = config.advertise_addr
        ports = dataclasses.replace(config.ports, dns=-1)  # it is asked in process
        self.config = dataclasses.replace(config, data_dir=None if folder is None else str(folder), ports=ports)
        self.clock = clock
        self._network = network
        self._seed = seed
        self._record = record
        self._recorder = GossipRecorder(self.name, record)
        self._files = MemoryFiles()
        self._starts = 0
        self._reactor: SimulatedReactor | None = None
        self._agent: Agent | None = None
        self._dns: DnsService | None = None

    @property
    def is_running(self) -> bool:
        """See `Node`."""
        return self._reactor is not None

    @property
    def is_settled(self) -> bool:
        """See `Node`."""
        server = self.agent.server
        has_leader = server is None or server.is_leader or bool(server.leader_address)
        return has_leader and self.agent.local.entries.node_in_sync

    @property
    def agent(self) -> Agent:
        """The agent, the last one if the node does not run. Raises `ValueError` if it never ran."""
        if self._agent is None:
            raise ValueError(f"{self.name} never ran")
        return self._agent

    @property
    def serf(self) -> Serf:
        """See `Node`."""
        return self.agent.lan

    def start(self) -> None:
        """See `Node`."""
        self._start(self.config)

    def settle(self, members: list[NodeState], adopt: Callable[[Serf], None]) -> None:
        """See `Node`."""
        self._start(dataclasses.replace(self.config, retry_join=()), adopt)
        serf = self.serf
        for server in members:  # no action depends on the others while the cluster is at rest
            found = serf.members.get(server.name)
            if found is not None and found.tags.get("role") == "consul":
                self.agent._lan_event(MemberEvent(MemberEventKind.JOIN, [dataclasses.replace(found)]))
        serf.memberlist.queue.clear()

    def _start(self, config: RuntimeConfig, adopt: Callable[[Serf], None] = lambda _serf: None) -> None:
        self._starts += 1
        rng = Random(f"{self._seed} {self.name} {self._starts}")
        reactor = self._reactor = SimulatedReactor(self._network, self.address, self.clock, self._files)
        agent = self._agent = _RecordedAgent(
            config, reactor, shut_down=lambda _status: self.crash(), rng=rng, environment={}
        )
        agent.recorder, agent.adopt = self._recorder, adopt
        agent.start()
        agent._http._pool = InlinePool()  # type: ignore[assignment]
        self._recorder.attach(agent.lan)
        self._record_leaders(agent)
        self._dns = dns_listener(
            config, reactor, rng, agent._role, agent.access, agent._tokens, ConnectionTable(UNLIMITED)
        )

    def _record_leaders(self, agent: Agent) -> None:
        quorum = agent.quorum
        if quorum is None:
            return
        changed = quorum.leader_changed

        def leader_changed(address: str) -> None:
            self._record(self.name, "leader", {"leader": self._name_at(address)})
            changed(address)

        setattr(quorum, "leader_changed", leader_changed)  # noqa: B010 - mypy takes no method for a variable

    def _name_at(self, address: str) -> str:
        """The server at an RPC address; the address itself if gossip knows none there."""
        host = address.rpartition(":")[0]
        return next((name for name, member in self.serf.members.items() if member.address == host), address)

    def join(self) -> None:
        """See `Node`: `retry_join` of the configuration does it."""

    def crash(self) -> None:
        """See `Node`."""
        reactor, self._reactor = self._reactor, None
        if reactor is not None:
            reactor.kill()
            self.agent.stop_parts()  # nothing of it leaves the dead process; files and locks are closed
            reactor.close()

    def leave(self) -> None:
        """See `Node`."""
        self.agent.leave().addErrback(lambda _failure: self.crash())

    def why(self, name: str) -> "Deferred[dict[str, Any]]":
        """See `Node`."""
        found = self.ask({"action": "request", "method": "GET", "path": f"/v1/agent/timeline/{name}"})

        def read(response: Any) -> dict[str, Any]:
            if response.status == _HTTP_NOT_FOUND:
                raise ValueError(f"{self.name} knows nothing of a member {name!r}")
            value: dict[str, Any] = response.json()
            return value

        return found.addCallback(read)

    def ask(self, action: Mapping[str, Any]) -> "Deferred[Any]":
        """See `Node`."""
        if action["action"] == "dns":
            return self._ask_dns(action["name"], action["type"])
        headers = action.get("headers", {})
        body = action_body(action)
        return send(self.agent.http_factory, self._reactor, action["method"], action["path"], body, headers)

    def _ask_dns(self, name: str, kind: str) -> "Deferred[list[str]]":
        assert self._dns is not None
        answer: Deferred[list[str]] = Deferred()
        packet = question(name, kind)

        def answered(found: CacheableAnswer) -> None:
            answer.callback(records(struct.pack("!H", 1) + found.packet[2:]))

        self._dns.resolve(packet, self.address, answered, lambda: answer.callback([]), udp=False)
        return answer


class _RecordedAgent(Agent):
    """An agent whose gossip events are recorded. `adopt(serf)`: called before its gossip starts."""

    recorder: GossipRecorder
    adopt: Callable[[Serf], None] = staticmethod(lambda _serf: None)

    def _listen(self) -> None:
        super()._listen()
        self.adopt(self.lan)

    def _lan_event(self, event: Event) -> None:
        self.recorder.event(event)
        super()._lan_event(event)
