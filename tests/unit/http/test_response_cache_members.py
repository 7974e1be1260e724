"""The kept list of members: it is made anew as soon as anything that it shows changes."""

from consulpy.memberlist.member import Member as Node
from consulpy.memberlist.member import State
from consulpy.serf.members import Status
from consulpy.serf.membership import Membership
from consulpy.serf.messages import JoinIntent, LeaveIntent
from tests.harness.http import HttpHarness
from tests.unit.http.test_response_cache import head_of, sent, slowly, undated


def node(name: str, address: str = "127.0.0.1") -> Node:
    return Node(name, address, 7946, b"\xff\x80", (1, 5, 2, 2, 5, 4), 1, State.ALIVE, 0.0)


def test_each_change_of_a_member_is_shown_at_once() -> None:
    harness = HttpHarness()
    membership = harness.agent.lan.membership = Membership("agent-one", 300.0, lambda _event: None)
    harness.agent.lan.members = membership.members
    head = head_of("/v1/agent/members")
    changes = (
        lambda: membership.handle_node_join(node("n1"), 0.0, 60.0),
        lambda: membership.handle_node_join(node("n2"), 0.0, 60.0),
        lambda: membership.handle_node_update(node("n1", "127.0.0.7")),
        lambda: membership.handle_leave_intent(LeaveIntent(5, "n1"), we_stay=True, now_s=1.0),
        lambda: membership.handle_join_intent(JoinIntent(6, "n1"), 1.0),
        lambda: membership.handle_node_leave(node("n1"), 2.0),
        lambda: membership.handle_node_join(node("n1"), 3.0, 60.0),
        lambda: membership.handle_node_leave(node("n2"), 4.0),
        lambda: membership.handle_leave_intent(LeaveIntent(9, "n2"), we_stay=True, now_s=5.0),
        lambda: membership.reap(1000.0, 60.0, 60.0),
    )
    shown = {undated(sent(harness, head))}
    for change in changes:
        hits = harness.service.cache.hits
        for _ in range(3):
            sent(harness, head)
        assert harness.service.cache.hits > hits
        change()
        answer = undated(sent(harness, head))
        assert answer == undated(slowly(harness, head))
        shown.add(answer)
    assert len(shown) >= 8, "what was shown followed the changes"
    assert membership.members["n1"].status is Status.ALIVE
