"""Lamport times at every edge: no time of one packet ends events, queries or leaves (docs/wire/gossip.md 6.1)."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consulpy.memberlist.config import MemberlistConfig
from consulpy.memberlist.member import JoinTarget
from consulpy.memberlist.stream import PushPull as StreamPushPull
from consulpy.serf.config import SerfConfig
from consulpy.serf.events import Event, QueryEvent, UserEvent
from consulpy.serf.machine import Serf
from consulpy.serf.members import Status
from consulpy.serf.messages import (
    JoinIntent,
    LeaveIntent,
    Message,
    PastEvent,
    PastEvents,
    PushPull,
    QueryMessage,
    UserEventMessage,
)
from consulpy.serf.query import QueryResult
from consulpy.serf.snapshot import replay
from consulpy.testing.simulation.clock import HeapClock
from consulpy.testing.simulation.network import Network
from tests.harness.effort import cases
from tests.unit.serf.test_snapshot import MemoryStore

SEED = 20261129
EDGES = [0, 1, 2**31, 2**32 - 1, 2**32, 2**33, 2**53, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 2, 2**64 - 1]


class Member:
    """A Serf with a snapshot, and the user events that it was told."""

    def __init__(self, network: Network, clock: HeapClock, number: int, store: MemoryStore) -> None:
        self.name, self.store, self.told = f"n{number}", store, list[str]()
        self.log: list[str] = []
        address = (f"10.0.0.{number}", 7946)
        host = network.host(address)
        self.serf = Serf(
            SerfConfig.consul(),
            MemberlistConfig.lan(name=self.name, advertise=address),
            clock,
            Random(SEED + number),
            host,
            self.hear,
            snapshot=store,
            log=lambda level, text: self.log.append(f"{level}: {text}"),
        )
        host.attach(self.serf.memberlist)
        self.serf.start()

    def hear(self, event: Event) -> None:
        if isinstance(event, UserEvent):
            self.told.append(event.payload.decode())
        elif isinstance(event, QueryEvent):
            event.respond(self.name.encode())

    def get(self, message: Message) -> None:
        """One packet of an attacker."""
        self.serf.memberlist.packet_received(b"\x08" + message.encode(), ("10.9.9.9", 999))


class Trio:
    """Three members that know each other."""

    def __init__(self) -> None:
        self.clock = HeapClock()
        self.network = Network(self.clock, SEED)
        self.members = [Member(self.network, self.clock, number, MemoryStore()) for number in (1, 2, 3)]
        self.join(*self.members[1:])
        self.clock.advance(10)

    def join(self, *members: Member) -> None:
        for member in members:
            member.serf.join([JoinTarget(("10.0.0.1", 7946))], True, lambda _count, _errors: None)

    def tell(self, index: int, payload: str) -> None:
        self.members[index].serf.user_event("deploy", payload.encode(), coalesce=False)
        self.clock.advance(3)

    def restart(self, index: int) -> None:
        old = self.members[index]
        old.serf.shutdown()
        self.clock.advance(2)
        self.members[index] = Member(self.network, self.clock, index + 1, old.store)
        self.clock.advance(10)


def poison(kind: str, ltime: int, payload: bytes = b"evil") -> Message:
    if kind == "event":
        return UserEventMessage(ltime, "x", payload, False)
    if kind == "query":
        return QueryMessage(ltime, 7, bytes(4), 1, "n9", None, 0, 0, 10**9, "x", payload)
    return JoinIntent(ltime, "n2") if kind == "join" else LeaveIntent(ltime, "n2")


@pytest.mark.parametrize("ltime", EDGES)
def test_events_are_heard_by_all_after_any_time(ltime: int) -> None:
    trio = Trio()
    trio.tell(0, "before")
    trio.members[1].get(poison("event", ltime))
    trio.clock.advance(3)
    sent = ["before"]
    for index, payload in ((0, "a"), (1, "b"), (2, "c"), (0, "d")):
        trio.tell(index, payload)
        sent.append(payload)
    trio.clock.advance(120)  # several push/pulls
    for member in trio.members:
        assert [payload for payload in member.told if payload != "evil"] == sent, member.name
        assert member.told.count("evil") <= 1


@pytest.mark.parametrize("ltime", EDGES)
def test_events_are_heard_after_any_time_and_a_restart(ltime: int) -> None:
    trio = Trio()
    trio.members[1].get(poison("event", ltime))
    trio.clock.advance(3)
    trio.restart(1)
    for index, payload in ((0, "a"), (1, "b"), (2, "c")):
        trio.tell(index, payload)
    for member in trio.members:
        assert [payload for payload in member.told if payload != "evil"] == ["a", "b", "c"], member.name


@pytest.mark.parametrize("ltime", EDGES)
def test_queries_are_answered_by_all_after_any_time(ltime: int) -> None:
    trio = Trio()
    for member in trio.members:
        member.get(poison("query", ltime))
    trio.clock.advance(3)
    trio.restart(2)
    for index in (0, 1, 2):
        results: list[QueryResult] = []
        trio.members[index].serf.query("who", b"", done=results.append)
        trio.clock.advance(10)
        assert sorted(results[0].responses) == ["n1", "n2", "n3"]


@pytest.mark.parametrize("kind", ["join", "leave"])
@pytest.mark.parametrize("ltime", EDGES)
def test_a_member_leaves_as_one_that_left_after_an_intent_of_any_time(kind: str, ltime: int) -> None:
    """Real Serf takes the time: then nothing that the member says is ever newer, and its leave is a failure."""
    trio = Trio()
    for member in trio.members:
        member.get(poison(kind, ltime))
    trio.clock.advance(60)
    assert [member.serf.members["n2"].status for member in trio.members] == [Status.ALIVE] * 3
    trio.members[1].serf.leave(lambda: None)
    trio.clock.advance(5)
    trio.members[1].serf.shutdown()
    trio.clock.advance(30)
    assert [trio.members[index].serf.members["n2"].status for index in (0, 2)] == [Status.LEFT] * 2


@pytest.mark.parametrize("clock", ["clock", "event-clock", "query-clock"])
def test_a_snapshot_that_was_poisoned_before_heals_at_the_start(clock: str) -> None:
    trio = Trio()
    store = MemoryStore(f"alive: n1 10.0.0.1:7946\n{clock}: {2**64 - 1}\n")
    fourth = Member(trio.network, trio.clock, 4, store)
    trio.members.append(fourth)
    trio.clock.advance(10)
    for index, payload in ((0, "a"), (3, "b")):
        trio.tell(index, payload)
    for member in trio.members:
        assert member.told == ["a", "b"], member.name
    assert any(f"snapshot: {clock} shows a time" in line for line in fourth.log)
    fourth.serf.shutdown()
    replayed = replay(store.text, rejoin_after_leave=False)
    assert max(replayed.clock, replayed.event_clock, replayed.query_clock) < 2**32


def reached(member: Member) -> int:
    """The highest of a member's clocks."""
    serf = member.serf
    return max(clock.time() for clock in (serf.ltime, serf.user_events.ltime, serf.query_responder.ltime))


@pytest.mark.parametrize("kind", ["event", "query", "join", "leave"])
@pytest.mark.parametrize("ltime", [2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64 - 2, 2**64 - 1])
def test_an_absurd_time_goes_no_further_than_the_member_that_was_attacked(kind: str, ltime: int) -> None:
    """A real member follows any time, keeps it in its snapshot, and wraps to 0: no own member passes one on."""
    trio = Trio()
    trio.members[1].get(poison(kind, ltime))
    passed_on = trio.members[1].serf.broadcasts.get(0, 10**6)
    trio.clock.advance(60)
    assert passed_on == []
    assert [reached(member) < 100 for member in trio.members] == [True] * 3
    for member in trio.members:
        replayed = replay(member.store.text, rejoin_after_leave=False)
        assert max(replayed.clock, replayed.event_clock, replayed.query_clock) < 100
        assert replayed.reset_clocks == []


@pytest.mark.parametrize("join", [False, True])
@pytest.mark.parametrize("ltime", [2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 2, 2**64 - 1])
def test_a_push_pull_that_nobody_asked_for_moves_no_clock_absurdly(ltime: int, join: bool) -> None:
    trio = Trio()
    forged = PushPull(
        ltime, {"n2": ltime, "n3": ltime}, ["n3"], ltime, [PastEvents(ltime, [PastEvent("x", b"evil")])], ltime
    )
    message = StreamPushPull(join, [], forged.encode())
    trio.members[0].serf.memberlist.handle_stream_message(message, ("10.9.9.9", 999))
    for index, payload in ((0, "a"), (1, "b"), (2, "c")):
        trio.tell(index, payload)
    for member in trio.members:
        assert [payload for payload in member.told if payload != "evil"] == ["a", "b", "c"], member.name
        assert reached(member) < 100
        statuses = [member.serf.members[name].status for name in ("n1", "n2", "n3")]
        assert statuses == [Status.ALIVE] * 3, "who is said to have left says that it has not"


def test_a_partner_that_was_asked_is_followed() -> None:
    """A real member that was poisoned ignores the events of all whose clocks are behind."""
    trio = Trio()
    for clock in (trio.members[1].serf.ltime, trio.members[1].serf.user_events.ltime):
        clock.witness(2**50)
    trio.clock.advance(600)
    trio.tell(0, "a")
    assert [reached(member) > 2**50 for member in trio.members] == [True] * 3
    assert [member.told for member in trio.members] == [["a"]] * 3


@settings(max_examples=cases(30), deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["event", "query", "join", "leave"]), st.sampled_from(EDGES)), max_size=6))
def test_no_sequence_of_forged_times_makes_a_storm_or_ends_events(forged: list[tuple[str, int]]) -> None:
    trio = Trio()
    for number, (kind, ltime) in enumerate(forged):
        trio.members[number % 3].get(poison(kind, ltime, b"evil%d" % number))
        trio.clock.advance(0.5)
    trio.clock.advance(30)
    for index, payload in ((0, "a"), (1, "b"), (2, "c")):
        trio.tell(index, payload)
    trio.clock.advance(60)
    for member in trio.members:
        assert {"a", "b", "c"} <= set(member.told), member.name
        assert [len(member.serf.broadcasts.get(0, 10**6))] == [0], "something is passed on for ever"
