"""The leader's care for the servers of a quorum: joins, leaves, promotions, dead servers (docs/wire/raft.md 12)."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.task import Clock

from consulpy.leader.servers import QuorumServers
from consulpy.raft.configuration import NONVOTER, VOTER, Configuration, Server
from consulpy.serf.events import MemberEvent, MemberEventKind
from consulpy.serf.members import Member, Status
from consulpy.structs.operator import AutopilotConfig
from consulpy.structs.requests import RaftStats


def member(name: str, status: Status = Status.ALIVE, **tags: str) -> Member:
    known = {"role": "consul", "dc": "dc1", "id": name, "port": "8300", "vsn": "2", "build": "1.8.7:", "raft_vsn": "3"}
    return Member(name, f"10.0.0.{ord(name) - 96}", 8301, known | tags, status)


def server(name: str, suffrage: int = VOTER) -> Server:
    return Server(f"10.0.0.{ord(name) - 96}:8300", name, suffrage)


class World:
    """A leader `a` with a configuration that changes at once."""

    def __init__(self, *servers: Server) -> None:
        self.clock = Clock()
        self.members = {name: member(name) for name in "abcde"[: max(len(servers), 1)]}
        self.configuration = Configuration.of(servers or [server("a")])
        self.stats: dict[str, RaftStats | None] = {}
        self.peers: dict[str, list[str] | None] = {}
        self.returned: list[str] = []
        self.settings = AutopilotConfig()
        self.lines: list[str] = []
        raft: Any = SimpleNamespace(
            server_id="a",
            leadership=self,
            log=SimpleNamespace(last_index=1000, last_term=7),
            peer_returned=self.returned.append,
        )
        self.raft = raft
        self._show()
        self.servers = QuorumServers(
            raft,
            "dc1",
            lambda: self.members.values(),
            self.clock,
            lambda info, answered: answered(self.stats.get(info.id, RaftStats("10ms", 1000, 7))),
            lambda: self.settings,
            lambda level, text: self.lines.append(text),
            lambda info, answered: answered(self.peers.get(info.id, [])),
        )
        self.is_over = False
        self.servers.start()

    def _show(self) -> None:
        self.raft.configurations = SimpleNamespace(latest=self.configuration)

    def change_configuration(self, change: Callable[[Configuration], Configuration], finished: Any) -> None:
        self.configuration = change(self.configuration)
        self._show()
        finished(None)

    def event(self, kind: MemberEventKind, *members: Member) -> None:
        for each in members:
            self.members[each.name] = each
        self.servers.member_event(MemberEvent(kind, list(members)))

    def advance(self, seconds: float) -> None:
        for _ in range(round(seconds * 2)):
            self.clock.advance(0.5)


def test_a_server_that_joins_replicates_first_and_votes_when_it_was_well_for_a_while() -> None:
    world = World()
    world.event(MemberEventKind.JOIN, member("b"))
    assert world.configuration.server("b") == server("b", NONVOTER)
    assert world.returned == ["b"]
    world.advance(9)
    assert not world.configuration.is_voter("b")
    world.advance(12)
    assert world.configuration.is_voter("b")


def test_a_copy_of_a_server_throws_nobody_out() -> None:
    """Its data directory was copied, and the copy started under another name: real servers take it for a move."""
    world = World(server("a"), server("b"), server("c"))
    before = world.configuration
    copy = member("e", id="b")
    world.event(MemberEventKind.JOIN, copy)
    world.advance(70)
    world.event(MemberEventKind.FAILED, member("e", Status.FAILED, id="b"))
    world.advance(20)
    world.event(MemberEventKind.LEAVE, member("e", Status.LEFT, id="b"))
    world.advance(70)
    assert world.configuration == before
    assert world.servers.health["b"].info.name == "b"
    told = [line for line in world.lines if "node id" in line]
    assert len(told) == 1
    assert "e (10.0.0.5:8300) has the node id of b (10.0.0.2:8300), which lives" in told[0]


def test_the_same_server_under_another_name_and_address_replaces_the_one_that_is_gone() -> None:
    world = World(server("a"), server("b"), server("c"))
    world.event(MemberEventKind.FAILED, member("b", Status.FAILED))
    world.event(MemberEventKind.JOIN, member("e", id="b"))
    assert world.configuration.server("b") == Server("10.0.0.5:8300", "b", NONVOTER)


@pytest.mark.parametrize(
    ("stats", "is_healthy"),
    [
        (RaftStats("199ms", 1000, 7), True),
        (RaftStats("250ms", 1000, 7), False),
        (RaftStats("0", 1000, 7), True),
        (RaftStats("never", 1000, 7), False),
        (RaftStats("garbage", 1000, 7), False),
        (RaftStats("1ms", 1000, 6), False),
        (RaftStats("1ms", 1000, 8), False),
        (RaftStats("1ms", 750, 7), True),
        (RaftStats("1ms", 749, 7), False),
        (None, False),
    ],
)
def test_a_server_is_well_by_the_numbers_that_real_servers_use(stats: RaftStats | None, is_healthy: bool) -> None:
    world = World(server("a"), server("b", NONVOTER))
    world.stats["b"] = stats
    world.advance(2)
    assert world.servers.health["b"].is_healthy is is_healthy
    assert world.servers.health["a"].is_healthy
    world.advance(22)
    assert world.configuration.is_voter("b") is is_healthy


def test_a_server_tagged_nonvoter_is_never_promoted() -> None:
    world = World(server("a"))
    world.event(MemberEventKind.JOIN, member("b", nonvoter="1"))
    world.advance(40)
    assert world.configuration.server("b") == server("b", NONVOTER)


def test_who_left_and_came_back_begins_to_wait_anew() -> None:
    world = World(server("a"), server("b"), server("c"))
    world.advance(20)
    world.event(MemberEventKind.LEAVE, member("c", Status.LEFT))
    world.advance(3)
    world.event(MemberEventKind.JOIN, member("c"))
    world.advance(9)
    assert world.configuration.server("c") == server("c", NONVOTER)


def test_who_was_unwell_begins_to_wait_anew() -> None:
    world = World(server("a"), server("b", NONVOTER))
    world.advance(8)
    world.stats["b"] = None
    world.advance(4)
    world.stats["b"] = RaftStats("1ms", 1000, 7)
    world.advance(9)
    assert not world.configuration.is_voter("b")
    world.advance(12)
    assert world.configuration.is_voter("b")


def test_who_leaves_is_removed() -> None:
    world = World(server("a"), server("b"), server("c"))
    world.event(MemberEventKind.LEAVE, member("b", Status.LEFT))
    assert world.configuration == Configuration.of([server("a"), server("c")])
    world.event(MemberEventKind.LEAVE, member("a", Status.LEFT))
    assert world.configuration.server("a") is not None, "never the leader itself"


def test_a_server_at_another_address_or_with_another_id_is_replaced() -> None:
    world = World(server("a"), server("b"))
    moved = member("b", port="8400")
    world.event(MemberEventKind.JOIN, moved)
    assert world.configuration.server("b") == Server("10.0.0.2:8400", "b", NONVOTER)
    world.event(MemberEventKind.JOIN, member("b", port="8400", id="new"))
    assert world.configuration.server("b") is None
    assert world.configuration.server("new") == Server("10.0.0.2:8400", "new", NONVOTER)


@pytest.mark.parametrize(
    ("tags", "line"),
    [
        ({"raft_vsn": "2"}, "old version"),
        ({"dc": "dc2"}, ""),
        ({"role": "node"}, ""),
        ({"id": ""}, ""),
    ],
)
def test_who_may_not_be_in_the_quorum_is_not_added(tags: dict[str, str], line: str) -> None:
    world = World()
    world.event(MemberEventKind.JOIN, member("b", **tags))
    assert world.configuration == Configuration.of([server("a")])
    assert any(line in each for each in world.lines) or not line


def test_a_server_of_another_quorum_is_not_added() -> None:
    """Its log would be cut, and what its own quorum acknowledged be lost."""
    world = World()
    world.peers["b"] = ["10.0.0.2:8300", "10.0.0.3:8300"]
    world.event(MemberEventKind.JOIN, member("b"))
    assert world.configuration.server("b") is None
    assert "b (10.0.0.2:8300) belongs to another quorum (10.0.0.2:8300, 10.0.0.3:8300)" in world.lines[-1]


def test_a_server_that_was_of_this_quorum_is_added_again() -> None:
    world = World()
    world.peers["b"] = ["10.0.0.1:8300", "10.0.0.2:8300"]
    world.event(MemberEventKind.JOIN, member("b"))
    assert world.configuration.server("b") == server("b", NONVOTER)


def test_a_new_server_that_does_not_answer_yet_is_asked_again() -> None:
    world = World()
    world.peers["b"] = None
    world.event(MemberEventKind.JOIN, member("b"))
    world.event(MemberEventKind.UPDATE, member("b"))
    world.advance(3)
    assert world.configuration.server("b") is None
    del world.peers["b"]
    world.advance(1)
    assert world.configuration.server("b") == server("b", NONVOTER)


def test_two_servers_in_bootstrap_mode_are_not_made_one_quorum() -> None:
    world = World()
    world.members["a"] = member("a", bootstrap="1")
    world.event(MemberEventKind.JOIN, member("b", bootstrap="1"))
    assert world.configuration == Configuration.of([server("a")])
    assert "both in bootstrap mode" in world.lines[-1]


def test_who_claims_our_address_does_not_push_us_out() -> None:
    world = World()
    stranger = member("b")
    stranger.address = "10.0.0.1"
    world.event(MemberEventKind.JOIN, stranger)
    assert world.configuration == Configuration.of([server("a")])
    assert "has this server's address" in world.lines[-1]


def test_a_dead_server_is_removed_if_enough_are_left() -> None:
    world = World(server("a"), server("b"), server("c"))
    world.members["c"] = member("c", Status.FAILED)
    world.advance(11)
    assert world.configuration == Configuration.of([server("a"), server("b")])
    world.members["b"] = member("b", Status.FAILED)
    world.advance(30)
    assert world.configuration.is_voter("b"), "one of two is too many"


def test_dead_servers_stay_if_cleaning_up_is_off_or_too_many_died() -> None:
    world = World(server("a"), server("b"), server("c"))
    world.settings.cleanup_dead_servers = False
    world.members["c"] = member("c", Status.FAILED)
    world.advance(30)
    assert world.configuration.is_voter("c")
    world.settings.cleanup_dead_servers = True
    world.members["b"] = member("b", Status.FAILED)
    world.advance(30)
    assert len(world.configuration.voters) == 3
    world.settings.min_quorum = 3
    world.members["b"] = member("b")
    world.advance(30)
    assert len(world.configuration.voters) == 3


def test_a_server_that_gossip_does_not_know_is_removed() -> None:
    world = World(server("a"), server("b"), server("c"))
    del world.members["c"]
    world.advance(11)
    assert world.configuration == Configuration.of([server("a"), server("b")])


def test_nothing_happens_after_the_term() -> None:
    world = World(server("a"), server("b", NONVOTER))
    world.servers.stop()
    assert not world.clock.getDelayedCalls()
    world.event(MemberEventKind.JOIN, member("c"))
    assert len(world.configuration.servers) == 2
