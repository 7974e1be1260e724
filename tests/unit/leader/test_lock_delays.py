"""Lock delays: counted by every server, so that a new leader knows those from before its term."""

from twisted.internet.task import Clock

from consulpy.leader import lock_delays
from consulpy.leader.lock_delays import LockDelays
from consulpy.leader.session_ttl import SessionTimers
from consulpy.state.store import Store


def test_a_key_has_a_delay_until_it_ends() -> None:
    clock = Clock()
    delays = LockDelays(clock)
    delays.start(["a"], 15 * 10**9)
    clock.advance(14.9)
    assert delays.has("a")
    assert not delays.has("b")
    clock.advance(0.2)
    assert not delays.has("a")


def test_there_is_a_limit() -> None:
    clock = Clock()
    delays = LockDelays(clock)
    delays.start(["old"], 10**9)
    delays.start([str(number) for number in range(lock_delays.LOCK_DELAYS_MAX - 1)], 100 * 10**9)
    clock.advance(2)
    delays.start(["new"], 10**9)
    assert delays.has("new"), "what is over makes room"
    delays.start(["newer"], 10**9)
    assert not delays.has("newer")


def test_a_delay_from_before_a_term_of_leadership_counts_in_it() -> None:
    clock, store = Clock(), Store()
    delays = LockDelays(clock)
    store.on_lock_delay = delays.start
    store.on_lock_delay(["a"], 15 * 10**9)  # a follower applies the end of a session
    timers = SessionTimers("dc1", store, clock, lambda _: None, delays)
    timers.start()
    assert timers.has_lock_delay("a")
    store.on_lock_delay(["b"], 15 * 10**9)
    timers.stop()
    following = SessionTimers("dc1", store, clock, lambda _: None, delays)
    following.start()
    assert following.has_lock_delay("b")


def test_the_end_of_a_session_that_held_more_keys_than_the_limit_costs_one_look_at_them() -> None:
    """Above the limit each key more used to look for ended ones among all: seconds in one turn of the reactor."""
    reads = 0

    class Counting(Clock):
        def seconds(self) -> float:
            nonlocal reads
            reads += 1
            return super().seconds()

    delays = LockDelays(Counting())
    keys = [str(number) for number in range(lock_delays.LOCK_DELAYS_MAX + 1000)]
    delays.start(keys, 10**9)
    assert reads == 1
    assert delays.has(keys[0])
    assert not delays.has(keys[-1])
