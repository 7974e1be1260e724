"""The way back after a restart, and when members that were known before can be taken for gone."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from twisted.internet.task import Clock

from consulpy.serf.rejoin import Rejoin
from consulpy.serf.state import State

LEAST_S, MOST_S = 10.0, 60.0
TWO = [("c1", ("10.0.0.1", 8301)), ("c2", ("10.0.0.2", 8301))]


class World:
    """A restarted agent; `tries` are the members it tries to join, each with the call that ends the try."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.members: dict[str, Any] = {"own": None}
        self.tries: list[tuple[str, Callable[[bool], None]]] = []
        serf: Any = SimpleNamespace(
            clock=self.clock,
            state=State.ALIVE,
            members=self.members,
            log=lambda _level, _text: None,
            rejoin_member=lambda name, _address, done: self.tries.append((name, done)),
        )
        self.rejoin = Rejoin(serf)

    def meet(self, *names: str) -> None:
        self.members.update(dict.fromkeys(names))

    @property
    def is_over(self) -> bool:
        return self.rejoin.is_over(LEAST_S, MOST_S)


def test_members_are_tried_in_turn_until_one_answers() -> None:
    world = World()
    world.rejoin.start(TWO)
    world.tries[0][1](False)
    world.tries[1][1](True)
    assert [name for name, _ in world.tries] == ["c1", "c2"]


def test_it_is_over_as_soon_as_all_have_been_met_again() -> None:
    world = World()
    world.rejoin.start(TWO)
    world.tries[0][1](True)
    world.meet("c1")
    world.clock.advance(LEAST_S - 1)
    assert not world.is_over
    world.meet("c2")
    assert world.is_over
    del world.members["c1"]
    assert world.is_over, "who is reaped later has been met"


def test_one_that_is_not_met_is_waited_for_some_time() -> None:
    world = World()
    world.rejoin.start(TWO)
    for number in (0, 1):
        world.tries[number][1](False)
    assert not world.is_over, "it may be restarting too"
    world.clock.advance(LEAST_S)
    assert world.is_over


def test_it_is_not_over_while_an_address_does_not_answer() -> None:
    """The other member may be there, only it has not been tried yet."""
    world = World()
    world.rejoin.start(TWO)
    world.clock.advance(LEAST_S)
    assert not world.is_over
    world.tries[0][1](False)
    world.clock.advance(LEAST_S)
    assert not world.is_over
    world.tries[1][1](True)
    assert world.is_over


def test_it_does_not_take_for_ever() -> None:
    world = World()
    world.rejoin.start(TWO)
    world.clock.advance(MOST_S)
    assert world.is_over


def test_an_agent_that_remembers_nobody_waits_too() -> None:
    """Its snapshot may be lost, while its catalog is not."""
    world = World()
    assert not world.is_over
    world.clock.advance(LEAST_S)
    assert world.is_over
