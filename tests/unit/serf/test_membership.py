"""How members change: memberlist's word, intents, and time (docs/wire/gossip.md 6.2, 6.3, 6.9 and 11)."""

import pytest

from consulpy.memberlist.member import Member as Node
from consulpy.memberlist.member import State
from consulpy.serf.events import MemberEvent
from consulpy.serf.intents import IntentBuffer
from consulpy.serf.members import Status
from consulpy.serf.membership import LEAVE_WITHIN_S, Membership
from consulpy.serf.messages import JoinIntent, LeaveIntent
from consulpy.serf.tags import encode_tags


def node(name: str, meta: bytes = b"\xff\x80") -> Node:
    return Node(name, "127.0.0.1", 7946, meta, (1, 5, 2, 2, 5, 4), 1, State.ALIVE, 0.0)


class Told:
    """A membership and what it told."""

    def __init__(self) -> None:
        self.events: list[MemberEvent] = []
        self.membership = Membership("me", 300.0, self.events.append)
        self.membership.handle_node_join(node("me"), 0.0, 60.0)
        self.events.clear()

    def kinds(self) -> list[str]:
        return [event.kind.value for event in self.events]

    def status(self, name: str) -> Status:
        return self.membership.members[name].status

    def leave(self, ltime: int, name: str = "n1", prune: bool = False, we_stay: bool = True) -> tuple[bool, bool]:
        outcome = self.membership.handle_leave_intent(LeaveIntent(ltime, name, prune), we_stay=we_stay, now_s=5.0)
        return outcome.rebroadcast, outcome.refute

    def join(self, ltime: int, name: str = "n1") -> bool:
        return self.membership.handle_join_intent(JoinIntent(ltime, name), 5.0).rebroadcast


def test_a_member_that_said_so_has_left_any_other_has_failed() -> None:
    told = Told()
    for name in ("n1", "n2"):
        told.membership.handle_node_join(node(name), 0.0, 60.0)
    assert told.leave(5, "n1") == (True, False)
    assert told.status("n1") is Status.LEAVING
    told.membership.handle_node_leave(node("n1"), 1.0)
    told.membership.handle_node_leave(node("n2"), 1.0)
    assert (told.status("n1"), told.status("n2")) == (Status.LEFT, Status.FAILED)
    assert told.kinds() == ["join", "join", "leave", "failed"]


@pytest.mark.parametrize("is_intent_first", [True, False])
@pytest.mark.parametrize(
    ("state", "named_ltime", "after_s", "status"),
    [
        (State.LEFT, 5, 1.0, Status.LEFT),
        (State.LEFT, 4, 1.0, Status.FAILED),
        (State.DEAD, 5, 1.0, Status.FAILED),
        (State.LEFT, 5, LEAVE_WITHIN_S, Status.FAILED),
    ],
)
def test_a_leave_whose_time_came_by_a_push_pull_is_one_if_the_member_is_dead_by_its_own_word(
    is_intent_first: bool, state: State, named_ltime: int, after_s: float, status: Status
) -> None:
    """The state of a real member that is leaving has the time of its leave, and is taken for a join."""
    told = Told()
    told.membership.handle_node_join(node("n1"), 0.0, 60.0)
    assert told.join(5), "by the push/pull"
    gone = node("n1")
    gone.state = state
    if is_intent_first:
        assert told.leave(named_ltime) == (False, False)
        assert told.status("n1") is Status.ALIVE
        told.membership.handle_node_leave(gone, 5.0 + after_s)
    else:
        told.membership.handle_node_leave(gone, 5.0 - after_s)
        assert told.status("n1") is Status.FAILED
        told.leave(named_ltime)
    assert told.status("n1") is status
    assert told.kinds()[-1] == {Status.LEFT: "leave", Status.FAILED: "failed"}[status]


def test_an_old_leave_of_a_member_that_came_back_does_not_explain_its_next_end() -> None:
    told, gone = Told(), node("n1")
    gone.state = State.LEFT
    told.membership.handle_node_join(node("n1"), 0.0, 60.0)
    told.join(5)
    told.leave(5)
    told.membership.handle_node_leave(gone, 5.5)
    told.membership.handle_node_join(node("n1"), 6.0, 60.0)
    told.membership.handle_node_leave(gone, 7.0)
    assert told.status("n1") is Status.FAILED


def test_a_member_may_be_reaped_after_a_time_of_its_own() -> None:
    told = Told()
    for name in ("n1", "n2"):
        told.membership.handle_node_join(node(name, encode_tags({"t": "9"} if name == "n1" else {})), 0.0, 60.0)
        told.membership.handle_node_leave(node(name), 1.0)
    told.membership.reap(10.5, 200.0, 100.0, lambda tags, limit_s: float(tags.get("t", limit_s)))
    assert set(told.membership.members) == {"me", "n2"}


def test_events_show_the_member_as_it_was_then() -> None:
    told = Told()
    told.membership.handle_node_join(node("n1"), 0.0, 60.0)
    told.membership.handle_node_leave(node("n1"), 1.0)
    assert [event.members[0].status for event in told.events] == [Status.ALIVE, Status.FAILED]


def test_an_intent_may_come_before_its_member() -> None:
    told = Told()
    assert told.leave(7) == (True, False)
    assert told.leave(7) == (False, False)
    assert not told.join(6)
    told.membership.handle_node_join(node("n1"), 0.0, 60.0)
    assert told.status("n1") is Status.LEAVING
    assert told.membership.members["n1"].status_ltime == 7


def test_a_newer_join_ends_leaving_and_an_older_intent_means_nothing() -> None:
    told = Told()
    told.membership.handle_node_join(node("n1"), 0.0, 60.0)
    told.leave(5)
    assert told.join(6)
    assert told.status("n1") is Status.ALIVE
    assert told.leave(6) == (False, False)
    assert not told.join(6)
    assert told.status("n1") is Status.ALIVE


def test_an_intent_is_passed_on_once_only() -> None:
    """Section 11: a leave intent about a member that has left must not travel for ever."""
    told = Told()
    told.membership.handle_node_join(node("n1"), 0.0, 60.0)
    told.membership.handle_node_leave(node("n1"), 1.0)
    assert told.leave(5) == (True, False)
    assert told.leave(5) == (False, False)
    assert told.leave(6) == (True, False)
    assert told.leave(6) == (False, False)


def test_force_leave_makes_a_failed_member_a_left_one() -> None:
    told = Told()
    told.membership.handle_node_join(node("n1"), 0.0, 60.0)
    told.membership.handle_node_leave(node("n1"), 1.0)
    told.leave(5)
    assert told.status("n1") is Status.LEFT
    assert told.kinds() == ["join", "failed", "leave"]


def test_we_contradict_that_we_leave_unless_we_do() -> None:
    told = Told()
    assert told.leave(5, "me") == (False, True)
    assert told.status("me") is Status.ALIVE
    assert told.leave(5, "me", we_stay=False) == (True, False)
    assert told.status("me") is Status.LEAVING


def test_prune_erases_a_gone_member_and_spares_one_that_is_here() -> None:
    """Section 11: real Serf erases the live one too, and it stays invisible."""
    told = Told()
    for name in ("n1", "n2"):
        told.membership.handle_node_join(node(name), 0.0, 60.0)
    told.membership.handle_node_leave(node("n1"), 1.0)
    told.leave(5, "n1", prune=True)
    told.leave(6, "n2", prune=True)
    assert "n1" not in told.membership.members
    assert told.status("n2") is Status.LEAVING
    told.join(7, "n2")
    told.membership.handle_node_leave(node("n2"), 2.0)
    assert told.status("n2") is Status.FAILED


def test_a_member_that_was_to_be_pruned_is_erased_once_it_left() -> None:
    told = Told()
    told.membership.handle_node_join(node("n1"), 0.0, 60.0)
    told.leave(5, prune=True)
    told.membership.handle_node_leave(node("n1"), 1.0)
    assert "n1" not in told.membership.members
    assert told.kinds() == ["join", "leave", "reap"]


def test_times_of_left_members_do_not_creep() -> None:
    """Section 11: with real Serf each push/pull raises them by one."""
    told = Told()
    told.membership.handle_node_join(node("n1"), 0.0, 60.0)
    told.membership.handle_node_leave(node("n1"), 1.0)
    for _ in range(10):
        told.membership.handle_remote_left("n1", 8, we_stay=True, now_s=2.0)
    assert told.status("n1") is Status.LEFT
    assert told.membership.members["n1"].status_ltime == 9
    told.membership.handle_remote_left("n1", 20, we_stay=True, now_s=2.0)
    assert told.membership.members["n1"].status_ltime == 20


def test_a_left_member_stays_left_whatever_old_partners_say() -> None:
    told = Told()
    told.membership.handle_node_join(node("n1"), 0.0, 60.0)
    told.leave(5)
    told.membership.handle_node_leave(node("n1"), 1.0)
    told.join(9)
    told.membership.handle_node_update(node("n1"))
    assert told.status("n1") is Status.LEFT


def test_a_returning_member_is_alive_and_counted_as_flapping() -> None:
    told = Told()
    told.membership.handle_node_join(node("n1"), 0.0, 60.0)
    told.membership.handle_node_leave(node("n1"), 100.0)
    told.membership.handle_node_join(node("n1", b"\xff\x81\xa1a\xa1b"), 159.0, 60.0)
    assert told.status("n1") is Status.ALIVE
    assert told.membership.members["n1"].tags == {"a": "b"}
    assert told.membership.flaps == 1


def test_failed_and_left_members_are_forgotten_each_in_its_time() -> None:
    """6.9."""
    told = Told()
    for name in ("failed", "left"):
        told.membership.handle_node_join(node(name), 0.0, 60.0)
    told.leave(5, "left")
    for name in ("failed", "left"):
        told.membership.handle_node_leave(node(name), 0.0)
    told.membership.reap(101.0, reconnect_timeout_s=200.0, tombstone_timeout_s=100.0)
    assert told.membership.members.keys() == {"me", "failed"}
    told.membership.reap(201.0, reconnect_timeout_s=200.0, tombstone_timeout_s=100.0)
    assert told.membership.members.keys() == {"me"}
    assert told.kinds()[-2:] == ["reap", "reap"]
    assert [told.membership.count(status) for status in Status] == [0, 1, 0, 0, 0]


def test_intents_are_kept_for_a_while_only() -> None:
    buffer = IntentBuffer(300.0)
    buffer.put("n1", True, 5, now_s=0.0)
    buffer.expire(299.0)
    assert len(buffer) == 1
    buffer.expire(301.0)
    assert len(buffer) == 0
    assert buffer.pop("n1") is None
