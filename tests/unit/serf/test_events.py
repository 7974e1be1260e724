"""Copies told from news, and events put together (docs/wire/gossip.md 6.4 and 6.10)."""

from twisted.internet.task import Clock

from consulpy.serf.coalesce import MemberCoalescer, UserCoalescer
from consulpy.serf.events import Event, MemberEvent, MemberEventKind, RecentBuffer, UserEvent
from consulpy.serf.members import Member

JOIN, FAILED, UPDATE = MemberEventKind.JOIN, MemberEventKind.FAILED, MemberEventKind.UPDATE


def test_a_copy_is_refused_and_another_event_of_that_time_is_not() -> None:
    recent: RecentBuffer[str] = RecentBuffer(512)
    assert recent.accept(5, "a", now=6)
    assert not recent.accept(5, "a", now=6)
    assert recent.accept(5, "b", now=6)
    assert list(recent.past()) == [(5, ["a", "b"])]


def test_what_is_older_than_the_ring_is_refused() -> None:
    recent: RecentBuffer[str] = RecentBuffer(512)
    assert recent.accept(1000, "new", now=1001)
    assert recent.accept(489, "just", now=1001)
    assert not recent.accept(488, "old", now=1001)


def test_what_is_older_than_the_join_is_refused() -> None:
    recent: RecentBuffer[str] = RecentBuffer(512)
    recent.min_time = 10
    assert not recent.accept(9, "a", now=11)
    assert recent.accept(10, "a", now=11)


def test_a_newer_time_takes_its_slot_over() -> None:
    recent: RecentBuffer[str] = RecentBuffer(4)
    recent.accept(1, "a", now=2)
    recent.accept(5, "b", now=6)
    assert list(recent.past()) == [(5, ["b"])]


def test_one_time_holds_a_limited_number_of_events() -> None:
    recent: RecentBuffer[int] = RecentBuffer(512)
    taken = [recent.accept(1, number, now=2) for number in range(RecentBuffer.SLOT_LIMIT + 5)]
    assert taken.count(False) == recent.refused == 5


def member_event(kind: MemberEventKind, *names: str) -> MemberEvent:
    return MemberEvent(kind, [Member(name) for name in names])


def members_of(events: list[Event]) -> list[tuple[str, list[str]]]:
    return [(e.kind.value, [m.name for m in e.members]) for e in events if isinstance(e, MemberEvent)]


def test_member_events_are_told_after_a_quiet_time_and_together() -> None:
    clock, told = Clock(), list[Event]()
    coalescer = MemberCoalescer(clock, 3.0, 1.0, told.append)
    coalescer.add(member_event(JOIN, "a"))
    clock.advance(0.5)
    coalescer.add(member_event(JOIN, "b"))
    coalescer.add(member_event(JOIN, "c"))
    coalescer.add(member_event(FAILED, "c"))
    clock.advance(0.9)
    assert told == []
    clock.advance(0.2)
    assert members_of(told) == [("join", ["a", "b"]), ("failed", ["c"])]


def test_member_events_are_told_when_the_period_ends_though_it_is_never_quiet() -> None:
    clock, told = Clock(), list[Event]()
    coalescer = MemberCoalescer(clock, 3.0, 1.0, told.append)
    for number in range(6):
        coalescer.add(member_event(JOIN, f"n{number}"))
        clock.advance(0.5)
    assert len(members_of(told)[0][1]) == 6


def test_what_was_told_is_not_told_again() -> None:
    """Section 11: real Serf repeats an old update with each later event."""
    clock, told = Clock(), list[Event]()
    coalescer = MemberCoalescer(clock, 3.0, 1.0, told.append)
    coalescer.add(member_event(UPDATE, "a"))
    clock.advance(2)
    coalescer.add(member_event(FAILED, "b"))
    clock.advance(2)
    coalescer.add(member_event(FAILED, "b"))
    clock.advance(2)
    coalescer.add(member_event(UPDATE, "a"))
    coalescer.close()
    assert members_of(told) == [("update", ["a"]), ("failed", ["b"]), ("update", ["a"])]


def test_of_user_events_of_one_name_only_the_latest_are_told() -> None:
    clock, told = Clock(), list[Event]()
    coalescer = UserCoalescer(clock, 3.0, 1.0, told.append)
    coalescer.add(UserEvent(1, "deploy", b"old", True))
    coalescer.add(UserEvent(3, "deploy", b"new", True))
    coalescer.add(UserEvent(2, "deploy", b"middle", True))
    coalescer.add(UserEvent(3, "deploy", b"also", True))
    coalescer.add(UserEvent(9, "at once", b"", False))
    assert told == [UserEvent(9, "at once", b"", False)]
    clock.advance(1.1)
    assert told[1:] == [UserEvent(3, "deploy", b"new", True), UserEvent(3, "deploy", b"also", True)]
