"""A term of office: the first entries, members as they come and go, sweeps, coordinates, trouble with the disk."""

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.task import Clock

from consulpy.errors import RPCError
from consulpy.leader.coordinates import BATCH_SIZE, BATCHES
from consulpy.leader.leader import Leader
from consulpy.serf.events import MemberEvent, MemberEventKind, UserEvent
from consulpy.serf.members import Member, Status
from consulpy.state.commands import Command, CoordinateBatchUpdate, Register
from consulpy.state.log import MemoryLog
from consulpy.state.store import Store
from consulpy.structs.check import HealthCheck
from consulpy.structs.coordinate import Coord
from consulpy.structs.operator import AutopilotConfig
from consulpy.structs.requests import CoordinateUpdateRequest, RegisterRequest


class SlowLog:
    """A log whose commits end when the test says so; `fail` makes them end badly."""

    def __init__(self) -> None:
        self.store = Store()
        self.inner = MemoryLog(self.store)
        self.waiting: list[tuple[Command, Callable[[Any], None]]] = []
        self.submitted: list[str] = []
        self.slow = False
        self.fail = False

    def submit(self, command: Command, done: Callable[[Any], None]) -> None:
        self.submitted.append(type(command).__name__)
        self.waiting.append((command, done))
        if not self.slow:
            self.commit()

    def commit(self) -> None:
        waiting, self.waiting = self.waiting, []
        for command, done in waiting:
            if self.fail:
                done(RPCError("disk full"))
            else:
                self.inner.submit(command, done)

    def close(self) -> None:
        pass


class Pool:
    def __init__(self) -> None:
        self.members: dict[str, Member] = {}
        self.events: list[tuple[str, bytes, bool]] = []

    def user_event(self, name: str, payload: bytes, coalesce: bool) -> None:
        self.events.append((name, payload, coalesce))


class World:
    def __init__(self) -> None:
        self.clock, self.log, self.pool = Clock(), SlowLog(), Pool()
        self.said: list[str] = []
        self.ready: list[int] = []
        self.measured: list[tuple[str, float]] = []
        self.put(member("s1", role="consul", port="8300", vsn="2", raft_vsn="3"))
        self.leader = self.elect()

    def elect(self, has_rejoined: Callable[[], bool] = lambda: True) -> Leader:
        return Leader(
            "dc1",
            "s1",
            self.log,
            self.pool,
            self.clock,
            on_ready=lambda: self.ready.append(self.log.store.index),
            log=lambda _level, text: self.said.append(text),
            metrics=self,
            has_rejoined=has_rejoined,
        )

    def sample(self, name: str, value: float, labels: Any = None) -> None:
        self.measured.append((name, value))

    def incr(self, name: str, value: float = 1, labels: Any = None) -> None:
        pass

    def put(self, each: Member) -> Member:
        self.pool.members[each.name] = each
        return each

    def tell(self, kind: MemberEventKind, *members: Member) -> None:
        self.leader.member_event(MemberEvent(kind, list(members)))

    def nodes(self) -> list[str]:
        return [node.node for node in self.log.store.catalog.nodes(None)[1]]

    def health(self, name: str) -> str:
        check = self.log.store.catalog.check(name, "serfHealth")
        return check.status if check is not None else ""


def member(name: str, status: Status = Status.ALIVE, **tags: str) -> Member:
    return Member(
        name=name,
        address="127.0.0.9",
        tags={"role": "node", "dc": "dc1", "id": "", "build": "1.8.7:x", **tags},
        status=status,
        protocol_min=1,
        protocol_max=5,
        protocol_cur=2,
    )


def test_a_reconciliation_is_measured_until_its_writes_are_stored(world: World) -> None:
    world.leader.start()
    world.measured.clear()
    world.put(member("c1"))
    world.log.slow = True
    world.clock.advance(59)
    assert world.measured == []
    world.clock.advance(1)
    assert world.measured == [("leader.reconcileMember", 0)], "the leader itself, where nothing is to be written"
    world.clock.advance(0.25)
    world.log.commit()
    assert world.measured[1:] == [("leader.reconcileMember", 250), ("leader.reconcile", 250)]


def test_the_barrier_of_a_new_leader_is_measured(world: World) -> None:
    world.log.slow = True
    world.leader.start()
    world.clock.advance(0.125)
    world.log.commit()
    assert world.measured == [("leader.barrier", 125)]


@pytest.fixture
def world() -> World:
    return World()


def test_the_first_entries_of_a_datacenter_are_consuls(world: World) -> None:
    """Index by index (docs/wire/rpc.md 13): what HTTP shows of a fresh server follows from it."""
    world.put(member("c1"))
    world.leader.start()
    assert world.log.submitted == [
        "Configuration",
        "Noop",
        "Barrier",
        "Autopilot",
        "Register",
        "FederationState",
        "Register",
    ]
    assert world.ready == [6]
    assert world.pool.events == [("consul:new-leader", b"s1", False)]
    store = world.log.store
    assert store.catalog.nodes(None)[0] == 7
    assert store.catalog.services(None) == (5, {"consul": []})
    assert store.operator.autopilot(None)[0] == 4


def test_the_first_autopilot_configuration_is_that_of_the_file(world: World) -> None:
    first = AutopilotConfig(cleanup_dead_servers=False, min_quorum=3)
    Leader("dc1", "s1", world.log, world.pool, world.clock, autopilot=first).start()
    found = world.log.store.operator.autopilot(None)[1]
    assert found is not None
    assert (found.cleanup_dead_servers, found.min_quorum) == (False, 3)


def test_a_leader_that_comes_back_writes_only_what_is_missing(world: World) -> None:
    world.leader.start()
    world.leader.stop()
    world.log.submitted.clear()
    world.leader = world.elect()
    world.leader.start()
    assert world.log.submitted == ["Noop", "Barrier"]
    assert world.leader.ready


def test_nobody_is_answered_before_the_first_entries_are_stored(world: World) -> None:
    world.log.slow = True
    world.leader.start()
    assert not world.ready
    world.log.commit()
    assert not world.ready, "own registration is still to be stored"
    world.log.commit()
    assert world.ready


def test_members_come_fail_and_leave(world: World) -> None:
    world.leader.start()
    one = world.put(member("c1"))
    world.tell(MemberEventKind.JOIN, one)
    assert (world.nodes(), world.health("c1")) == (["c1", "s1"], "passing")
    one.status = Status.FAILED
    world.tell(MemberEventKind.FAILED, one)
    assert world.health("c1") == "critical"
    one.status = Status.ALIVE
    world.tell(MemberEventKind.JOIN, one)
    assert world.health("c1") == "passing"
    one.status = Status.LEFT
    world.tell(MemberEventKind.LEAVE, one)
    assert world.nodes() == ["s1"]


def test_a_reaped_member_is_deregistered(world: World) -> None:
    world.leader.start()
    one = world.put(member("c1"))
    world.tell(MemberEventKind.JOIN, one)
    one.status = Status.FAILED
    world.tell(MemberEventKind.FAILED, one)
    del world.pool.members["c1"]
    world.tell(MemberEventKind.REAP, one)
    assert world.nodes() == ["s1"]


def test_what_happens_while_a_change_is_being_stored_is_written_next_and_only_once(world: World) -> None:
    world.leader.start()
    world.log.slow = True
    world.log.submitted.clear()
    one = world.put(member("c1"))
    world.tell(MemberEventKind.JOIN, one)
    world.tell(MemberEventKind.UPDATE, one)
    one.status = Status.FAILED
    world.tell(MemberEventKind.FAILED, one)
    assert world.log.submitted == ["Register"]
    world.log.commit()
    world.log.commit()
    world.log.commit()
    assert world.log.submitted == ["Register", "Register"]
    assert world.health("c1") == "critical"


def test_the_sweep_mends_what_no_event_told(world: World) -> None:
    world.leader.start()
    one = world.put(member("c1"))
    world.tell(MemberEventKind.JOIN, one)
    del world.pool.members["c1"]
    world.put(member("c2"))
    world.clock.advance(59)
    assert world.nodes() == ["c1", "s1"]
    world.clock.advance(1.1)
    assert world.nodes() == ["c2", "s1"]
    before = world.log.store.index
    world.clock.advance(60)
    assert world.log.store.index == before, "a sweep that finds nothing writes nothing"


def test_a_server_that_was_restarted_removes_no_node_before_it_can_have_rejoined_its_members(world: World) -> None:
    client = world.put(member("c1"))
    world.leader.start()
    world.leader.stop()
    del world.pool.members["c1"]
    world.put(member("c2"))
    has_rejoined = False
    world.leader = world.elect(lambda: has_rejoined)
    world.leader.start()
    assert world.nodes() == ["c1", "c2", "s1"]
    world.clock.pump([0.5] * 100)
    assert world.nodes() == ["c1", "c2", "s1"], "its services and locks are kept"
    world.put(client)
    del world.pool.members["c2"]
    has_rejoined = True
    world.clock.advance(0.5)
    assert world.nodes() == ["c1", "s1"], "what is no member by then is removed at once"


def test_a_failed_write_is_said_and_made_good_by_the_next_sweep(world: World) -> None:
    world.leader.start()
    world.log.fail = True
    world.tell(MemberEventKind.JOIN, world.put(member("c1")))
    assert world.nodes() == ["s1"]
    assert "disk full" in world.said[-1]
    world.log.fail = False
    world.clock.advance(60)
    assert world.nodes() == ["c1", "s1"]


def test_a_leader_whose_log_fails_at_the_start_tries_again(world: World) -> None:
    world.log.fail = True
    world.leader.start()
    assert not world.leader.ready
    world.log.fail = False
    world.clock.advance(1)
    assert world.leader.ready
    assert any("cannot lead" in text for text in world.said)


def test_a_server_whose_name_is_anothers_in_the_state_leads_all_the_same(world: World) -> None:
    """The state of another cluster was restored, whose server had this one's name; seen: real Consul leads."""
    world.pool.members.clear()
    world.leader.start()
    world.leader.stop()
    other = RegisterRequest(datacenter="dc1", node="s1", id="cf000000-0000-0000-0000-0000000000ff", address="10.9.9.9")
    other.check = HealthCheck(check_id="serfHealth", name="Serf Health Status", status="passing", node="s1")
    world.log.submit(Register(other), lambda _: None)
    own_id = "cf000000-0000-0000-0000-0000000000aa"
    world.put(member("s1", role="consul", port="8300", vsn="2", raft_vsn="3", id=own_id))
    world.leader.start()
    assert world.leader.ready
    assert any("reserved by node" in text for text in world.said)


def test_a_second_server_is_said_once(world: World) -> None:
    world.leader.start()
    other = world.put(member("s2", role="consul", port="8300", vsn="2"))
    for _ in range(3):
        world.tell(MemberEventKind.UPDATE, other)
    assert len([text for text in world.said if "second server" in text]) == 1
    other.status = Status.FAILED
    world.tell(MemberEventKind.FAILED, other)
    other.status = Status.ALIVE
    world.tell(MemberEventKind.JOIN, other)
    assert len([text for text in world.said if "second server" in text]) == 2


def test_other_events_and_events_out_of_office_are_nothing(world: World) -> None:
    world.tell(MemberEventKind.JOIN, world.put(member("c1")))
    assert not world.log.submitted
    world.leader.start()
    world.leader.member_event(UserEvent(1, "x", b""))
    world.leader.stop()
    before = world.log.store.index
    world.tell(MemberEventKind.JOIN, world.put(member("c2")))
    world.clock.advance(300)
    assert world.log.store.index == before
    assert not world.clock.getDelayedCalls()


# Coordinates


def update(node: str, x: float = 0.0) -> CoordinateUpdateRequest:
    return CoordinateUpdateRequest(node=node, coord=Coord(vec=[x, *[0.0] * 7]))


def test_coordinates_are_written_every_five_seconds_the_last_of_each_node(world: World) -> None:
    world.leader.start()
    before = world.log.store.index
    for x in range(10):
        world.leader.queue_coordinate(update("s1", float(x)))
    world.clock.advance(4.9)
    assert world.log.store.index == before
    world.clock.advance(0.2)
    assert world.log.store.index == before + 1
    (row,) = world.log.store.coordinates.all(None)[1]
    assert row.coord is not None
    assert row.coord.vec[0] == 9.0
    world.clock.advance(20)
    assert world.log.store.index == before + 1, "nothing came, nothing is written"


def test_a_flood_of_coordinates_is_bounded(world: World) -> None:
    world.leader.start()
    world.log.submitted.clear()
    limit = BATCH_SIZE * BATCHES
    for number in range(limit + 10):
        world.leader.queue_coordinate(update(f"n{number}"))
    assert world.leader.coordinates.dropped == 10
    world.clock.advance(5)
    assert world.log.submitted == [CoordinateBatchUpdate.__name__] * BATCHES


@pytest.mark.parametrize("status", [Status.ALIVE, Status.FAILED, Status.LEFT])
@pytest.mark.parametrize(("name", "node_id"), [("C1", "other"), ("C1", ""), ("thief", "C1-ID"), ("S1", "")])
def test_a_member_with_a_live_ones_name_or_id_in_other_capitals_changes_nothing(
    world: World, status: Status, name: str, node_id: str
) -> None:
    """Gossip tells capitals apart, the catalog does not: the node stays with the one that has it."""
    world.leader.start()
    world.leader.member_event(MemberEvent(MemberEventKind.JOIN, [world.put(member("c1", id="c1-id"))]))
    before = world.log.store.index
    kinds = {
        Status.ALIVE: MemberEventKind.JOIN,
        Status.FAILED: MemberEventKind.FAILED,
        Status.LEFT: MemberEventKind.LEAVE,
    }
    thief = world.put(member(name, status, id=node_id))
    thief.address = "127.66.6.6"
    world.leader.member_event(MemberEvent(kinds[status], [thief]))
    world.leader.member_event(MemberEvent(MemberEventKind.REAP, [world.pool.members.pop(name)]))
    world.clock.advance(61.0)
    assert world.log.store.index == before
    assert sorted(world.nodes()) == ["c1", "s1"]


@pytest.mark.parametrize("port", ["70000", "0", "", "x"])
def test_a_server_with_senseless_tags_is_no_member_of_the_datacenter(world: World, port: str) -> None:
    world.leader.start()
    before = world.log.store.index
    odd = world.put(member("s2", role="consul", port=port, vsn="2"))
    world.leader.member_event(MemberEvent(MemberEventKind.JOIN, [odd]))
    assert world.log.store.index == before
    assert not world.log.store.catalog.has_node("s2")
