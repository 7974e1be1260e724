"""docs/wire/rpc.md section 9: coordinates go to the servers every 15 to 30 s, at most 64 a second for the cluster."""

from typing import Any

import pytest
from twisted.internet.task import Clock

from consulpy.errors import NoServers
from consulpy.local.sync.coordinate import CoordinateSender, interval_s
from consulpy.structs.coordinate import Coord
from tests.fakes.local import FakeCatalog, Fraction


class Sender:
    def __init__(self, coordinate: Coord | None = None, members: int = 3, **options: Any) -> None:
        self.clock, self.catalog = Clock(), FakeCatalog()
        self.coordinate = coordinate or Coord()
        self.sender = CoordinateSender(
            self.catalog, "dc1", "c1", self.clock, Fraction(), lambda: self.coordinate, lambda: members, **options
        )
        self.sender.start()


@pytest.mark.parametrize(("members", "seconds"), [(1, 15), (960, 15), (1920, 30), (6400, 100)])
def test_interval_grows_so_that_the_cluster_sends_64_a_second(members: int, seconds: float) -> None:
    assert interval_s(members) == seconds


def test_update_names_node_and_segment() -> None:
    agent = Sender(Coord(vec=[0.5] * 8))
    agent.clock.advance(22.4)
    assert agent.catalog.calls == []
    agent.clock.advance(0.2)
    [(method, request)] = agent.catalog.calls
    assert (method, request.datacenter, request.node, request.segment) == ("Coordinate.Update", "dc1", "c1", "")
    assert request.coord == Coord(vec=[0.5] * 8)


def test_a_failed_update_is_not_repeated_before_the_next() -> None:
    agent = Sender()
    agent.catalog.error = NoServers()
    agent.clock.pump([22.5, 22.5])
    assert agent.catalog.methods == ["Coordinate.Update"] * 2


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_an_infinite_coordinate_is_not_sent(bad: float) -> None:
    agent = Sender(Coord(height=bad))
    agent.clock.advance(22.5)
    assert agent.catalog.calls == []


def test_nothing_is_sent_to_old_servers() -> None:
    agent = Sender(supported=lambda: False)
    agent.clock.advance(22.5)
    assert agent.catalog.calls == []


def test_only_one_update_runs_at_a_time() -> None:
    agent = Sender()
    agent.catalog.held = []
    agent.clock.pump([22.5, 22.5])
    assert agent.catalog.methods == ["Coordinate.Update"]
    agent.catalog.held.pop().callback(None)
    agent.clock.advance(22.5)
    assert agent.catalog.methods == ["Coordinate.Update"] * 2


def test_stop_cancels_everything() -> None:
    agent = Sender()
    agent.catalog.held = []
    agent.clock.advance(22.5)
    agent.sender.stop()
    assert agent.clock.getDelayedCalls() == []
