"""The store's own promises: atomic changes, replays and snapshots that mean the same, waiters woken for what they read.

Which index each change raises is proved against recorded answers of real Consul in unit/endpoints/test_history.py;
the rows of docs/wire/rpc.md 14 stand here one by one.
"""

from typing import Any

import pytest

from consulpy.errors import RPCError
from consulpy.state.commands import (
    COMMANDS,
    Autopilot,
    Barrier,
    Configuration,
    CoordinateBatchUpdate,
    Deregister,
    Noop,
    Register,
    decode,
)
from consulpy.state.store import Store
from consulpy.state.watch import WatchSet
from consulpy.structs.check import HealthCheck
from consulpy.structs.coordinate import Coord, Coordinate
from consulpy.structs.operator import AutopilotConfig, AutopilotSetRequest
from consulpy.structs.requests import DeregisterRequest, RegisterRequest
from consulpy.structs.service import ConnectProxy, NodeService, ServiceConnect
from tests.harness.store import ID1, ID2, World, check, service


@pytest.fixture
def world() -> World:
    return World()


# docs/wire/rpc.md 14, row by row


def test_an_unknown_service_moves_with_the_tables_until_the_first_disappearance(world: World) -> None:
    catalog = world.store.catalog
    last = world.register("a")
    assert catalog.service_nodes(None, "nope")[0] == last
    last = world.register("a", check=check("a", "c"))
    assert catalog.service_nodes(None, "nope")[0] == last - 1
    assert catalog.check_service_nodes(None, "nope")[0] == last
    world.register("a", service=service("web"))
    gone = world.deregister("a", service_id="web")
    world.register("b")
    assert catalog.service_nodes(None, "nope")[0] == gone
    assert catalog.check_service_nodes(None, "nope")[0] == gone
    assert catalog.service_nodes(None, "web")[0] == gone


def test_a_service_has_an_index_of_its_own(world: World) -> None:
    catalog = world.store.catalog

    def index() -> int:
        both = catalog.service_nodes(None, "WEB")[0], catalog.check_service_nodes(None, "web")[0]
        assert both[0] == both[1]
        return both[0]

    for fields in (
        {},
        {"service": service("web")},
        {"check": check("a", "of-the-node")},
        {"check": check("a", "of-web", service_id="web")},
        {"address": "10.0.0.2"},
    ):
        now = world.register("a", **fields)
        assert index() == now
    before = index()
    world.register("b", service=service("db"))
    world.register("b", check=check("b", "c"))
    world.register("a", address="10.0.0.2", service=service("other"))
    assert index() == before


@pytest.mark.parametrize("what", ["node", "service"])
def test_the_same_registration_again_moves_nothing(world: World, what: str) -> None:
    again: dict[str, Any] = {"service": service("web")} if what == "service" else {}
    world.register("a", **again)
    before = dict(world.store.indexes.items())
    assert world.register("a", **again) == 2
    assert dict(world.store.indexes.items()) == before


def test_the_same_check_again_moves_only_its_table(world: World) -> None:
    same = {"service": service("web"), "check": check("a", "c", service_id="web")}
    world.register("a", **same)
    before = dict(world.store.indexes.items())
    now = world.register("a", **same)
    assert dict(world.store.indexes.items()) == before | {"checks": now}
    found = world.store.catalog.check("a", "c")
    assert found is not None
    assert found.modify_index == 1


def test_deregistering_what_is_missing_moves_nothing(world: World) -> None:
    world.register("a", service=service("web"))
    before = dict(world.store.indexes.items())
    world.deregister("b")
    world.deregister("a", service_id="nope")
    world.deregister("a", check_id="nope")
    assert dict(world.store.indexes.items()) == before
    assert world.store.index == 4


def test_deregistering_a_service_moves_the_checks_even_without_one(world: World) -> None:
    world.register("a", service=service("web"))
    now = world.deregister("a", service_id="web")
    assert world.store.catalog.node_checks(None, "any")[0] == now


def test_a_node_takes_everything_with_it(world: World) -> None:
    world.register("a", service=service("web"), check=check("a", "c", service_id="web"))
    world.do(CoordinateBatchUpdate([Coordinate(node="a", coord=Coord())]))
    now = world.deregister("a")
    indexes = world.store.indexes
    assert [indexes.get(table) for table in ("nodes", "services", "checks", "coordinates")] == [now] * 4
    assert not world.store.catalog.node_dump(None)[1]
    assert not world.store.coordinates.all(None)[1]


def test_an_unknown_node_has_no_index_and_its_coming_wakes(world: World) -> None:
    watch = WatchSet()
    assert world.store.catalog.node_services(watch, "b") == (0, None)
    woken: list[int] = []
    world.store.watchers.wait(watch, lambda: woken.append(world.store.index))
    world.register("a", service=service("web"))
    assert not woken
    world.register("B")
    assert woken == [2]


def test_where_consul_leaves_a_stale_answer_the_loser_moves_too(world: World) -> None:
    """Not copied: a service id that changes its name, a check that moves to another service."""
    catalog = world.store.catalog
    world.register("a", service=service("web"), check=check("a", "c", service_id="web"))
    world.register("a", service=service("db"))
    now = world.register("a", check=check("a", "c", service_id="db"))
    assert catalog.check_service_nodes(None, "web")[0] == now
    now = world.register("a", service=NodeService(id="web", service="www"))
    assert catalog.check_service_nodes(None, "web") == (now, [])


def test_names_that_vanish_leave_no_index(world: World) -> None:
    """Their answers have the index of the last disappearance of any service."""
    world.register("a", service=service("lasting"))
    known = set()
    for number in range(50):
        name = f"once{number}"
        native = service(name, connect=ServiceConnect(native=True))
        world.register(f"node{number}", service=native, check=check(f"node{number}", "c", service_id=name))
        proxy = service(f"{name}-proxy", kind="connect-proxy", proxy=ConnectProxy(destination_service_name=name))
        world.register("a", service=proxy)
        now = world.deregister(f"node{number}")
        assert world.store.catalog.check_service_nodes(None, name) == (now, [])
        now = world.deregister("a", service_id=proxy.id)
        assert world.store.catalog.check_service_nodes(None, name, connect=True) == (now, [])
        known |= {key for key, _ in world.store.indexes.items() if number == 0}
    assert {key for key, _ in world.store.indexes.items()} == known
    assert not [key for key in known if "once" in str(key)]


def test_a_proxy_is_found_under_what_it_leads_to(world: World) -> None:
    catalog = world.store.catalog
    proxy = NodeService(
        kind="connect-proxy",
        id="p",
        service="web-sidecar-proxy",
        proxy=ConnectProxy(destination_service_name="web"),
    )
    world.register("a", service=service("web", connect=ServiceConnect(native=True)))
    now = world.register("b", service=proxy)
    index, found = catalog.check_service_nodes(None, "WEB", connect=True)
    assert index == now
    assert [row.service.id for row in found if row.service] == ["web", "p"]
    assert [row.service.id for row in catalog.service_dump(None, "connect-proxy")[1] if row.service] == ["p"]
    now = world.deregister("b", service_id="p")
    assert catalog.check_service_nodes(None, "web", connect=True)[0] == now
    now = world.deregister("a", service_id="web")
    assert catalog.check_service_nodes(None, "web", connect=True) == (now, [])


def test_coordinates_of_unknown_nodes_are_left_out(world: World) -> None:
    world.register("a")
    world.do(CoordinateBatchUpdate([Coordinate(node="A", coord=Coord()), Coordinate(node="b", coord=Coord())]))
    index, rows = world.store.coordinates.all(None)
    assert (index, [row.node for row in rows]) == (2, ["A"])
    assert world.store.coordinates.node(None, "b") == (2, ())


# Nodes and their ids


def test_a_living_nodes_name_is_reserved(world: World) -> None:
    world.register("a", id=ID1, check=check("a", "serfHealth"))
    with pytest.raises(RPCError, match=f'Node ID: "{ID2}": Node name a is reserved by node {ID1} with name a '):
        world.register("a", id=ID2)
    world.register("b", id=ID2)
    with pytest.raises(RPCError, match=rf'Node ID: "{ID2}" \(10.0.0.1\): Node name a is reserved'):
        world.register("a", id=ID2)
    world.register("a", id=ID1, check=check("a", "serfHealth", "critical"))
    world.register("a", id=ID2)
    assert [(node.node, node.id) for node in world.store.catalog.nodes(None)[1]] == [("a", ID2)]


def test_a_known_id_under_another_name_renames_and_loses_everything_else(world: World) -> None:
    world.register("a", id=ID1, service=service("web"), check=check("a", "serfHealth"))
    world.register("b", id=ID1)
    catalog = world.store.catalog
    (node,) = catalog.nodes(None)[1]
    assert (node.node, node.create_index, node.modify_index) == ("b", 1, 2)
    assert catalog.node_services(None, ID1)[1] is not None
    assert catalog.node_info(None, "b")[1][0].services is None  # type: ignore[index]


# Promises


def test_a_change_that_fails_changes_nothing_but_the_index(world: World) -> None:
    world.register("a", service=service("web"))
    before, indexes = world.records(), dict(world.store.indexes.items())
    woken: list[int] = []
    watch = WatchSet()
    world.store.catalog.node_dump(watch)
    world.store.watchers.wait(watch, lambda: woken.append(1))
    with pytest.raises(RPCError, match="Missing service registration"):
        world.register("a", address="9.9.9.9", service=service("db"), check=check("a", "c", service_id="none"))
    assert world.records() == before
    assert dict(world.store.indexes.items()) == indexes
    assert world.store.index == 2
    assert not woken


def test_readers_keep_what_they_read(world: World) -> None:
    """Rows are replaced, never changed: a slow writer of an answer sees one moment."""
    world.register("a", service=service("web", port=1))
    _, (row,) = world.store.catalog.check_service_nodes(None, "web")
    world.register("a", address="10.9.9.9", service=service("web", port=2))
    assert row.service is not None
    assert row.node is not None
    assert (row.service.port, row.node.address) == (1, "10.0.0.1")


def test_markers_take_an_index_and_change_nothing(world: World) -> None:
    for number, marker in enumerate((Configuration(), Noop(), Barrier()), 1):
        world.do(marker)
        assert world.store.index == number
    assert not dict(world.store.indexes.items())


def test_autopilot_is_written_once_and_then_checked(world: World) -> None:
    assert world.do(Autopilot(AutopilotSetRequest())) is True
    late = AutopilotSetRequest(cas=True, config=AutopilotConfig(max_trailing_logs=1))
    assert world.do(Autopilot(late)) is False
    late.config.modify_index = 1
    assert world.do(Autopilot(late)) is True
    index, config = world.store.operator.autopilot(None)
    assert config is not None
    assert (index, config.create_index, config.modify_index) == (3, 1, 3)


def test_an_unknown_command_is_passed_over_only_if_it_says_so() -> None:
    assert isinstance(decode(bytes([128 + 50])), Barrier)
    with pytest.raises(Exception, match="unknown type 50"):
        decode(bytes([50]))
    assert all(kind == command.TYPE for kind, command in COMMANDS.items())


def test_a_restored_state_wakes_everybody(world: World) -> None:
    woken: list[int] = []
    watch = WatchSet()
    world.store.catalog.nodes(watch)
    world.store.watchers.wait(watch, lambda: woken.append(1))
    world.store.replace_by(Store())
    assert woken


def test_a_large_service_is_built_once_until_something_changes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """All watchers of a service wake at the same change; each would build thousands of records."""
    monkeypatch.setattr("consulpy.state.catalog.SHARED_MIN", 1)
    catalog = world.store.catalog
    web = NodeService(id="web", service="web")
    changes = [
        RegisterRequest(node="n", address="10.0.0.1", service=web),
        RegisterRequest(node="n", address="10.0.0.2"),
        RegisterRequest(node="n", address="10.0.0.2", checks=[HealthCheck(node="n", check_id="up", status="passing")]),
        RegisterRequest(node="n", address="10.0.0.2", checks=[HealthCheck(node="n", check_id="up", status="critical")]),
        RegisterRequest(node="n", address="10.0.0.2", service=NodeService(id="web", service="web", port=80)),
        RegisterRequest(node="m", address="10.0.0.3", service=web),
    ]
    for change in [*map(Register, changes), Deregister(DeregisterRequest(node="n", check_id="up"))]:
        world.do(change)
        for read in (catalog.check_service_nodes, catalog.service_nodes):
            first, again = read(None, "web")[1], read(None, "web")[1]
            assert [id(row) for row in first] == [id(row) for row in again]
            again.clear()  # a reader's list is its own
            with monkeypatch.context() as patch:
                patch.setattr("consulpy.state.catalog.SHARED_MIN", 1000)
                assert read(None, "web")[1] == first == read(None, "web")[1]
    assert len(catalog.check_service_nodes(None, "web")[1]) == 2
