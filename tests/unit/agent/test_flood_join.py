"""Servers of a datacenter find each other in the WAN pool by themselves (docs/wire/gossip.md 9.1)."""

from collections.abc import Callable, Sequence

from twisted.internet.task import Clock

from consulpy.agent.features.flood_join import INTERVAL_S, FloodJoin
from consulpy.memberlist.member import JoinTarget
from consulpy.serf.members import Member, Status

TAGS = {"role": "consul", "dc": "dc1", "port": "8300", "vsn": "2", "build": "1.8.7:", "wan_join_port": "8302"}


class Pool:
    """A gossip pool whose joins the test ends."""

    def __init__(self) -> None:
        self.members: dict[str, Member] = {}
        self.joined: list[list[str]] = []
        self.done: Callable[[int, list[str]], None] = lambda _count, _errors: None

    def add(self, name: str, address: str = "10.0.0.1", status: Status = Status.ALIVE, **tags: str) -> None:
        self.members[name] = Member(name, address, 8301, {**TAGS, **tags}, status)

    def join(self, targets: Sequence[JoinTarget], ignore_old: bool, done: Callable[[int, list[str]], None]) -> None:
        self.joined.append([f"{each.name}/{each.address[0]}:{each.address[1]}" for each in targets])
        self.done = done


def flooding() -> tuple[Clock, Pool, Pool, FloodJoin]:
    clock, lan, wan = Clock(), Pool(), Pool()
    lan.add("a")
    wan.add("a.dc1")
    return clock, lan, wan, FloodJoin(clock, lan, wan, "dc1")


def test_a_server_that_the_wan_pool_lacks_is_joined_at_its_wan_port() -> None:
    _, lan, wan, flood = flooding()
    lan.add("b", "10.0.0.2", wan_join_port="9302")
    flood.look()
    assert wan.joined == [["b.dc1/10.0.0.2:9302"]]


def test_a_server_that_is_gone_from_the_wan_pool_is_joined_again() -> None:
    _, lan, wan, flood = flooding()
    lan.add("b", "10.0.0.2")
    wan.add("b.dc1", "10.0.0.2", Status.FAILED)
    flood.look()
    assert wan.joined == [["b.dc1/10.0.0.2:8302"]]


def test_clients_gone_servers_and_servers_without_a_wan_port_are_not_joined() -> None:
    _, lan, wan, flood = flooding()
    lan.add("client", role="node")
    lan.add("failed", status=Status.FAILED)
    lan.add("left", status=Status.LEFT)
    lan.add("elsewhere", dc="dc2")
    lan.members["portless"] = Member("portless", "10.0.0.9", 8301, dict(TAGS), Status.ALIVE)
    del lan.members["portless"].tags["wan_join_port"]
    flood.look()
    assert wan.joined == []


def test_one_round_runs_at_a_time_and_goes_on_with_those_that_appeared() -> None:
    _, lan, wan, flood = flooding()
    lan.add("b", "10.0.0.2")
    flood.look()
    lan.add("c", "10.0.0.3")
    flood.look()
    assert len(wan.joined) == 1
    wan.add("b.dc1")
    wan.done(1, [])
    assert wan.joined[1:] == [["c.dc1/10.0.0.3:8302"]]


def test_one_that_joins_under_another_name_is_not_joined_again_and_again() -> None:
    _, lan, wan, flood = flooding()
    lan.add("b", "10.0.0.2")
    flood.look()
    wan.done(1, [])
    assert len(wan.joined) == 1


def test_one_that_cannot_be_joined_is_tried_once_a_minute_until_the_end() -> None:
    clock, lan, wan, flood = flooding()
    lan.add("b", "10.0.0.2")
    flood.start()
    wan.done(0, ["connection refused"])
    assert len(wan.joined) == 1
    clock.advance(INTERVAL_S)
    assert len(wan.joined) == 2
    wan.done(0, ["connection refused"])
    flood.stop()
    clock.advance(10 * INTERVAL_S)
    flood.look()
    assert len(wan.joined) == 2
    assert clock.getDelayedCalls() == []
