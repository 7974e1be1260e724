"""Any sequence of commands: replays, snapshots and watches of the store keep their promises."""

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consulpy.errors import RPCError
from consulpy.state import catalog, registration
from consulpy.state.commands import (
    Autopilot,
    Barrier,
    CoordinateBatchUpdate,
    Deregister,
    FederationState,
    Register,
)
from consulpy.state.snapshot import Snapshot, restore
from consulpy.state.store import Store
from consulpy.state.watch import WatchSet
from consulpy.structs.coordinate import Coord, Coordinate
from consulpy.structs.operator import AutopilotSetRequest, FederationStateRequest
from consulpy.structs.operator import FederationState as State
from consulpy.structs.requests import DeregisterRequest, RegisterRequest
from consulpy.structs.service import ConnectProxy, NodeService
from tests.harness.effort import cases
from tests.harness.store import ID1, ID2, World, check

NAMES = st.sampled_from(["a", "b", "A"])
CHECKS = st.builds(
    check,
    node=NAMES,
    name=st.sampled_from(["c1", "c2", "serfHealth"]),
    status=st.sampled_from(["passing", "critical", "warning"]),
    service_id=st.sampled_from(["", "s1", "s2"]),
)
SERVICES = st.builds(
    NodeService,
    id=st.sampled_from(["s1", "s2", ""]),
    service=st.sampled_from(["web", "Web", "db"]),
    kind=st.sampled_from(["", "connect-proxy"]),
    tags=st.sampled_from([None, [], ["t"]]),
    port=st.integers(0, 1),
    proxy=st.builds(ConnectProxy, destination_service_name=st.sampled_from(["", "web"])),
)
REGISTRATIONS = st.builds(
    RegisterRequest,
    datacenter=st.just("dc1"),
    id=st.sampled_from(["", ID1, ID2]),
    node=NAMES,
    address=st.sampled_from(["1", "2"]),
    node_meta=st.sampled_from([None, {}, {"k": "v"}]),
    service=st.none() | SERVICES,
    check=st.none() | CHECKS,
    skip_node_update=st.booleans(),
)
DEREGISTRATIONS = st.builds(
    DeregisterRequest,
    node=NAMES,
    service_id=st.sampled_from(["", "s1", "s2"]),
    check_id=st.sampled_from(["", "c1", "serfHealth"]),
)
UPDATES = st.lists(st.builds(Coordinate, node=NAMES, coord=st.none() | st.builds(Coord)), max_size=3)
FEDERATION = FederationState(FederationStateRequest(op="upsert", state=State(datacenter="dc1")))
ANY_COMMAND = (
    REGISTRATIONS.map(Register)
    | DEREGISTRATIONS.map(Deregister)
    | UPDATES.map(CoordinateBatchUpdate)
    | st.sampled_from([Barrier(), FEDERATION, Autopilot(AutopilotSetRequest())])
)
READS: list[Callable[[Store, WatchSet], tuple[int, Any]]] = [
    lambda store, watch: store.catalog.nodes(watch),
    lambda store, watch: store.catalog.services(watch),
    lambda store, watch: store.catalog.services(watch, {"k": "v"}),
    lambda store, watch: store.catalog.service_nodes(watch, "web"),
    lambda store, watch: store.catalog.check_service_nodes(watch, "web"),
    lambda store, watch: store.catalog.check_service_nodes(watch, "db"),
    lambda store, watch: store.catalog.check_service_nodes(watch, "web", connect=True),
    lambda store, watch: store.catalog.service_dump(watch, "connect-proxy"),
    lambda store, watch: store.catalog.node_dump(watch),
    lambda store, watch: store.catalog.checks_in_state(watch, "critical"),
    lambda store, watch: store.catalog.node_checks(watch, "a"),
    lambda store, watch: store.catalog.service_checks(watch, "web"),
    lambda store, watch: store.coordinates.all(watch),
]


def run(commands: list[Any]) -> World:
    world = World()
    for command in commands:
        with contextlib.suppress(RPCError):
            world.do(command)
    return world


@given(st.lists(ANY_COMMAND, max_size=25))
@settings(max_examples=cases(80), deadline=None)
def test_a_replay_and_a_restored_snapshot_give_the_same_state(commands: list[Any]) -> None:
    world = run(commands)
    again = run(commands)
    restored = restore(world.store.index, world.records())
    for other in (again.store, restored):
        assert list(Snapshot.of(other).records()) == world.records()
        assert other.index == world.store.index
        for look in READS:
            assert look(other, WatchSet()) == look(world.store, WatchSet())


@given(st.lists(ANY_COMMAND, max_size=12), st.lists(ANY_COMMAND, max_size=12))
@settings(max_examples=cases(40), deadline=None)
def test_a_restored_store_goes_on_like_the_one_it_was_made_from(before: list[Any], after: list[Any]) -> None:
    world = run(before)
    other = World()
    other.store = restore(world.store.index, world.records())
    for command in after:
        for each in (world, other):
            with contextlib.suppress(RPCError):
                each.do(command)
    assert other.records() == world.records()


@given(st.lists(ANY_COMMAND, max_size=20))
@settings(max_examples=cases(80), deadline=None)
def test_whoever_sees_another_answer_was_woken_and_sees_a_higher_index(commands: list[Any]) -> None:
    world = World()
    store = world.store
    for command in commands:
        seen = []
        for look in READS:
            watch = WatchSet()
            index, result = look(store, watch)
            woken: list[int] = []
            seen.append((index, result, woken, store.watchers.wait(watch, lambda woken=woken: woken.append(1))))
        with contextlib.suppress(RPCError):
            world.do(command)
        for look, (index, result, woken, waiter) in zip(READS, seen, strict=True):
            waiter.cancel()
            now, shown = look(store, WatchSet())
            assert now >= index
            if shown != result:
                assert woken
                assert now == store.index
            assert bool(woken) == (now != index)
    assert len(store.watchers) == 0


@given(st.lists(REGISTRATIONS.map(Register), max_size=15), st.sampled_from(["a", "b"]))
@settings(max_examples=cases(80), deadline=None)
def test_a_removed_node_leaves_what_the_removal_of_each_of_its_services_and_checks_leaves(
    commands: list[Any], node: str
) -> None:
    """All of them are removed at once, as there may be thousands."""
    together, one_by_one = run(commands), run(commands)
    together.deregister(node)
    store = one_by_one.store
    services = [row.service.id.lower() for row in store.catalog.services_table.by("node", node)]
    checks = [check.check_id.lower() for check in store.catalog.checks_table.by("node", node)]
    with store.change(store.index + 1) as change:
        for service_id in services:
            registration.remove_service(change, node, service_id)
        for check_id in checks:
            registration.remove_check(change, node, check_id)
        registration.remove_node(change, node)
    for look in READS:
        assert look(together.store, WatchSet()) == look(store, WatchSet())


@given(st.lists(REGISTRATIONS.map(Register), max_size=10), st.sampled_from(["a", "b"]))
@settings(max_examples=cases(40), deadline=None)
def test_a_removed_node_whose_change_fails_is_there_again(commands: list[Any], node: str) -> None:
    world = run(commands)
    before, seen = world.records(), [look(world.store, WatchSet()) for look in READS]
    with contextlib.suppress(RPCError), world.store.change(world.store.index + 1) as change:
        registration.remove_node(change, node)
        raise RPCError("the next operation failed")
    assert world.records() == before
    assert [look(world.store, WatchSet()) for look in READS] == seen


@given(st.lists(REGISTRATIONS.map(Register), max_size=15))
@settings(max_examples=cases(80), deadline=None)
def test_services_on_nodes_with_metadata_are_those_of_a_store_of_these_nodes(commands: list[Any]) -> None:
    world = run(commands)
    found = world.store.catalog.services(None, {"k": "v"})[1]
    for node in world.store.catalog.nodes_table.all():
        if (node.meta or {}).get("k") != "v":
            world.deregister(node.node)
    assert found == world.store.catalog.services(None)[1]


def test_services_on_nodes_with_metadata_cost_one_look_at_each_node(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not one at each instance: with 50,000 of them it was half a turn's time."""
    world = World()
    for node, meta in (("here", {"k": "v"}), ("there", {"k": "x"})):
        for number in range(20):
            tags = [f"t{number}"]
            world.register(node, node_meta=meta, service=NodeService(id=f"s{number}", service="web", tags=tags))
    seen: list[str] = []
    has_meta = catalog.has_meta
    monkeypatch.setattr(catalog, "has_meta", lambda node, meta: seen.append(node.node) or has_meta(node, meta))
    assert len(world.store.catalog.services(None, {"k": "v"})[1]["web"]) == 20
    assert seen == ["here", "there"]
