"""The members and their state transitions, by memberlist's notifications and by intents.

memberlist only knows that a member is dead; whether it left or failed is decided by its leave intent. Source:
docs/wire/gossip.md 6.2, 6.3, 6.9, and section 11 for the intended differences from real Serf.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.serf.events import MemberEvent, MemberEventKind
from consulpy.serf.intents import IntentBuffer
from consulpy.serf.members import Member, Status
from consulpy.serf.messages import JoinIntent, LeaveIntent
from consulpy.serf.tags import decode_tags

if TYPE_CHECKING:
    from consulpy.memberlist.member import Member as Node


#: Seconds between a leave intent and the dead message of the same leave: Serf's two timeouts of 5 s, and gossip.
LEAVE_WITHIN_S: Final = 30.0
#: Seconds after a member's join from which its name and node id are protected.
NAME_HOLD_S: Final = 10.0


@dataclass(slots=True)
class Outcome:
    """Result of an intent."""

    #: The intent is new: rebroadcast it.
    rebroadcast: bool = False
    #: The intent says that the local member leaves, which it does not: refute it.
    refute: bool = False


class Membership:
    """All members by name, and buffered intents about unknown ones. `on_event(event)`: called with
    each member event.
    """

    def __init__(
        self, local_name: str, recent_intent_timeout_s: float, on_event: Callable[[MemberEvent], None]
    ) -> None:
        self.members: dict[str, Member] = {}
        self.intents = IntentBuffer(recent_intent_timeout_s)
        #: Number of members that came back soon after a failure.
        self.flaps = 0
        #: Incremented with each change visible in a list of members; begins with 1, as indexes of the HTTP API do.
        self.index = 1
        #: Called after each increment, in the midst of the change.
        self.listeners: list[Callable[[], None]] = []
        self._local_name = local_name
        self._on_event = on_event
        self._counts = dict.fromkeys(Status, 0)
        self._by_folded_name: dict[str, Member] = {}
        self._by_node_id: dict[str, Member] = {}

    def find_by_name(self, name: str) -> Member | None:
        """The member of this name, ignoring case as Consul's catalog and DNS do."""
        return self._by_folded_name.get(name.lower())

    def find_by_node_id(self, node_id: str) -> Member | None:
        """The member with this `id` tag, ignoring case."""
        return self._by_node_id.get(node_id.lower())

    def count(self, status: Status) -> int:
        """Number of members with this status."""
        return self._counts[status]

    def with_status(self, *statuses: Status) -> Iterator[Member]:
        """Members with one of these statuses."""
        if not any(self._counts[status] for status in statuses):
            return iter(())  # by far the most frequent case: no member failed or left
        return (member for member in self.members.values() if member.status in statuses)

    # Notifications of memberlist

    def handle_node_join(self, node: "Node", now_s: float, flap_timeout_s: float) -> None:
        """A member joined, or came back."""
        member = self.members.get(node.name)
        if member is None:
            member = Member(node.name)
            self.members[node.name] = member
            self._counts[Status.NONE] += 1
            intent = self.intents.pop(node.name)
            if intent is not None:
                member.status_ltime = intent.ltime
            self._set_status(member, Status.LEAVING if intent is not None and intent.is_leave else Status.ALIVE)
        else:
            if member.status is Status.FAILED and now_s - member.leave_time_s < flap_timeout_s:
                self.flaps += 1
            member.leave_time_s = 0.0
            member.leave_named_s = float("-inf")
            member.prune_when_left = False
            self._set_status(member, Status.ALIVE)
        member.since_s = now_s
        self._refresh(member, node)
        self._changed()
        self._notify(MemberEventKind.JOIN, member)

    def adopt(self, members: Iterable[Member], now_s: float) -> None:
        """Add copies of living members that all others already know; there are no events. Tags are shared."""
        known, names, ids = self.members, self._by_folded_name, self._by_node_id
        before = len(known)
        for each in members:
            if each.name in known:
                continue
            member = Member(
                each.name,
                each.address,
                each.port,
                each.tags,
                Status.ALIVE,
                each.protocol_min,
                each.protocol_max,
                each.protocol_cur,
                each.delegate_min,
                each.delegate_max,
                each.delegate_cur,
                since_s=now_s,
            )
            known[each.name] = names[each.name.lower()] = member
            if each.tags.get("id"):
                ids[each.tags["id"].lower()] = member
        self._counts[Status.ALIVE] += len(known) - before
        self._changed()

    def handle_node_leave(self, node: "Node", now_s: float) -> None:
        """A member is dead: it left if it is leaving, or said so itself (`_leave_crossed`); else it failed."""
        member = self.members.get(node.name)
        if member is None or member.status not in (Status.ALIVE, Status.LEAVING):
            return
        member.gone_by_itself = node.state is node.state.LEFT
        was_named = member.gone_by_itself and now_s - member.leave_named_s < LEAVE_WITHIN_S
        has_left = member.status is Status.LEAVING or was_named
        self._set_status(member, Status.LEFT if has_left else Status.FAILED)
        member.leave_time_s = now_s
        self._notify(MemberEventKind.LEAVE if has_left else MemberEventKind.FAILED, member)
        if has_left and member.prune_when_left:
            self.erase(member)

    def handle_node_update(self, node: "Node") -> None:
        """A member's metadata changed."""
        member = self.members.get(node.name)
        if member is not None:
            self._refresh(member, node)
            self._changed()
            self._notify(MemberEventKind.UPDATE, member)

    # Intents

    def handle_leave_intent(self, intent: LeaveIntent, *, we_stay: bool, now_s: float) -> Outcome:
        """Apply a leave intent. `we_stay`: whether the local member refutes intents about itself."""
        member = self.members.get(intent.node)
        if member is None:
            return Outcome(rebroadcast=self.intents.put(intent.node, True, intent.ltime, now_s))
        if intent.ltime == member.status_ltime and intent.node != self._local_name:
            self._leave_crossed(member, now_s)
        if intent.ltime <= member.status_ltime:
            return Outcome()
        if intent.node == self._local_name and we_stay:
            return Outcome(refute=True)
        member.status_ltime = intent.ltime
        if member.status is Status.ALIVE:
            self._set_status(member, Status.LEAVING)
        elif member.status is Status.FAILED:
            self._set_status(member, Status.LEFT)
            self._notify(MemberEventKind.LEAVE, member)
        if intent.prune:
            # Real Serf erases a live member too, which stays invisible although it is alive; here it is erased once it
            # left.
            member.prune_when_left = True
            if member.status is Status.LEFT:
                self.erase(member)
        return Outcome(rebroadcast=True)

    def _leave_crossed(self, member: Member, now_s: float) -> None:
        """A leave at the member's status time, which may be the leave's own.

        The state of a push/pull with a real member that is leaving has that time, and reads as a join at it; the intent
        means nothing then, and real Serf takes the leave for a failure. With memberlist's word from the member itself,
        which only a leave sends, it is one; alone, as before, it changes nothing.
        """
        member.leave_named_s = now_s
        if member.status is Status.FAILED and member.gone_by_itself and now_s - member.leave_time_s < LEAVE_WITHIN_S:
            self._set_status(member, Status.LEFT)
            self._notify(MemberEventKind.LEAVE, member)

    def handle_join_intent(self, intent: JoinIntent, now_s: float) -> Outcome:
        """Apply a join intent."""
        member = self.members.get(intent.node)
        if member is None:
            return Outcome(rebroadcast=self.intents.put(intent.node, False, intent.ltime, now_s))
        if intent.ltime <= member.status_ltime:
            return Outcome()
        member.status_ltime = intent.ltime
        member.prune_when_left = False
        if member.status is Status.LEAVING:
            self._set_status(member, Status.ALIVE)
        return Outcome(rebroadcast=True)

    def handle_remote_left(self, name: str, ltime: int, *, we_stay: bool, now_s: float) -> Outcome:
        """Apply that a push/pull partner lists a member as left since `ltime`.

        Real Serf handles this as an intent at `ltime + 1`, so that the times of left members grow by one with each
        push/pull; here a member already leaving or left only gets the newer time.
        """
        member = self.members.get(name)
        if member is not None and member.status in (Status.LEAVING, Status.LEFT):
            member.status_ltime = max(member.status_ltime, ltime)
            return Outcome()
        return self.handle_leave_intent(LeaveIntent(min(ltime + 1, 2**64 - 1), name), we_stay=we_stay, now_s=now_s)

    def reset_status_ltimes(self) -> None:
        """The Lamport clock wrapped: any further intent is newer than the applied ones."""
        for member in self.members.values():
            member.status_ltime = 0
        self.intents.clear()

    # Removal

    def erase(self, member: Member) -> None:
        """Remove a member."""
        if self.members.get(member.name) is member:
            del self.members[member.name]
            self._remove_keys(member)
            self._changed()
            self._counts[member.status] -= 1
            self._notify(MemberEventKind.REAP, member)

    def reap(
        self,
        now_s: float,
        reconnect_timeout_s: float,
        tombstone_timeout_s: float,
        reap_after_s: Callable[[Mapping[str, str], float], float] = lambda _tags, limit_s: limit_s,
    ) -> None:
        """Remove members that failed or left long ago, and old buffered intents (`SerfConfig.reap_after_s`)."""
        for member in list(self.with_status(Status.FAILED, Status.LEFT)):
            limit_s = reconnect_timeout_s if member.status is Status.FAILED else tombstone_timeout_s
            if now_s - member.leave_time_s > reap_after_s(member.tags, limit_s):
                self.erase(member)
        self.intents.expire(now_s)

    def _refresh(self, member: Member, node: "Node") -> None:
        self._remove_keys(member)
        _refresh(member, node)
        keys = ((self._by_folded_name, member.name), (self._by_node_id, member.tags.get("id", "")))
        for index, key in keys:
            known = index.get(key.lower())
            if key and (known is None or known.is_gone):
                index[key.lower()] = member

    def _remove_keys(self, member: Member) -> None:
        keys = ((self._by_folded_name, member.name), (self._by_node_id, member.tags.get("id", "")))
        for index, key in keys:
            if index.get(key.lower()) is member:
                del index[key.lower()]

    def _notify(self, kind: MemberEventKind, member: Member) -> None:
        self._on_event(MemberEvent(kind, [replace(member)]))  # a copy: receivers must not see later changes

    def _changed(self) -> None:
        self.index += 1
        for listener in tuple(self.listeners):
            listener()

    def _set_status(self, member: Member, status: Status) -> None:
        self._counts[member.status] -= 1
        self._counts[status] += 1
        self._changed()
        member.status = status


class NameHolders:
    """Holders of names and node ids, ignoring case, after `NAME_HOLD_S`. `seconds()`: the membership's clock.

    The time limit is needed as members of one push/pull have equal rights to a name.
    """

    def __init__(self, membership: Membership, seconds: Callable[[], float]) -> None:
        self._membership = membership
        self._seconds = seconds

    def find_by_name(self, name: str) -> Member | None:
        """The holder of a name."""
        return self._if_held(self._membership.find_by_name(name))

    def find_by_node_id(self, node_id: str) -> Member | None:
        """The holder of a node id (`id` tag)."""
        return self._if_held(self._membership.find_by_node_id(node_id))

    def _if_held(self, member: Member | None) -> Member | None:
        return None if member is None or self._seconds() - member.since_s < NAME_HOLD_S else member


def _refresh(member: Member, node: "Node") -> None:
    member.address, member.port = node.address, node.port
    member.tags = decode_tags(node.meta)
    versions = tuple(node.vsn)
    if len(versions) >= 6:
        member.protocol_min, member.protocol_max, member.protocol_cur = versions[:3]
        member.delegate_min, member.delegate_max, member.delegate_cur = versions[3:6]


def member_of(node: "Node") -> Member:
    """A memberlist entry as a Serf member, for checks before it is added."""
    member = Member(node.name, status=Status.ALIVE)
    _refresh(member, node)
    return member
