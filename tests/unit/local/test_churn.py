"""Deregistered entries leave nothing behind: no row, key, timer or file, and no reference cycle.

Objects in reference cycles that live for some seconds reach the collector's oldest generation, which is looked at about
three times an hour: a server whose services come and go grew by more than 1 MiB a minute.
"""

import gc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import pytest

from consulpy.checks.runner import Runner
from consulpy.leader.tombstone_gc import TombstoneReaper
from consulpy.local import api
from consulpy.local.aliases import Aliases
from consulpy.local.persist.disk import JournaledDirectory
from consulpy.local.state import LocalState
from consulpy.local.sync.anti_entropy import AntiEntropy
from consulpy.rpc.call import ServerCaller
from consulpy.rpc.server import Server
from consulpy.state.log import MemoryLog
from consulpy.state.store import Store
from consulpy.structs.node import Node
from consulpy.testing.simulation.clock import HeapClock
from tests.harness.effort import cases

NAMES = 7
#: What is the same for all objects of a program.
SHARED = (type, ModuleType, FunctionType, BuiltinFunctionType)


class World:
    """A server with its own services: the state, the agent's part of it, and what keeps them equal."""

    def __init__(self, folder: Path) -> None:
        self.clock = HeapClock()
        self.server = Server(
            datacenter="dc1",
            node_name="s1",
            node_id="1",
            rpc_address="10.0.0.1:8300",
            log=MemoryLog(Store()),
            clock=self.clock,
            rng=Random(1),
        )
        self.server.is_leader = True
        caller = ServerCaller(self.server)
        node = Node(node="s1", address="10.0.0.1", datacenter="dc1")
        self.files = JournaledDirectory(str(folder))
        self.local = LocalState(node, self.clock, Random(1), files=self.files)
        aliases = Aliases(self.local.entries, caller)
        self.local.starter = Runner(self.clock, Random(1), aliases, clock=self.clock)
        self.sync = AntiEntropy(caller, self.local, self.clock, Random(1), lambda: 1)
        self.sync.start()
        self.tombstones = TombstoneReaper("dc1", self.server.store, self.clock, self.server.submit)
        self.tombstones.start()
        self.number = 0

    def register(self, service_id: str, checks: bytes) -> None:
        name = self.number % NAMES
        body = b'{"ID":"%s","Name":"name%d","Checks":[%s]}' % (service_id.encode(), name, checks)
        api.register_service(self.local, body)

    def round(self, checks: bytes, lives_s: float) -> None:
        """Register services with `checks`, and deregister them after a while."""
        ids = []
        for _ in range(5):
            self.number += 1
            ids.append(f"id{self.number}")
            self.register(ids[-1], checks)
        self.clock.advance(lives_s)
        for service_id in ids:
            api.deregister_service(self.local, service_id)
        self.clock.advance(2.0)


def counts(*roots: Any) -> Counter[str]:
    """How many objects of each type can be reached, and how many things all containers of each type hold."""
    found: Counter[str] = Counter()
    seen, waiting = {id(root) for root in roots}, list(roots)
    while waiting:
        one = waiting.pop()
        found[type(one).__name__] += 1
        if isinstance(one, dict | list | set | tuple):
            found[f"in {type(one).__name__}"] += len(one)
        for other in gc.get_referents(one):
            if id(other) not in seen and not isinstance(other, SHARED):
                seen.add(id(other))
                waiting.append(other)
    return found


@pytest.fixture(autouse=True)
def no_flushes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept is looked at, not whether it is durable."""
    monkeypatch.setattr("os.fsync", lambda _file: None)
    monkeypatch.setattr("os.fdatasync", lambda _file: None)


@pytest.fixture
def without_collector() -> Iterator[None]:
    gc.collect()
    gc.freeze()  # what is there already needs not be looked at again and again
    gc.disable()
    yield
    gc.enable()


KINDS = {
    "ttl": (b'{"TTL":"10m"}', 3.0),
    "expired ttl": (b'{"TTL":"1s"}', 3.0),
    "several": (b'{"TTL":"10s"},{"TTL":"1s"}', 2.0),
    "alias of this node": (b'{"AliasNode":"s1"}', 3.0),
}


@pytest.mark.parametrize("kind", KINDS)
def test_deregistered_services_and_checks_are_freed_immediately(
    kind: str, tmp_path: Path, without_collector: None
) -> None:
    world = World(tmp_path)
    for _ in range(3):
        world.round(*KINDS[kind])
    left = []
    for _ in range(3):  # other tests of this process may leave garbage, not each time
        gc.collect()
        for _ in range(10):
            world.round(*KINDS[kind])
        left.append(gc.collect())
    assert min(left) < 20, "objects in cycles, for each of 50 services"


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_grows_with_services_that_come_and_go(kind: str, tmp_path: Path) -> None:
    world = World(tmp_path)
    for _ in range(8):  # every name was there, and went
        world.round(*KINDS[kind])
    world.clock.advance(3600)
    gc.collect()
    before = counts(world)
    for _ in range(max(10, cases(40))):
        world.round(*KINDS[kind])
    world.clock.advance(3600)
    gc.collect()
    grown = counts(world) - before
    assert sum(grown.values()) < 50, grown
    assert len(list(tmp_path.rglob("*"))) < 12
