"""When a member gossips: on the beats of its interval while there is something to say (docs/wire/gossip.md 5.7)."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consulpy.memberlist.broadcast import retransmit_limit
from consulpy.memberlist.messages import Alive
from tests.harness.memberlist import VSN, LoneMemberlist

INTERVAL_S = 0.2
NEVER = {"probe_interval_s": 1e9, "push_pull_interval_s": 1e9}


def alive(name: str) -> Alive:
    return Alive(1, name, "127.10.0.9", 8301, b"m", VSN)


def beats(lone: LoneMemberlist, seconds: float) -> list[float]:
    """When it sent anything in the next `seconds`."""
    times: list[float] = []
    end_s = lone.clock.seconds() + seconds
    while lone.clock.seconds() < end_s:
        lone.clock.advance(0.001)
        if lone.sent():
            times.append(lone.clock.seconds())
    return times


def test_who_has_nothing_to_say_has_no_timer_for_it() -> None:
    lone = LoneMemberlist(**NEVER)
    lone.knows("n2")
    lone.clock.advance(1)
    made = lone.clock.calls
    lone.clock.advance(100)
    assert lone.clock.calls == made
    assert lone.sent() == []


def test_news_are_told_at_each_beat_as_often_as_they_should_be() -> None:
    lone = LoneMemberlist(**NEVER)
    lone.knows("n2")
    lone.clock.advance(50)
    lone.get(alive("n3"))
    times = beats(lone, 5)
    assert times[0] - 50 <= INTERVAL_S + 0.001
    assert len(times) == retransmit_limit(lone.memberlist.config.retransmit_mult, 3) / 2  # to two receivers at a time
    assert [after - before for before, after in pairwise(times)] == [
        pytest.approx(INTERVAL_S, abs=0.002) for _ in times[1:]
    ]


def test_alone_there_is_nobody_to_tell_until_somebody_comes() -> None:
    lone = LoneMemberlist(**NEVER)
    lone.memberlist.update_meta()
    lone.clock.advance(1)
    made = lone.clock.calls
    lone.clock.advance(100)
    assert (lone.sent(), lone.clock.calls) == ([], made)
    lone.get(alive("n2"))
    assert beats(lone, 1)


def test_messages_of_the_layer_above_wake_it_too() -> None:
    lone = LoneMemberlist(**NEVER)
    lone.knows("n2")
    lone.clock.advance(50)
    lone.delegate.broadcasts.append(b"event")
    lone.memberlist.outgoing.schedule_gossip()
    lone.clock.advance(INTERVAL_S)
    [(_, data)] = lone.wire.packets
    assert list(lone.memberlist.sealer.open(data)) == [b"\x08event"]


def test_nothing_is_sent_once_it_is_shut_down() -> None:
    lone = LoneMemberlist(**NEVER)
    lone.knows("n2")
    lone.get(alive("n3"))
    lone.memberlist.shutdown()
    lone.memberlist.outgoing.schedule_gossip()
    assert beats(lone, 1) == []


@settings(deadline=None)
@given(st.lists(st.floats(min_value=0.001, max_value=3.0), min_size=2, max_size=8))
def test_however_news_come_in_beats_are_whole_intervals_apart(pauses_s: list[float]) -> None:
    lone = LoneMemberlist(**NEVER)
    lone.knows("n2")
    times: list[float] = []
    for number, pause_s in enumerate(pauses_s):
        lone.get(alive(f"n{number + 3}"))
        times += beats(lone, pause_s)
    for at_s in times:
        apart = (at_s - times[0]) / INTERVAL_S
        assert apart == pytest.approx(round(apart), abs=0.02)
