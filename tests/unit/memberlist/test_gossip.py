"""When a member gossips: on the beats of its interval while there is something to say (docs/wire/gossip.md 5.7).

At rest, one of the first beat's packets goes out in advance.
"""

import math
from collections import Counter
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


def packets(lone: LoneMemberlist, seconds: float) -> list[tuple[float, int]]:
    """When it sent anything in the next `seconds`, and how many packets."""
    sent: list[tuple[float, int]] = []
    end_s = lone.clock.seconds() + seconds
    while lone.clock.seconds() < end_s:
        lone.clock.advance(0.001)
        if count := len({to for to, _ in lone.sent()}):
            sent.append((lone.clock.seconds(), count))
    return sent


def beats(lone: LoneMemberlist, seconds: float) -> list[float]:
    """When it sent anything in the next `seconds`."""
    return [at_s for at_s, _ in packets(lone, seconds)]


def test_who_has_nothing_to_say_has_no_timer_for_it() -> None:
    lone = LoneMemberlist(**NEVER)
    lone.knows("n2")
    lone.clock.advance(1)
    made = lone.clock.calls
    lone.clock.advance(100)
    assert lone.clock.calls == made
    assert lone.sent() == []


def test_the_first_news_go_to_one_member_at_once_and_to_the_others_at_the_beats() -> None:
    """As many packets as if all had waited for the beats: the limit, of which a beat has three."""
    for pause_s in range(10):  # wherever in the interval it is
        lone = LoneMemberlist(**NEVER)
        for number in range(2, 11):
            lone.knows(f"n{number}", port=8300 + number)
        lone.clock.advance(50 + pause_s * INTERVAL_S / 10)
        began_s = lone.clock.seconds()
        lone.get(alive("n11"))
        sent = packets(lone, 5)
        limit = retransmit_limit(lone.memberlist.config.retransmit_mult, 11)
        assert sum(count for _, count in sent) == limit == 8
        assert sent[0][0] - began_s <= INTERVAL_S / 20 + 0.002
        if len(sent) == 3:  # a beat came as soon
            assert [count for _, count in sent] == [3, 3, 2]
        else:
            assert [count for _, count in sent] == [1, 2, 3, 2]
            assert sent[1][0] - began_s <= INTERVAL_S + 0.002
        for before, after in pairwise(at_s for at_s, _ in sent[-3:]):
            assert after - before == pytest.approx(INTERVAL_S, abs=0.002)


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
def test_however_news_come_in_an_interval_has_three_packets_at_most(pauses_s: list[float]) -> None:
    """A beat and what went out in advance of it together."""
    lone = LoneMemberlist(**NEVER)
    for number in range(2, 11):
        lone.knows(f"n{number}", port=8300 + number)
    phase_s = lone.memberlist.outgoing._gossip_at_s
    beat_packets = Counter[int]()
    for number, pause_s in enumerate([*pauses_s, 1.0]):
        lone.get(alive(f"n{number + 11}"))
        for at_s, count in packets(lone, pause_s):
            beat_packets[math.ceil((at_s - phase_s) / INTERVAL_S - 0.02)] += count
    assert beat_packets
    assert max(beat_packets.values()) <= lone.memberlist.config.gossip_nodes
