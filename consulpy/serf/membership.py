"""The members and the rules by which they change: what memberlist sees, and what intents mean.

memberlist knows only that a member is gone; whether it left or failed is decided here, by its intent to leave.
Source: docs/wire/gossip.md 6.2, 6.3, 6.9, and section 11 for where we differ from real Serf on purpose.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from consulpy.serf.events import MemberEvent, MemberEventKind
from consulpy.serf.intents import IntentBuffer
from consulpy.serf.members import Member, Status
from consulpy.serf.messages import JoinIntent, LeaveIntent
from consulpy.serf.tags import decode_tags

if TYPE_CHECKING:
    from consulpy.memberlist.member import Member as Node


#: How long a member has to be here until a name is its own.
SETTLED_S: Final = 10.0


@dataclass(slots=True)
class Outcome:
    """What an intent led to."""

    #: It is news: pass it on.
    rebroadcast: bool = False
    #: It says that we leave, but we do not: contradict it.
    refute: bool = False


class Roster:
    """All members by name, and the intents about those that are still unknown. `tell` gets the events."""

    def __init__(self, local_name: str, recent_intent_timeout_s: float, tell: Callable[[MemberEvent], None]) -> None:
        self.members: dict[str, Member] = {}
        self.intents = IntentBuffer(recent_intent_timeout_s)
        #: Members that came back soon after they had failed.
        self.flaps = 0
        #: Another one after each change that a list of the members shows.
        self.version = 0
        self._local_name = local_name
        self._tell = tell
        self._counts = dict.fromkeys(Status, 0)
        self._by_folded_name: dict[str, Member] = {}
        self._by_node_id: dict[str, Member] = {}

    def named_like(self, name: str) -> Member | None:
        """The member of this name, in whatever capitals: Consul's catalog and DNS do not tell them apart."""
        return self._by_folded_name.get(name.lower())

    def with_node_id(self, node_id: str) -> Member | None:
        """The member with this `id` tag, in whatever capitals."""
        return self._by_node_id.get(node_id.lower())

    def count(self, status: Status) -> int:
        """How many members have this status."""
        return self._counts[status]

    def with_status(self, *statuses: Status) -> Iterator[Member]:
        """The members that have one of these."""
        return (member for member in self.members.values() if member.status in statuses)

    # What memberlist sees

    def joined(self, node: "Node", now_s: float, flap_timeout_s: float) -> None:
        """memberlist has a new or returned member."""
        member = self.members.get(node.name)
        if member is None:
            member = Member(node.name)
            self.members[node.name] = member
            self._counts[Status.NONE] += 1
            intent = self.intents.take(node.name)
            if intent is not None:
                member.status_ltime = intent.ltime
            self._set_status(member, Status.LEAVING if intent is not None and intent.is_leave else Status.ALIVE)
        else:
            if member.status is Status.FAILED and now_s - member.leave_time_s < flap_timeout_s:
                self.flaps += 1
            member.leave_time_s = 0.0
            member.prune_when_left = False
            self._set_status(member, Status.ALIVE)
        member.since_s = now_s
        self._refresh(member, node)
        self.version += 1
        self._happened(MemberEventKind.JOIN, member)

    def gone(self, node: "Node", now_s: float) -> None:
        """memberlist lost a member: it left if it said so before, else it failed."""
        member = self.members.get(node.name)
        if member is None or member.status not in (Status.ALIVE, Status.LEAVING):
            return
        has_left = member.status is Status.LEAVING
        self._set_status(member, Status.LEFT if has_left else Status.FAILED)
        member.leave_time_s = now_s
        self._happened(MemberEventKind.LEAVE if has_left else MemberEventKind.FAILED, member)
        if has_left and member.prune_when_left:
            self.erase(member)

    def updated(self, node: "Node") -> None:
        """A member changed its metadata."""
        member = self.members.get(node.name)
        if member is not None:
            self._refresh(member, node)
            self.version += 1
            self._happened(MemberEventKind.UPDATE, member)

    # What intents say

    def leave_intent(self, intent: LeaveIntent, *, we_stay: bool, now_s: float) -> Outcome:
        """A member leaves, or is declared gone. `we_stay`: whether we would deny it of ourselves."""
        member = self.members.get(intent.node)
        if member is None:
            return Outcome(rebroadcast=self.intents.put(intent.node, True, intent.ltime, now_s))
        if intent.ltime <= member.status_ltime:
            return Outcome()
        if intent.node == self._local_name and we_stay:
            return Outcome(refute=True)
        member.status_ltime = intent.ltime
        if member.status is Status.ALIVE:
            self._set_status(member, Status.LEAVING)
        elif member.status is Status.FAILED:
            self._set_status(member, Status.LEFT)
            self._happened(MemberEventKind.LEAVE, member)
        if intent.prune:
            # Real Serf erases a live member as well, which stays invisible though it is here; we wait until it left.
            member.prune_when_left = True
            if member.status is Status.LEFT:
                self.erase(member)
        return Outcome(rebroadcast=True)

    def join_intent(self, intent: JoinIntent, now_s: float) -> Outcome:
        """A member is here, and was at this time."""
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

    def left_elsewhere(self, name: str, ltime: int, *, we_stay: bool, now_s: float) -> Outcome:
        """A push/pull partner lists a member as left, since the intent at `ltime`.

        Real Serf takes it as an intent at `ltime + 1`, with which the times of left members creep up by one with each
        push/pull; here a member that is leaving or left already only gets the newer time.
        """
        member = self.members.get(name)
        if member is not None and member.status in (Status.LEAVING, Status.LEFT):
            member.status_ltime = max(member.status_ltime, ltime)
            return Outcome()
        return self.leave_intent(LeaveIntent(min(ltime + 1, 2**64 - 1), name), we_stay=we_stay, now_s=now_s)

    def forget_times(self) -> None:
        """The clock fell back: whatever a member says next is newer than all that it said before."""
        for member in self.members.values():
            member.status_ltime = 0
        self.intents.clear()

    # Forgetting

    def erase(self, member: Member) -> None:
        """Forget a member."""
        if self.members.get(member.name) is member:
            del self.members[member.name]
            self._forget_keys(member)
            self.version += 1
            self._counts[member.status] -= 1
            self._happened(MemberEventKind.REAP, member)

    def reap(self, now_s: float, reconnect_timeout_s: float, tombstone_timeout_s: float) -> None:
        """Forget the members that failed or left long ago, and old intents."""
        for member in list(self.with_status(Status.FAILED, Status.LEFT)):
            limit_s = reconnect_timeout_s if member.status is Status.FAILED else tombstone_timeout_s
            if now_s - member.leave_time_s > limit_s:
                self.erase(member)
        self.intents.expire(now_s)

    def _refresh(self, member: Member, node: "Node") -> None:
        self._forget_keys(member)
        _refresh(member, node)
        keys = ((self._by_folded_name, member.name), (self._by_node_id, member.tags.get("id", "")))
        for index, key in keys:
            known = index.get(key.lower())
            if key and (known is None or known.is_gone):
                index[key.lower()] = member

    def _forget_keys(self, member: Member) -> None:
        keys = ((self._by_folded_name, member.name), (self._by_node_id, member.tags.get("id", "")))
        for index, key in keys:
            if index.get(key.lower()) is member:
                del index[key.lower()]

    def _happened(self, kind: MemberEventKind, member: Member) -> None:
        self._tell(MemberEvent(kind, [replace(member)]))  # as it is now: who hears of it later must not see more

    def _set_status(self, member: Member, status: Status) -> None:
        self._counts[member.status] -= 1
        self._counts[status] += 1
        self.version += 1
        member.status = status


class Holders:
    """Who has had a name or an id long enough to keep it, in whatever capitals. `seconds()`: the roster's clock.

    Who came with a push/pull has no more right to a name than who came with it under the same one.
    """

    def __init__(self, roster: Roster, seconds: Callable[[], float]) -> None:
        self._roster = roster
        self._seconds = seconds

    def named_like(self, name: str) -> Member | None:
        """The member of a name."""
        return self._settled(self._roster.named_like(name))

    def with_node_id(self, node_id: str) -> Member | None:
        """The member with an `id` tag."""
        return self._settled(self._roster.with_node_id(node_id))

    def _settled(self, member: Member | None) -> Member | None:
        return None if member is None or self._seconds() - member.since_s < SETTLED_S else member


def _refresh(member: Member, node: "Node") -> None:
    member.address, member.port = node.address, node.port
    member.tags = decode_tags(node.meta)
    versions = tuple(node.vsn)
    if len(versions) >= 6:
        member.protocol_min, member.protocol_max, member.protocol_cur = versions[:3]
        member.delegate_min, member.delegate_max, member.delegate_cur = versions[3:6]


def member_of(node: "Node") -> Member:
    """A memberlist entry as Serf shows it, for checks before it is taken."""
    member = Member(node.name, status=Status.ALIVE)
    _refresh(member, node)
    return member
