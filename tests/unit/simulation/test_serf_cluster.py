"""Several Serfs on one clock and one seeded network (docs/wire/gossip.md section 6)."""

from random import Random
from typing import Any

import pytest

from consulpy.errors import ConfigError, WireError
from consulpy.memberlist.config import MemberlistConfig
from consulpy.memberlist.member import JoinTarget
from consulpy.serf.config import SerfConfig
from consulpy.serf.delegate import SerfDelegate
from consulpy.serf.events import Event, MemberEvent, QueryEvent, UserEvent
from consulpy.serf.machine import Serf
from consulpy.serf.members import Status
from consulpy.serf.messages import (
    JoinIntent,
    PushPull,
    QueryResponseMessage,
    Relay,
    RelayHeader,
    UDPAddress,
    UserEventMessage,
    decode,
)
from consulpy.serf.query import QueryParams, QueryResult
from consulpy.serf.state import State
from consulpy.testing.simulation.clock import HeapClock
from consulpy.testing.simulation.network import Conditions, Network

SEED = 20261123


class Node:
    """A Serf of the simulation, and what it was told."""

    def __init__(self, cluster: "Cluster", number: int, config: SerfConfig) -> None:
        self.name = f"n{number}"
        self.address = (f"10.0.0.{number}", 7946)
        self.host = cluster.network.host(self.address)
        self.events: list[Event] = []
        self.log: list[str] = []
        members = MemberlistConfig.lan(name=self.name, advertise=self.address)
        rng = Random(SEED + number)
        log = lambda level, text: self.log.append(f"{level}: {text}")  # noqa: E731
        self.serf = Serf(config, members, cluster.clock, rng, self.host, self.told, log=log)
        self.host.attach(self.serf.memberlist)
        self.serf.start()

    def told(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, QueryEvent):
            event.respond(self.name.encode())

    def users(self) -> list[UserEvent]:
        return [event for event in self.events if isinstance(event, UserEvent)]

    def happened(self, name: str) -> list[str]:
        told = [event for event in self.events if isinstance(event, MemberEvent)]
        return [event.kind.value for event in told for member in event.members if member.name == name]

    def status(self, name: str) -> Status:
        member = self.serf.members.get(name)
        return Status.NONE if member is None else member.status


class Cluster:
    """Some nodes that all joined the first."""

    def __init__(self, size: int, conditions: Conditions | None = None, **changes: Any) -> None:
        self.clock = HeapClock()
        self.network = Network(self.clock, SEED, conditions)
        self.config = SerfConfig.consul(**changes)
        self.nodes = [self.add(number) for number in range(1, size + 1)]
        self.clock.advance(5)

    def add(self, number: int) -> Node:
        node = Node(self, number, self.config)
        if number > 1:
            node.serf.join([JoinTarget(("10.0.0.1", 7946))], True, lambda _count, _errors: None)
        return node


def test_everybody_lists_everybody() -> None:
    cluster = Cluster(8)
    for node in cluster.nodes:
        assert {name: member.status for name, member in node.serf.members.items()} == {
            f"n{number}": Status.ALIVE for number in range(1, 9)
        }


def test_a_user_event_reaches_everybody_once_though_packets_are_lost_and_doubled() -> None:
    cluster = Cluster(8, Conditions(loss=0.1, duplication=0.2))
    cluster.nodes[3].serf.user_event("deploy", b"v1", coalesce=False)
    cluster.clock.advance(60)
    for node in cluster.nodes:
        assert node.users() == [UserEvent(1, "deploy", b"v1", False)], node.name


def test_a_joiner_hears_of_past_events_only_if_it_wants_to() -> None:
    cluster = Cluster(2)
    cluster.nodes[0].serf.user_event("deploy", b"v1", coalesce=True)
    cluster.clock.advance(30)
    without = cluster.add(3)
    cluster.clock.advance(1)
    wanting = Node(cluster, 4, cluster.config)
    wanting.serf.join([JoinTarget(("10.0.0.1", 7946))], False, lambda _count, _errors: None)
    cluster.clock.advance(60)
    assert without.users() == []
    assert wanting.users() == [UserEvent(1, "deploy", b"v1", False)]


def test_a_query_is_answered_by_all_it_is_for() -> None:
    cluster = Cluster(5)
    results: list[QueryResult] = []
    params = QueryParams(filter_nodes=["n2", "n4", "n1"], request_ack=True, relay_factor=2)
    cluster.nodes[0].serf.query("who", b"", params, done=results.append)
    cluster.clock.advance(3.1)
    assert results == []
    cluster.clock.advance(0.2)
    assert results[0].responses == {"n1": b"n1", "n2": b"n2", "n4": b"n4"}
    assert sorted(results[0].acks) == ["n1", "n2", "n4"]


def test_relays_save_answers_that_the_direct_way_loses() -> None:
    """6.5: with a relay factor an answer goes other ways too."""
    answered = []
    for relay_factor in (0, 3):
        cluster = Cluster(10, Conditions(loss=0.4))
        results: list[QueryResult] = []
        cluster.nodes[0].serf.query("who", b"", QueryParams(relay_factor=relay_factor), done=results.append)
        cluster.clock.advance(10)
        answered.append(len(results[0].responses))
    assert answered[1] > answered[0]


def test_a_query_can_only_be_answered_once_and_in_time() -> None:
    cluster = Cluster(2)
    asked: list[QueryEvent] = []
    cluster.nodes[1].told = lambda event: asked.append(event)  # type: ignore[assignment, method-assign, arg-type]
    cluster.nodes[1].serf._on_event = cluster.nodes[1].told
    cluster.nodes[0].serf.query("late", b"", QueryParams(timeout_s=1.0))
    cluster.nodes[0].serf.query("twice", b"", QueryParams(timeout_s=60.0))
    cluster.clock.advance(2)
    late, twice = (next(query for query in asked if query.name == name) for name in ("late", "twice"))
    with pytest.raises(ValueError, match="past the deadline"):
        late.respond(b"x")
    with pytest.raises(ValueError, match="response exceeds limit of 1024 bytes"):
        twice.respond(b"x" * 1024)
    twice.respond(b"x")
    with pytest.raises(ValueError, match="already sent"):
        twice.respond(b"x")


def test_a_relay_goes_to_members_and_carries_answers_only() -> None:
    """Section 11: real Serf forwards anything to anywhere."""
    serf = Cluster(2).nodes[0].serf
    answer = QueryResponseMessage(1, 2, "n9", 0, b"").encode()

    def relay(address: bytes, inner: bytes) -> None:
        serf.query_responder.relay(Relay(RelayHeader(UDPAddress(address, 7946), "n2"), inner))

    relay(b"\x0a\x00\x00\x02", answer)
    with pytest.raises(WireError, match="which is no member"):
        relay(b"\x0a\x00\x00\x09", answer)
    with pytest.raises(WireError, match="a relay of a message of type 1"):
        relay(b"\x0a\x00\x00\x02", JoinIntent(1, "n9").encode())
    assert serf.query_responder.relays_refused == 2


@pytest.mark.parametrize("loss", [0.0, 0.1])
def test_a_member_that_leaves_is_left_to_everybody_and_failed_to_nobody(loss: float) -> None:
    """6.8: the intent is transmitted before memberlist's own message.

    Where packets are lost one may get the second before the first, which then comes by push/pull.
    """
    cluster = Cluster(8, Conditions(loss=loss))
    done: list[float] = []
    started = cluster.clock.seconds()
    cluster.nodes[2].serf.leave(lambda: done.append(cluster.clock.seconds() - started))
    cluster.clock.advance(15)
    assert 3.0 < done[0] < 6.0
    assert cluster.nodes[2].serf.state is State.LEFT
    cluster.nodes[2].serf.shutdown()
    cluster.clock.advance(60)
    for node in cluster.nodes:
        if node.name != "n3":
            assert node.status("n3") is Status.LEFT
            assert [what for what in node.happened("n3") if not loss or what != "failed"] == ["join", "leave"]


@pytest.mark.parametrize("later_s", [0.01, 0.05, 0.1, 0.15])
def test_a_push_pull_with_a_member_that_is_leaving_does_not_make_its_leave_a_failure(later_s: float) -> None:
    """Its state says when it announced the leave; taken for the time of a join, it would outdate the announcement."""
    cluster = Cluster(2)
    one, two = cluster.nodes
    two.serf.leave(lambda: None)
    cluster.clock.advance(later_s)
    one.serf.join([JoinTarget(two.address)], True, lambda _count, _errors: None)
    cluster.clock.advance(10)
    assert one.happened("n2") == ["join", "leave"]
    assert one.status("n2") is Status.LEFT


@pytest.mark.parametrize("size", [2, 5])
@pytest.mark.parametrize("later_s", [0.01, 0.05, 0.1, 0.15, 0.25])
def test_a_real_member_whose_leave_crosses_a_push_pull_has_left(
    later_s: float, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real Serf sends the very time of its leave."""
    cluster = Cluster(size)
    leaver = cluster.nodes[1].serf
    ours = SerfDelegate.local_state

    def as_real_serf(delegate: SerfDelegate, join: bool) -> bytes:
        state = decode(ours(delegate, join))
        assert isinstance(state, PushPull)
        assert state.status_ltimes is not None
        for member in delegate._serf.membership.with_status(Status.LEAVING):
            state.status_ltimes[member.name] = member.status_ltime
        return state.encode()

    monkeypatch.setattr(SerfDelegate, "local_state", as_real_serf)
    leaver.leave(lambda: None)
    cluster.clock.advance(later_s)
    others = [node for node in cluster.nodes if node.serf is not leaver]
    for node in others:
        node.serf.join([JoinTarget(cluster.nodes[1].address)], True, lambda _count, _errors: None)
    cluster.clock.advance(10 if size == 2 else 90)  # gossip misses one of five now and then: a push/pull tells it
    assert [node.status("n2") for node in others] == [Status.LEFT] * len(others)


def test_leaving_alone_waits_for_nobody() -> None:
    cluster = Cluster(1)
    done: list[bool] = []
    cluster.nodes[0].serf.leave(lambda: done.append(True))
    cluster.nodes[0].serf.leave(lambda: done.append(True))
    cluster.clock.advance(3.1)
    assert done == [True, True]


def test_a_member_that_crashes_fails_and_force_leave_makes_it_left_everywhere() -> None:
    cluster = Cluster(5)
    cluster.nodes[4].host.crash()
    cluster.clock.advance(40)
    others = cluster.nodes[:4]
    assert {node.status("n5") for node in others} == {Status.FAILED}
    others[1].serf.force_leave("n5")
    cluster.clock.advance(10)
    assert {node.status("n5") for node in others} == {Status.LEFT}
    others[0].serf.force_leave("n5", prune=True)
    cluster.clock.advance(10)
    assert {node.status("n5") for node in others} == {Status.NONE}


def test_a_live_member_contradicts_that_it_is_gone() -> None:
    cluster = Cluster(4)
    cluster.nodes[0].serf.force_leave("n4", prune=True)
    assert cluster.nodes[0].status("n4") is Status.LEAVING
    cluster.clock.advance(10)
    assert {node.status("n4") for node in cluster.nodes} == {Status.ALIVE}


def test_lamport_times_stand_still_in_a_quiet_cluster() -> None:
    """Section 11: real agents raise the times of left members with every push/pull."""
    cluster = Cluster(4)
    cluster.nodes[3].serf.leave(lambda: None)
    cluster.clock.advance(10)
    cluster.nodes[3].serf.shutdown()
    cluster.clock.advance(60)
    times = [node.serf.ltime.time() for node in cluster.nodes[:3]]
    cluster.clock.advance(900)
    assert [node.serf.ltime.time() for node in cluster.nodes[:3]] == times
    assert {node.status("n4") for node in cluster.nodes[:3]} == {Status.LEFT}


def test_a_failed_member_is_tried_again_and_found_after_a_partition() -> None:
    """6.9: memberlist forgot it, Serf has not."""
    cluster = Cluster(3)
    cluster.network.partition(["10.0.0.3"])
    cluster.clock.advance(120)
    assert cluster.nodes[0].status("n3") is Status.FAILED
    assert cluster.nodes[2].status("n1") is Status.FAILED
    cluster.network.heal()
    cluster.clock.advance(300)
    assert {node.status(f"n{number}") for node in cluster.nodes for number in (1, 2, 3)} == {Status.ALIVE}


def test_changed_tags_reach_everybody_as_an_update() -> None:
    cluster = Cluster(4)
    cluster.nodes[0].serf.set_tags({"role": "new"})
    cluster.clock.advance(5)
    for node in cluster.nodes:
        assert node.serf.members["n1"].tags == {"role": "new"}
        assert node.happened("n1")[-1] == "update"
    with pytest.raises(ConfigError, match="exceeds limit"):
        cluster.nodes[0].serf.set_tags({"a": "x" * 600})
    assert cluster.nodes[0].serf.tags == {"role": "new"}


def test_coordinates_are_learned_from_acks() -> None:
    cluster = Cluster(3, Conditions(delay_least_s=0.010, delay_most_s=0.012))
    cluster.clock.advance(300)
    one, two = cluster.nodes[0].serf, cluster.nodes[1].serf
    assert one.coordinates is not None
    theirs = two.coordinate()
    assert theirs is not None
    assert 0.015 < one.coordinates.distance_to_s(theirs) < 0.035
    assert one.cached_coordinate("n2") is not None
    assert one.cached_coordinate("nobody") is None


def test_what_is_too_large_is_refused_before_it_is_sent() -> None:
    serf = Cluster(1, user_event_size_limit_bytes=9216).nodes[0].serf
    with pytest.raises(ValueError, match="exceeds configured limit of 9216 bytes before encoding"):
        serf.user_event("e", b"x" * 9216, False)
    with pytest.raises(ValueError, match="does not fit into a packet"):
        serf.user_event("e", b"x" * 2000, False)
    with pytest.raises(ValueError, match="query exceeds limit of 1024 bytes"):
        serf.query("q", b"x" * 1024)


def test_a_listener_that_fails_costs_one_log_line() -> None:
    cluster = Cluster(1)
    node = cluster.nodes[0]

    def fail(event: Event) -> None:
        raise RuntimeError("no")

    node.serf._on_event = fail
    assert node.serf.user_events.receive(UserEventMessage(1, "deploy", b"", False))
    assert node.log[-1] == "error: handling UserEvent: RuntimeError: no"


def test_stats_have_the_keys_of_consul_info() -> None:
    """The section serf_lan of `consul info`."""
    stats = Cluster(3).nodes[0].serf.stats()
    assert stats["members"] == "3"
    assert list(stats) == [
        "coordinate_resets",
        "encrypted",
        "event_queue",
        "event_time",
        "failed",
        "health_score",
        "intent_queue",
        "left",
        "member_time",
        "members",
        "query_queue",
        "query_time",
    ]


def test_nothing_is_done_after_shutdown() -> None:
    cluster = Cluster(2)
    node = cluster.nodes[1]
    node.serf.shutdown()
    node.serf.shutdown()
    told = len(node.events)
    errors: list[str] = []
    node.serf.join([JoinTarget(("10.0.0.1", 7946))], True, lambda count, why: errors.extend(why))
    cluster.clock.advance(60)
    assert errors == ["Serf can't Join after Leave or Shutdown (it is shutdown)"]
    assert len(node.events) == told
    assert cluster.nodes[0].status("n2") is Status.FAILED
