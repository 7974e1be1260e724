"""Whole agents without sockets: gossip, local state, anti-entropy, leader and store on one clock and one bad network.

A hundred agents with ten services each live through changes, crashes, restarts, partitions and lost packets and calls.
The nodes' clocks differ and are set by an hour meanwhile. When the network is well again, the catalog has exactly what
the agents have. All chance comes from the seed.
"""

from collections.abc import Callable, Mapping
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from consulpy.codec.record import Record
from consulpy.errors import NoServers, RPCError
from consulpy.leader.leader import Leader
from consulpy.local import api
from consulpy.local.load import restore
from consulpy.local.state import LocalState
from consulpy.local.sync.anti_entropy import AntiEntropy
from consulpy.local.sync.diff import same_check, same_node, same_service
from consulpy.memberlist.config import MemberlistConfig
from consulpy.memberlist.member import JoinTarget
from consulpy.rpc.call import ServerCaller
from consulpy.rpc.server import Server
from consulpy.rpc.server_metadata import agent_tags
from consulpy.serf.config import SerfConfig
from consulpy.serf.events import Event
from consulpy.serf.machine import Serf
from consulpy.state.log import MemoryLog
from consulpy.state.store import Store
from consulpy.structs.node import Node
from consulpy.testing.simulation.clock import HeapClock, NodeClock
from consulpy.testing.simulation.network import Conditions, Network
from tests.harness.effort import cases
from tests.harness.ttl_checks import TtlStarter

SERVER = ("10.0.0.1", 7946)
AGENTS, SERVICES = cases(100), 10
#: Clocks of nodes differ by up to so many seconds, and are set by so many.
SKEW_S, JUMP_S = 100_000, 3600


class Disk:
    """Files that outlive the agent."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def read(self, folder: str) -> dict[str, bytes]:
        return {path: data for path, data in self.files.items() if path.rpartition("/")[0] == folder}

    def commit(self, changes: Mapping[str, bytes | None], *, durable: bool = True) -> None:
        for path, data in changes.items():
            if data is None:
                self.files.pop(path, None)
            else:
                self.files[path] = data

    is_full = False

    def checkpoint(self) -> None:
        """They are in place."""


class Line:
    """Calls from one agent to the server: in the wire's form, late, and some of them or of their answers lost."""

    def __init__(self, world: "World", address: tuple[str, int]) -> None:
        self._world, self._address = world, address
        self.alive = True

    def _passes(self) -> bool:
        world = self._world
        lost = world.rng.random() < world.network.conditions.loss
        return self.alive and not lost and world.network.reaches(self._address, SERVER)

    def call(self, method: str, request: Record, dependencies: Any = None) -> "Deferred[Any]":
        waiting: Deferred[Any] = Deferred()
        self._later(self._ask, waiting, method, type(request).unpack(request.pack()))
        return waiting

    def _later(self, call: Callable[..., None], *arguments: Any) -> None:
        self._world.clock.callLater(self._world.network.delay_s(), call, *arguments)

    def _ask(self, waiting: "Deferred[Any]", method: str, request: Record) -> None:
        if waiting.called:
            return
        if not self._passes():
            waiting.errback(NoServers())
            return
        self._world.caller.call(method, request).addBoth(lambda result: self._later(self._answer, waiting, result))

    def _answer(self, waiting: "Deferred[Any]", result: Any) -> None:
        if waiting.called:
            return
        if isinstance(result, Failure):
            waiting.errback(result)
        elif not self._passes():
            waiting.errback(RPCError("rpc error making call: EOF"))
        else:
            waiting.callback(type(result).unpack(result.pack()))


def serf(
    world: "World",
    clock: NodeClock,
    name: str,
    address: tuple[str, int],
    told: Callable[[Event], None],
    *,
    server: bool,
) -> Serf:
    """A member of the pool with the tags of an agent."""
    ports = SimpleNamespace(server=8300, serf_wan=8302)
    facts: Any = SimpleNamespace(
        datacenter="dc1",
        node_id=identity(address),
        server=server,
        bootstrap=False,
        bootstrap_expect=1,
        ports=ports,
        uses_tls=False,
        acl=SimpleNamespace(enabled=False),
        advertise_reconnect_timeout_s=0.0,
    )
    config = SerfConfig.consul(tags=agent_tags(facts))
    host = world.network.host(address)
    member = MemberlistConfig.lan(name=name, advertise=address)
    found = Serf(config, member, clock, Random(world.rng.random()), host, told)
    host.attach(found.memberlist)
    found.start()
    return found


def identity(address: tuple[str, int]) -> str:
    """The node ID of whoever has this address."""
    return f"00000000-0000-4000-8000-{int(address[0].replace('.', '')):012d}"


class Agent:
    """A client agent; `crash` and `start` again keep its disk."""

    def __init__(self, world: "World", number: int) -> None:
        self.world, self.number, self.name = world, number, f"a{number}"
        self.address = (f"10.0.1.{number + 1}", 7946)
        self.disk = Disk()
        self.clock = world.node_clock()
        self.running = False
        self.start()
        for service in range(SERVICES):
            self.register(service, 8000)

    def start(self) -> None:
        world, clock = self.world, self.clock
        here = self.address[0]
        node = Node(
            id=identity(self.address), node=self.name, address=here, datacenter="dc1",
            tagged_addresses={"lan": here, "wan": here, "lan_ipv4": here, "wan_ipv4": here},
            meta={"consul-network-segment": ""},
        )  # fmt: skip
        rng = Random(world.rng.random())
        self.local = LocalState(
            node,
            clock,
            rng,
            check_update_interval_s=20,
            files=self.disk,
            starter=TtlStarter(clock),
            wall_s=clock.wall_s,
        )
        restore(self.local, self.disk, clock.wall_s)
        self.serf = serf(world, clock, self.name, self.address, lambda _event: None, server=False)
        self.serf.join([JoinTarget(SERVER)], True, lambda _count, _errors: None)
        self.line = Line(world, self.address)
        self.sync = AntiEntropy(self.line, self.local, clock, rng, lambda: len(self.serf.members))
        self.sync.start()
        self.running = True

    def crash(self) -> None:
        self.running = self.line.alive = False
        self.world.network.hosts[self.address].crash()
        self.serf.shutdown()
        self.sync.stop()
        self.local.stop()

    def register(self, service: int, port: int) -> None:
        check = b'{"CheckID":"k%d","TTL":"9h","Status":"passing"}' % service
        body = b'{"ID":"s%d","Name":"web%d","Port":%d,"Check":%s}' % (service, service, port, check)
        api.register_service(self.local, body)

    def change(self, rng: Random) -> None:
        """One thing that a user may do."""
        service = rng.randrange(SERVICES)
        what = rng.choice(["register", "status", "deregister"])
        if what == "register":
            self.register(service, rng.randrange(1, 65536))
        elif f"s{service}" in self.local.services:
            if what == "deregister":
                api.deregister_service(self.local, f"s{service}")
            else:
                api.set_check(self.local, f"k{service}", rng.choice(["passing", "warning", "critical"]), "by hand")


class World:
    """The server and everything else."""

    def __init__(self, seed: int, agents: int) -> None:
        self.rng = Random(seed)
        self.clock_rng = Random(f"{seed} clocks")
        self.clock = HeapClock()
        self.network = Network(self.clock, seed, Conditions(loss=0.02, duplication=0.02))
        self.log = MemoryLog(Store())
        self.own_clock = clock = self.node_clock()
        self.serf = serf(self, clock, "s1", SERVER, self.told, server=True)
        self.server = Server(
            datacenter="dc1", node_name="s1", node_id=identity(SERVER), rpc_address="10.0.0.1:8300", log=self.log,
            clock=clock, rng=self.rng, lan=self.serf, wall_s=clock.wall_s,
        )  # fmt: skip
        self.caller = ServerCaller(self.server)
        self.leader = Leader("dc1", "s1", self.log, self.serf, clock, on_ready=self.lead, wall_s=clock.wall_s)
        self.leader.start()
        self.agents = [Agent(self, number) for number in range(agents)]

    def node_clock(self) -> NodeClock:
        return NodeClock(self.clock, self.clock_rng.uniform(0, SKEW_S), self.clock_rng.uniform(-SKEW_S, SKEW_S))

    def told(self, event: Event) -> None:
        if hasattr(self, "leader"):
            self.leader.member_event(event)

    def lead(self) -> None:
        self.server.is_leader = True

    def trouble(self) -> None:
        """Fifteen seconds in which things go wrong."""
        rng = self.rng
        clocks = [self.own_clock, *(agent.clock for agent in self.agents)]
        for clock in self.clock_rng.sample(clocks, len(clocks) // 4):
            clock.jump(self.clock_rng.choice((-JUMP_S, JUMP_S)))
        for agent in rng.sample(self.agents, len(self.agents) // 10):
            if agent.running:
                agent.crash()
            else:
                agent.start()
        cut = rng.sample(self.agents, len(self.agents) // 4)
        self.network.partition([agent.address[0] for agent in cut])
        self.network.conditions.loss = rng.choice([0.0, 0.05, 0.2])
        for _ in range(3):
            for agent in rng.sample(self.agents, len(self.agents) // 4):
                if agent.running:
                    agent.change(rng)
            self.clock.advance(5)
        self.network.heal()

    def peace(self) -> None:
        """Everybody is back and the network is good, for as long as a missed full sync may take, twice."""
        self.network.heal()
        self.network.conditions.loss = self.network.conditions.duplication = 0.0
        for agent in self.agents:
            if not agent.running:
                agent.start()
        self.clock.advance_until(lambda: not self.disagreements(), most_s=300, step_s=10)

    def disagreements(self) -> list[str]:
        """What the catalog has otherwise than the agents; empty when they agree exactly."""
        catalog, wrong = self.log.store.catalog, []
        names = {node.node for node in catalog.nodes(None)[1]}
        if names != {"s1", *(agent.name for agent in self.agents)}:
            wrong.append(f"nodes: {sorted(names)}")
        for agent in self.agents:
            theirs = catalog.node_service_list(None, agent.name)[1]
            checks = {check.check_id: check for check in catalog.node_checks(None, agent.name)[1]}
            serf_health = checks.pop("serfHealth", None)
            services = {service.id: service for service in (theirs.services if theirs else None) or ()}
            ours, our_checks = agent.local.services, agent.local.checks
            if serf_health is None or serf_health.status != "passing":
                wrong.append(f"{agent.name}: not alive")
            if theirs is None or not same_node(agent.local.entries.node, theirs.node):
                wrong.append(f"{agent.name}: the node")
            if ours.keys() != services.keys() or not all(same_service(ours[key], services[key]) for key in ours):
                wrong.append(f"{agent.name}: services {sorted(ours)}, in the catalog {sorted(services)}")
            if our_checks.keys() != checks.keys() or not all(
                same_check(our_checks[key], checks[key]) for key in checks
            ):
                wrong.append(f"{agent.name}: checks {sorted(our_checks)}, in the catalog {sorted(checks)}")
        return wrong

    def history(self) -> tuple[Any, ...]:
        """What two runs of one seed have in common."""
        return self.log.store.index, self.network.sent, self.network.lost, self.clock.calls


def run(seed: int, agents: int, rounds: int) -> World:
    world = World(seed, agents)
    world.clock.advance(5)
    for _ in range(rounds):
        world.trouble()
    return world


def test_agents_and_the_catalog_agree_after_all_that_went_wrong() -> None:
    world = run(seed=20261123, agents=AGENTS, rounds=2)
    assert world.network.lost > AGENTS
    assert world.disagreements(), "nothing went wrong: the test shows nothing"
    world.peace()
    assert world.disagreements() == []
    services = sum(len(agent.local.services) for agent in world.agents)
    assert services > AGENTS * SERVICES / 2


@pytest.mark.parametrize("seed", [1, 2])
def test_a_run_is_repeated_from_its_seed(seed: int) -> None:
    assert run(seed, 8, 2).history() == run(seed, 8, 2).history()
