"""Times of sessions, locks and tombstones, which only the leader counts."""

from typing import Any

from consulpy.leader.session_ttl import SessionTimers
from consulpy.leader.tombstone_gc import TombstoneReaper
from consulpy.state.commands import KVS, Register, Session
from consulpy.state.store import Store
from consulpy.structs.kv import DirEntry, KVRequest
from consulpy.structs.requests import RegisterRequest
from consulpy.structs.session import Session as Row
from consulpy.structs.session import SessionRequest
from consulpy.testing.simulation.clock import HeapClock

ONE = "00000000-0000-0000-0000-000000000001"


class World:
    def __init__(self) -> None:
        self.store, self.clock = Store(), HeapClock()
        self.submitted: list[Any] = []
        self.apply(Register(RegisterRequest(node="n", address="10.0.0.1")))

    def apply(self, command: Any) -> None:
        command.apply(self.store, self.store.index + 1)

    def submit(self, command: Any) -> None:
        self.submitted.append(command)
        self.apply(command)


def session(world: World, **fields: Any) -> Row:
    row = Row(id=ONE, node="n", **fields)
    world.apply(Session(SessionRequest(op="create", session=row)))
    return row


def test_a_session_lives_for_twice_its_ttl_after_its_last_renewal() -> None:
    world = World()
    row = session(world, ttl="10s")
    timers = SessionTimers("dc1", world.store, world.clock, world.submit)
    timers.start()
    world.clock.advance(19.9)
    timers.renew(row)
    world.clock.advance(19.9)
    assert world.store.sessions.find(ONE) is not None
    world.clock.advance(0.2)
    assert world.store.sessions.find(ONE) is None
    assert len(world.submitted) == 1


def test_a_new_leader_gives_everybody_the_whole_time() -> None:
    world = World()
    session(world, ttl="10s")
    timers = SessionTimers("dc1", world.store, world.clock, world.submit)
    timers.start()
    world.clock.advance(15)
    timers.start()
    world.clock.advance(15)
    assert world.store.sessions.find(ONE) is not None
    timers.stop()
    world.clock.advance(100)
    assert not world.submitted


def test_a_key_stays_closed_for_the_lock_delay() -> None:
    world = World()
    session(world, lock_delay=15 * 10**9)
    timers = SessionTimers("dc1", world.store, world.clock, world.submit)
    timers.start()
    world.apply(KVS(KVRequest(op="lock", dir_ent=DirEntry(key="l", session=ONE))))
    world.apply(Session(SessionRequest(op="destroy", session=Row(id=ONE))))
    assert timers.has_lock_delay("l")
    assert not timers.has_lock_delay("other")
    world.clock.advance(15.1)
    assert not timers.has_lock_delay("l")


def test_tombstones_go_after_a_quarter_of_an_hour() -> None:
    world = World()
    reaper = TombstoneReaper("dc1", world.store, world.clock, world.submit)
    reaper.start()
    world.apply(KVS(KVRequest(op="set", dir_ent=DirEntry(key="a"))))
    world.apply(KVS(KVRequest(op="delete", dir_ent=DirEntry(key="a"))))
    world.clock.advance(15 * 60)
    assert len(world.store.kv.tombstones.table) == 1
    world.clock.advance(61)
    assert len(world.store.kv.tombstones.table) == 0
    world.clock.advance(3600)
    assert len(world.submitted) == 1
