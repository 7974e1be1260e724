"""Timers and the queue against memberlist's own functions (docs/wire/gossip.md 5.5, 5.7, 5.8)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consulpy.memberlist.awareness import Awareness
from consulpy.memberlist.broadcast import BroadcastQueue, retransmit_limit
from consulpy.memberlist.pushpull import push_pull_scale
from consulpy.memberlist.suspicion import Suspicion, remaining_s, suspicion_timeout_s
from consulpy.testing.simulation.clock import HeapClock
from tests.harness.memberlist import vectors

TIMERS = vectors("timers")


def test_suspicion_timeout() -> None:
    for each in TIMERS["suspicion_timeout"]:
        timeout_s = suspicion_timeout_s(each["suspicion_mult"], each["nodes"], each["probe_interval_ms"] / 1000)
        assert timeout_s * 1000 == pytest.approx(each["timeout_ms"]), each


def test_remaining_suspicion() -> None:
    for each in TIMERS["remaining_suspicion"]:
        left_s = remaining_s(
            each["confirmations"], each["k"], each["elapsed_ms"] / 1000, each["min_ms"] / 1000, each["max_ms"] / 1000
        )
        assert left_s * 1000 == pytest.approx(each["remaining_ms"], abs=1), each


def test_retransmit_limit() -> None:
    for each in TIMERS["retransmit_limit"]:
        assert retransmit_limit(each["retransmit_mult"], each["nodes"]) == each["limit"], each


def test_push_pull_scale() -> None:
    for each in TIMERS["push_pull_scale"]:
        assert push_pull_scale(each["nodes"]) * each["interval_ms"] == each["scaled_ms"], each


def test_queue_picks_as_memberlist_does() -> None:
    given_queue = TIMERS["queue"]
    queue = BroadcastQueue(given_queue["retransmit_mult"], lambda: given_queue["nodes"])
    for entry in given_queue["enqueued_name_and_length_in_order"]:
        name, length = entry.split(":")
        queue.queue(name.encode() * int(length), name)
    for number, each in enumerate(given_queue["rounds"]):
        picked = [f"{chr(message[0])}:{len(message)}" for message in queue.get(each["overhead"], each["limit"])]
        assert picked == (each["picked"] or []), f"round {number}"
        assert len(queue) == each["left_in_queue"], f"round {number}"


class TestQueue:
    def test_a_newer_message_of_the_same_name_replaces_the_older_one(self) -> None:
        told: list[str] = []
        queue = BroadcastQueue(4, lambda: 5)
        queue.queue(b"old", "n1", lambda: told.append("old"))
        queue.queue(b"new", "n1", lambda: told.append("new"))
        assert (len(queue), told) == (1, ["old"])
        assert [queue.get(2, 100) for _ in range(5)] == [[b"new"]] * 4 + [[]]
        assert told == ["old", "new"], "finished: sent four times"

    def test_a_full_queue_drops_what_was_sent_most(self) -> None:
        told: list[str] = []
        queue = BroadcastQueue(4, lambda: 5, depth_max=2)
        queue.queue(b"old", "", lambda: told.append("old"))
        queue.get(2, 100)
        queue.queue(b"a")
        queue.queue(b"b")
        assert (len(queue), queue.dropped, told) == (2, 1, ["old"])
        queue.clear()
        assert len(queue) == 0

    def test_what_never_fits_does_not_stop_the_rest(self) -> None:
        queue = BroadcastQueue(4, lambda: 5)
        queue.queue(b"x" * 2000)
        queue.queue(b"small")
        assert queue.get(2, 1398) == [b"small"]

    @given(st.lists(st.tuples(st.integers(1, 60), st.sampled_from(["", "a", "b", "c"])), max_size=30), st.data())
    def test_it_picks_what_a_plain_scan_would(self, entries: list[tuple[int, str]], data: st.DataObject) -> None:
        queue = BroadcastQueue(3, lambda: 9)
        model: list[tuple[int, int, int, str]] = []  # transmits, -length, -number, name
        for number, (length, name) in enumerate(entries):
            queue.queue(bytes([1]) * length, name)
            model = [entry for entry in model if not name or entry[3] != name] + [(0, -length, -number, name)]
        for limit in data.draw(st.lists(st.integers(0, 200), max_size=6)):
            left, kept, picked = limit, [], []
            for entry in sorted(model):
                if 2 - entry[1] <= left:
                    left -= 2 - entry[1]
                    picked.append(-entry[1])
                    if entry[0] + 1 < 3:
                        kept.append((entry[0] + 1, *entry[1:]))
                else:
                    kept.append(entry)
            model = kept
            assert [len(message) for message in queue.get(2, limit)] == picked
            assert len(queue) == len(model)


class TestSuspicion:
    def suspicion(self, clock: HeapClock, expected: int, fired: list[tuple[float, int]]) -> Suspicion:
        def expire(confirmed: int) -> None:
            fired.append((clock.seconds(), confirmed))

        def ask() -> None:
            self.asked.append(clock.seconds())

        self.asked = list[float]()
        return Suspicion(clock, "a", expected=expected, min_s=4, max_s=24, interval_s=1, ask=ask, expire=expire)

    def test_alone_it_takes_the_longest_time(self) -> None:
        clock, fired = HeapClock(), list[tuple[float, int]]()
        self.suspicion(clock, 2, fired)
        clock.advance(100)
        assert fired == [(24, 0)]

    def test_with_nobody_to_confirm_it_takes_the_shortest(self) -> None:
        clock, fired = HeapClock(), list[tuple[float, int]]()
        self.suspicion(clock, 0, fired)
        clock.advance(100)
        assert fired == [(4, 0)]

    def test_only_new_accusers_confirm(self) -> None:
        clock, fired = HeapClock(), list[tuple[float, int]]()
        suspicion = self.suspicion(clock, 2, fired)
        clock.advance(2)
        assert [suspicion.confirm(name) for name in ("a", "b", "b", "c", "d")] == [False, True, False, True, False]
        clock.advance(100)
        assert fired == [(4, 2)]

    def test_the_suspect_is_asked_two_intervals_and_one_before_the_end(self) -> None:
        clock, fired = HeapClock(), list[tuple[float, int]]()
        suspicion = self.suspicion(clock, 2, fired)
        clock.advance(22.5)
        assert self.asked == [22]
        clock.advance(100)
        assert (self.asked, fired) == ([22, 23], [(24, 0)])
        suspicion = self.suspicion(clock, 1, fired)
        clock.advance(2.5)
        suspicion.confirm("b")
        clock.advance(100)
        assert self.asked == [122.5 + 4 - 2.5 + 2.5 - 1], "not twice: the end is nearer than two intervals"

    def test_a_suspicion_that_was_cancelled_asks_no_more(self) -> None:
        clock, fired = HeapClock(), list[tuple[float, int]]()
        suspicion = self.suspicion(clock, 2, fired)
        clock.advance(22.5)
        suspicion.cancel()
        clock.advance(100)
        assert (self.asked, fired) == ([22], [])

    def test_confirmed_late_it_fires_at_once(self) -> None:
        clock, fired = HeapClock(), list[tuple[float, int]]()
        suspicion = self.suspicion(clock, 1, fired)
        clock.advance(20)
        suspicion.confirm("b")
        clock.advance(0)
        assert fired == [(20, 1)]


def test_awareness_stays_within_its_bounds() -> None:
    awareness = Awareness(8)
    awareness.apply(-3)
    assert (awareness.score, awareness.scale_s(1.0)) == (0, 1.0)
    awareness.apply(20)
    assert (awareness.score, awareness.scale_s(0.5)) == (7, 4.0)
