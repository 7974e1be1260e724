"""The rules of membership, row by row (docs/wire/gossip.md 5.1 to 5.4, 5.9, 4.1)."""

from dataclasses import replace

import pytest

from consulpy.errors import MergeRefused
from consulpy.memberlist.exchange import MERGE_NODES
from consulpy.memberlist.member import Member, State
from consulpy.memberlist.messages import Alive, Dead, Err, Suspect
from consulpy.memberlist.node_state import NodeState
from consulpy.memberlist.stream import MessageReader, PushPull, encode_nodes, push_pull
from tests.harness.memberlist import VSN, LoneMemberlist

N2 = Alive(1, "n2", "127.10.0.9", 8301, b"m", VSN)


def exchange(lone: LoneMemberlist, *nodes: NodeState, join: bool = True, state: bytes = b"") -> object:
    """What `lone` answers to a push/pull."""
    reply = lone.stream(push_pull(join, encode_nodes(nodes), len(nodes), state))
    reader = MessageReader(lone.memberlist.sealer)
    assert reply
    assert reader.feed(reply)
    return reader.message


def node(name: str = "n2", incarnation: int = 1, state: State = State.ALIVE) -> NodeState:
    return NodeState(name, "127.10.0.9", 8301, b"m", incarnation, state, VSN)


class TestAlive:
    def test_a_new_member_joins_and_is_gossiped(self) -> None:
        lone = LoneMemberlist()
        lone.get(N2)
        member = lone.memberlist.members.by_name["n2"]
        assert (member.state, member.incarnation, member.endpoint, member.meta) == (
            State.ALIVE,
            1,
            ("127.10.0.9", 8301),
            b"m",
        )
        assert lone.delegate.events == [("join", "n2")]
        assert lone.queued() == [N2]

    def test_incarnation_0_never_works(self) -> None:
        lone = LoneMemberlist()
        lone.get(replace(N2, incarnation=0))
        assert lone.delegate.events == []

    @pytest.mark.parametrize("vsn", [(0, 5, 2, 2, 5, 4), (1, 0, 2, 2, 5, 4), (3, 2, 2, 2, 5, 4)])
    def test_versions_without_sense_are_ignored(self, vsn: tuple[int, ...]) -> None:
        lone = LoneMemberlist()
        lone.get(replace(N2, vsn=vsn))
        assert "n2" not in lone.memberlist.members.by_name

    def test_no_versions_are_taken_only_where_they_are_not_required(self) -> None:
        strict, lax = LoneMemberlist(), LoneMemberlist(require_versions=False)
        for lone in (strict, lax):
            lone.get(replace(N2, vsn=()))
        assert ("n2" in strict.memberlist.members.by_name, "n2" in lax.memberlist.members.by_name) == (False, True)

    def test_the_delegate_may_refuse(self) -> None:
        def check(member: Member) -> None:
            raise MergeRefused(f"{member.name} is of another datacenter")

        lone = LoneMemberlist()
        lone.delegate.check_alive = check
        lone.get(N2)
        assert "n2" not in lone.memberlist.members.by_name
        assert "another datacenter" in lone.log[0]

    def test_allowed_networks(self) -> None:
        lone = LoneMemberlist(allowed_cidrs=("127.10.0.0/28",))
        lone.get(N2, replace(N2, node="n3", address="127.10.1.1"))
        assert sorted(lone.memberlist.members.by_name) == ["c1", "n2"]

    def test_port_0_means_our_own_port(self) -> None:
        lone = LoneMemberlist()
        lone.get(replace(N2, port=0))
        assert lone.memberlist.members.by_name["n2"].port == 8301

    @pytest.mark.parametrize(("incarnation", "taken"), [(1, False), (2, False), (3, True)])
    def test_only_a_higher_incarnation_is_news(self, incarnation: int, taken: bool) -> None:
        lone = LoneMemberlist()
        lone.knows("n2", 2)
        lone.get(replace(N2, incarnation=incarnation, meta=b"new"))
        assert lone.delegate.events == ([("update", "n2")] if taken else [])
        assert bool(lone.queued()) == taken

    def test_the_same_metadata_is_no_update(self) -> None:
        lone = LoneMemberlist()
        lone.knows("n2")
        lone.get(replace(N2, incarnation=2, vsn=(1, 5, 2, 2, 5, 5)))
        assert lone.delegate.events == []
        assert lone.memberlist.members.by_name["n2"].vsn == (1, 5, 2, 2, 5, 5)

    def test_a_higher_incarnation_ends_suspicion_and_death(self) -> None:
        lone = LoneMemberlist()
        lone.knows("n2")
        lone.get(Suspect(1, "n2", "n3"), replace(N2, incarnation=2))
        lone.clock.advance(100)
        lone.get(Dead(2, "n2", "n3"), replace(N2, incarnation=2), replace(N2, incarnation=3))
        assert lone.delegate.events[-2:] == [("leave", "n2"), ("join", "n2")]


class TestAddresses:
    MOVED = replace(N2, incarnation=9, address="127.10.0.77")

    def test_a_living_members_name_is_taken(self) -> None:
        lone = LoneMemberlist()
        lone.knows("n2")
        lone.get(self.MOVED)
        assert lone.memberlist.members.by_name["n2"].address == "127.10.0.9"
        assert lone.delegate.events == [("conflict", "n2")]
        assert lone.queued() == []

    def test_our_own_name_is_taken(self) -> None:
        lone = LoneMemberlist()
        lone.get(replace(N2, node="c1"))
        assert lone.memberlist.local.address == "127.10.0.2"
        assert lone.delegate.events == [("conflict", "c1")]

    def test_a_member_that_left_may_come_back_elsewhere_even_with_a_lower_incarnation(self) -> None:
        lone = LoneMemberlist()
        lone.knows("n2", 5)
        lone.get(Dead(5, "n2", "n2"), replace(self.MOVED, incarnation=1))
        member = lone.memberlist.members.by_name["n2"]
        assert (member.state, member.address, member.incarnation) == (State.ALIVE, "127.10.0.77", 1)

    @pytest.mark.parametrize(("reclaim_s", "after_s", "taken"), [(0, 29, False), (20, 10, False), (20, 25, True)])
    def test_a_dead_members_name_can_be_reclaimed(self, reclaim_s: float, after_s: float, taken: bool) -> None:
        lone = LoneMemberlist(dead_node_reclaim_time_s=reclaim_s)
        lone.knows("n2")
        lone.get(Dead(1, "n2", "n3"))
        lone.clock.advance(after_s)
        lone.get(self.MOVED)
        assert (lone.memberlist.members.by_name["n2"].address == "127.10.0.77") == taken

    def test_mapped_addresses_are_the_same_as_plain_ones(self) -> None:
        lone = LoneMemberlist()
        lone.knows("n2")
        lone.get(replace(N2, incarnation=2, address="::ffff:127.10.0.9"))
        assert lone.delegate.events == []
        assert lone.memberlist.members.by_name["n2"].incarnation == 2


class TestSuspect:
    def test_a_suspect_is_gossiped_and_dies_in_the_end(self) -> None:
        lone = LoneMemberlist()
        lone.knows("n2")
        lone.get(Suspect(1, "n2", "n3"))
        assert lone.memberlist.members.by_name["n2"].state is State.SUSPECT
        assert lone.queued() == [Suspect(1, "n2", "n3")]
        lone.clock.advance(3.9)
        assert lone.memberlist.members.by_name["n2"].state is State.SUSPECT
        lone.clock.advance(0.2)
        assert lone.memberlist.members.by_name["n2"].state is State.DEAD, "nobody could confirm: the shortest time, 4 s"
        assert lone.delegate.events == [("leave", "n2")]

    @pytest.mark.parametrize("message", [Suspect(1, "n9", "n3"), Suspect(1, "n2", "n3")])
    def test_unknown_members_and_old_incarnations_are_ignored(self, message: Suspect) -> None:
        lone = LoneMemberlist()
        lone.knows("n2", 2)
        lone.get(message)
        assert lone.queued() == []
        assert lone.memberlist.members.by_name["n2"].state is State.ALIVE

    def test_only_new_confirmations_are_gossiped(self) -> None:
        lone = LoneMemberlist()
        for number in range(2, 7):
            lone.knows(f"n{number}", address=f"127.10.0.{number + 10}")
        lone.get(Suspect(1, "n2", "n3"))
        lone.memberlist.queue.clear()
        lone.get(Suspect(1, "n2", "n3"))
        assert lone.queued() == []
        lone.get(Suspect(1, "n2", "n4"))
        assert lone.queued() == [Suspect(1, "n2", "n4")]

    def test_the_dead_are_not_suspected(self) -> None:
        lone = LoneMemberlist()
        lone.knows("n2")
        lone.get(Dead(1, "n2", "n3"), Suspect(1, "n2", "n4"))
        assert lone.memberlist.members.by_name["n2"].state is State.DEAD


class TestDead:
    @pytest.mark.parametrize(("accuser", "state"), [("n3", State.DEAD), ("n2", State.LEFT)])
    def test_who_says_it_itself_has_left(self, accuser: str, state: State) -> None:
        lone = LoneMemberlist()
        lone.knows("n2")
        lone.get(Dead(1, "n2", accuser))
        assert lone.memberlist.members.by_name["n2"].state is state
        assert lone.delegate.events == [("leave", "n2")]
        assert lone.queued() == [Dead(1, "n2", accuser)]

    def test_old_and_repeated_news_are_ignored(self) -> None:
        lone = LoneMemberlist()
        lone.knows("n2", 2)
        lone.get(Dead(1, "n2", "n3"), Dead(1, "n9", "n3"))
        assert lone.delegate.events == []
        lone.get(Dead(2, "n2", "n3"), Dead(2, "n2", "n2"))
        assert lone.delegate.events == [("leave", "n2")]
        assert lone.memberlist.members.by_name["n2"].state is State.DEAD

    def test_the_dead_are_forgotten_in_the_end(self) -> None:
        lone = LoneMemberlist()
        lone.knows("n2")
        lone.get(Dead(1, "n2", "n2"))
        lone.clock.advance(29)
        assert "n2" in lone.memberlist.members.by_name
        lone.clock.advance(3)
        assert list(lone.memberlist.members.by_name) == ["c1"]


class TestRefute:
    @pytest.mark.parametrize(
        ("message", "incarnation"),
        [(Suspect(1, "c1", "n2"), 2), (Suspect(51, "c1", "n2"), 52), (Dead(7, "c1", "n2"), 8)],
    )
    def test_accusations_are_contradicted_with_a_higher_incarnation(
        self, message: Suspect | Dead, incarnation: int
    ) -> None:
        lone = LoneMemberlist()
        lone.get(message)
        assert lone.queued() == [Alive(incarnation, "c1", "127.10.0.2", 8301, b"tags", VSN)]
        assert lone.memberlist.health_score == 1
        assert lone.memberlist.local.state is State.ALIVE

    def test_an_earlier_life_of_ours_is_contradicted(self) -> None:
        lone = LoneMemberlist()
        lone.get(Alive(4, "c1", "127.10.0.2", 8301, b"old tags", VSN))
        assert lone.queued() == [Alive(5, "c1", "127.10.0.2", 8301, b"tags", VSN)]

    @pytest.mark.parametrize(("peer", "level"), [("c1", "info"), ("n2", "warn")])
    def test_only_what_others_say_of_us_is_a_warning(self, peer: str, level: str) -> None:
        """A dead message of our own is that of a leave, before a new start."""
        lone = LoneMemberlist()
        lone.get(Dead(3, "c1", peer))
        assert lone.log == [f"{level}: refuting a dead message about ourselves (from {peer})"]

    def test_what_we_said_ourselves_is_not(self) -> None:
        lone = LoneMemberlist()
        lone.get(Alive(1, "c1", "127.10.0.2", 8301, b"tags", VSN), Alive(0, "c1", "127.10.0.2", 8301, b"x", VSN))
        assert lone.queued() == []

    def test_the_refutation_replaces_what_was_to_be_said_about_us(self) -> None:
        lone = LoneMemberlist()
        lone.get(Suspect(1, "c1", "n2"), Suspect(2, "c1", "n2"))
        assert [message.incarnation for message in lone.queued() if isinstance(message, Alive)] == [3]

    @pytest.mark.parametrize(
        ("own", "accused", "after"),
        [
            (5, 2**31 + 4, 2**31 + 5),
            (5, 2**31 + 5, 6),  # nobody counts so far: it is an old one
            (1, 2**32 - 1, 2),
            (2**32 - 2, 2**32 - 1, 1),
            (2**32 - 1, 2**32 - 1, 1),
            (2**32 - 1, 3, 2**32 - 1),  # a lower number is never an accusation
        ],
    )
    def test_after_the_last_incarnation_comes_the_first(self, own: int, accused: int, after: int) -> None:
        lone = LoneMemberlist()
        lone.memberlist.members.incarnation = lone.memberlist.local.incarnation = own
        lone.get(Suspect(accused, "c1", "n2"))
        assert lone.memberlist.local.incarnation == after
        assert [each.incarnation for each in lone.queued() if isinstance(each, Alive)] == [after] * (after != own)

    @pytest.mark.parametrize("accusation", [Suspect, Dead])
    def test_an_accusation_half_the_range_ahead_is_an_old_one(self, accusation: type[Suspect | Dead]) -> None:
        lone = LoneMemberlist()
        lone.get(N2, accusation(2**31 + 2, "n2", "n3"))
        assert lone.memberlist.members.by_name["n2"].state is State.ALIVE

    def test_a_member_that_wrapped_is_believed(self) -> None:
        lone = LoneMemberlist()
        lone.get(replace(N2, incarnation=2**32 - 1), Suspect(2**32 - 1, "n2", "n3"), N2)
        member = lone.memberlist.members.by_name["n2"]
        assert (member.state, member.incarnation) == (State.ALIVE, 1)


class TestLeave:
    def test_it_is_done_when_it_was_said_often_enough(self) -> None:
        lone = LoneMemberlist()
        lone.knows("n2")
        done: list[float] = []
        lone.memberlist.leave(100, lambda: done.append(lone.clock.seconds()))
        assert done == []
        lone.clock.advance(5)
        assert done
        assert done[0] < 2
        assert (lone.memberlist.local.state, lone.delegate.events) == (State.LEFT, [("leave", "c1")])

    def test_alone_it_is_done_at_once(self) -> None:
        lone, done = LoneMemberlist(), list[str]()
        lone.memberlist.leave(5, lambda: done.append("done"))
        assert done == ["done"]

    def test_it_does_not_wait_for_longer_than_it_was_told(self) -> None:
        lone, done = LoneMemberlist(gossip_interval_s=1000.0, probe_interval_s=1000.0), list[str]()
        lone.knows("n2")
        lone.memberlist.leave(5, lambda: done.append("done"))
        lone.clock.advance(4.9)
        assert done == []
        lone.clock.advance(0.2)
        assert done == ["done"]

    def test_a_leave_that_is_dropped_from_the_queue_is_done_too(self) -> None:
        lone, done = LoneMemberlist(), list[str]()
        lone.knows("n2")
        lone.memberlist.leave(5, lambda: done.append("done"))
        lone.memberlist.queue.clear()
        lone.clock.advance(10)
        assert done == ["done"]

    def test_a_shutdown_ends_it(self) -> None:
        lone, done = LoneMemberlist(), list[str]()
        lone.knows("n2")
        lone.memberlist.leave(5, lambda: done.append("done"))
        lone.memberlist.shutdown()
        lone.clock.advance(10)
        assert done == ["done"]

    def test_afterwards_others_may_say_what_they_like(self) -> None:
        lone = LoneMemberlist()
        lone.knows("n2")
        lone.memberlist.leave(5, lambda: None)
        lone.get(Alive(9, "c1", "127.10.0.2", 8301, b"x", VSN), Dead(9, "c1", "n2"))
        assert lone.memberlist.local.state is State.LEFT
        reply = exchange(lone, join=False)
        assert isinstance(reply, PushPull)
        assert {each.name: each.state for each in reply.nodes} == {"c1": State.LEFT, "n2": State.ALIVE}


class TestPushPull:
    def test_our_state_is_sent_before_theirs_is_merged(self) -> None:
        lone = LoneMemberlist()
        lone.delegate.state = b"serf"
        reply = exchange(lone, node())
        own = NodeState("c1", "127.10.0.2", 8301, b"tags", 1, State.ALIVE, VSN)
        assert reply == PushPull(True, [own], b"serf")
        assert lone.memberlist.members.by_name["n2"].state is State.ALIVE

    def test_a_large_state_is_merged_some_nodes_in_a_turn_and_then_the_layer_s_above(self) -> None:
        lone = LoneMemberlist(push_pull_interval_s=1e9, probe_interval_s=1e9)
        nodes = [replace(node(f"n{number}"), address=f"127.10.1.{number % 250}") for number in range(MERGE_NODES + 5)]
        exchange(lone, *nodes, state=b"theirs")
        assert len(lone.memberlist.members.by_name) == 1 + MERGE_NODES
        assert lone.delegate.remote_states == []
        lone.clock.advance(0.001)
        assert len(lone.memberlist.members.by_name) == 1 + MERGE_NODES + 5
        assert lone.delegate.remote_states == [(b"theirs", True)]

    def test_what_is_left_of_a_state_is_not_merged_after_the_end(self) -> None:
        lone = LoneMemberlist(push_pull_interval_s=1e9, probe_interval_s=1e9)
        nodes = [replace(node(f"n{number}"), address=f"127.10.1.{number % 250}") for number in range(MERGE_NODES + 5)]
        exchange(lone, *nodes, state=b"theirs")
        lone.memberlist.shutdown()
        lone.clock.advance(0.001)
        assert len(lone.memberlist.members.by_name) == 1 + MERGE_NODES
        assert lone.delegate.remote_states == []

    def test_the_dead_are_only_suspected_and_who_left_has_left(self) -> None:
        lone = LoneMemberlist()
        for name in ("n2", "n3", "n4"):
            lone.knows(name)
        exchange(
            lone,
            node("n2", state=State.DEAD),
            node("n3", state=State.SUSPECT),
            node("n4", state=State.LEFT),
            join=False,
        )
        states = {name: member.state for name, member in lone.memberlist.members.by_name.items()}
        assert states == {"c1": State.ALIVE, "n2": State.SUSPECT, "n3": State.SUSPECT, "n4": State.LEFT}
        assert Suspect(1, "n2", "c1") in lone.queued(), "we are the accuser"

    def test_an_empty_request_gets_all(self) -> None:
        reply = exchange(LoneMemberlist(), join=False)
        assert isinstance(reply, PushPull)
        assert [each.name for each in reply.nodes] == ["c1"]

    @pytest.mark.parametrize(
        ("vsn", "text"),
        [
            ((), "Node 'n2' protocol version (0) is incompatible: [1, 5]"),
            ((1, 5, 6, 2, 5, 4), "Node 'n2' protocol version (6) is incompatible: [1, 5]"),
            ((1, 5, 2, 2, 5, 7), "Node 'n2' delegate protocol version (7) is incompatible: [2, 5]"),
        ],
    )
    def test_versions_that_do_not_go_together(self, vsn: tuple[int, ...], text: str) -> None:
        lone = LoneMemberlist()
        assert exchange(lone, replace(node(), vsn=vsn)) == Err(text)
        assert "n2" not in lone.memberlist.members.by_name

    def test_a_refused_joiner_is_told(self) -> None:
        def check(members: list[Member]) -> None:
            raise MergeRefused(f"Member '{members[0].name}' part of wrong datacenter 'dc9'")

        lone = LoneMemberlist()
        lone.delegate.check_merge = check
        assert exchange(lone, node()) == Err("Member 'n2' part of wrong datacenter 'dc9'")
        assert list(lone.memberlist.members.by_name) == ["c1"]
        assert isinstance(exchange(lone, node(), join=False), PushPull), "only joins are checked"

    def test_the_layer_above_gets_its_state(self) -> None:
        lone = LoneMemberlist()
        exchange(lone, node(), state=b"serf")
        exchange(lone, node())
        assert lone.delegate.remote_states == [(b"serf", True)]


def test_a_new_members_metadata_is_announced() -> None:
    lone = LoneMemberlist()
    lone.delegate.meta = b"new"
    lone.memberlist.update_meta()
    assert lone.queued() == [Alive(2, "c1", "127.10.0.2", 8301, b"new", VSN)]


def test_the_timeline_tells_why_a_member_is_dead() -> None:
    lone = LoneMemberlist()
    lone.knows("n2")
    lone.get(Suspect(1, "n2", "n3"), Alive(2, "n2", "127.10.0.9", 8301, b"m", VSN), Dead(2, "n2", "n4"))
    told = [(event.what, event.peer, event.incarnation) for event in lone.memberlist.timeline.of("n2")]
    assert told == [("alive", "", 1), ("suspected", "n3", 1), ("alive", "n2", 2), ("dead", "n4", 2)]
