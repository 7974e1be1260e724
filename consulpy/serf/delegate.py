"""Serf's memberlist delegate: messages, member events, the user state of push/pulls, coordinates in acks.

Source: docs/wire/gossip.md 6.6 and 8.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from consulpy.errors import ConfigError, WireError
from consulpy.serf.coordinate import decode_ack
from consulpy.serf.interface import LocalSerf
from consulpy.serf.members import Member, Status
from consulpy.serf.membership import member_of
from consulpy.serf.messages import (
    JoinIntent,
    LeaveIntent,
    Message,
    PastEvent,
    PastEvents,
    PushPull,
    QueryMessage,
    QueryResponseMessage,
    Relay,
    UserEventMessage,
    decode,
)
from consulpy.serf.tags import encode_tags

if TYPE_CHECKING:
    from consulpy.memberlist.member import Member as Node


class SerfDelegate:
    """Implements `consulpy.memberlist.delegate.Delegate`. `check_merge` and `check_alive`: see `Serf`."""

    def __init__(
        self,
        serf: LocalSerf,
        check_merge: Callable[[list[Member]], None] | None,
        check_alive: Callable[[Member], None] | None,
    ) -> None:
        self._serf = serf
        self._check_merge = check_merge
        self._check_alive = check_alive
        self._handlers: dict[type[Message], Callable[..., None]] = {
            LeaveIntent: self._leave_intent,
            JoinIntent: self._join_intent,
            UserEventMessage: self._user_event,
            QueryMessage: self._query,
            QueryResponseMessage: serf.pending_queries.receive,
            Relay: serf.query_responder.relay,
        }

    # -- messages

    def notify_message(self, message: bytes) -> None:
        """Decode and handle a Serf message. Raises `WireError`."""
        self._serf.metrics.sample("serf.msgs.received", len(message))
        decoded = decode(message)
        handler = self._handlers.get(type(decoded))
        if handler is None:
            raise WireError(f"a Serf message of type {message[0]} does not come alone")
        if isinstance(decoded, QueryResponseMessage | Relay):
            handler(decoded)
        else:
            handler(decoded, message)

    def _leave_intent(self, intent: LeaveIntent, raw: bytes) -> None:
        if self._serf.handle_leave_intent(intent):
            self._serf.broadcasts.intent(raw)

    def _join_intent(self, intent: JoinIntent, raw: bytes) -> None:
        if self._serf.handle_join_intent(intent):
            self._serf.broadcasts.intent(raw)

    def _user_event(self, event: UserEventMessage, raw: bytes) -> None:
        if self._serf.user_events.receive(event):
            self._serf.broadcasts.event(raw)

    def _query(self, query: QueryMessage, raw: bytes) -> None:
        if self._serf.query_responder.receive(query):
            self._serf.broadcasts.query(raw)

    def has_broadcasts(self) -> bool:
        """Whether any message is queued."""
        return not self._serf.broadcasts.is_empty

    def get_broadcasts(self, overhead: int, limit: int) -> list[bytes]:
        """Messages to gossip."""
        picked = self._serf.broadcasts.get(overhead, limit)
        for message in picked:
            self._serf.metrics.sample("serf.msgs.sent", len(message))
        return picked

    # -- members

    def node_meta(self) -> bytes:
        """The encoded tags of the local member."""
        try:
            return encode_tags(self._serf.tags)
        except ConfigError as error:  # tags were checked when they were set
            raise AssertionError(str(error)) from None

    def notify_join(self, member: "Node") -> None:
        """A member joined."""
        serf = self._serf
        serf.membership.handle_node_join(member, serf.clock.seconds(), serf.config.flap_timeout_s)

    def notify_leave(self, member: "Node") -> None:
        """A member left or failed."""
        self._serf.membership.handle_node_leave(member, self._serf.clock.seconds())

    def notify_update(self, member: "Node") -> None:
        """A member's tags changed."""
        self._serf.membership.handle_node_update(member)

    def notify_conflict(self, existing: "Node", other: "Node") -> None:
        """Two members claim one name."""
        self._serf.name_conflict(member_of(existing), member_of(other))

    def notify_merge(self, members: "list[Node]") -> None:
        """Check the members of a join's push/pull. Raises `MergeRefused`."""
        if self._check_merge is not None:
            self._check_merge([_for_merge(member) for member in members])

    def notify_alive(self, member: "Node") -> None:
        """Check a member. Raises `MergeRefused`."""
        if self._check_alive is not None:
            self._check_alive(member_of(member))

    # -- push/pull

    def local_state(self, join: bool) -> bytes:  # noqa: ARG002 - the same for joins
        """Encode Lamport clocks, status times, left members, and recent user events."""
        serf = self._serf
        status_ltimes = {name: member.status_ltime for name, member in serf.members.items()}
        for member in serf.membership.with_status(Status.LEAVING):
            # A peer takes it for the time of a join, and would ignore the leave intent of this very time.
            status_ltimes[member.name] = max(member.status_ltime - 1, 0)
        state = PushPull(
            ltime=serf.ltime.time(),
            status_ltimes=status_ltimes,
            left_members=[member.name for member in serf.membership.with_status(Status.LEFT)],
            event_ltime=serf.user_events.ltime.time(),
            events=[
                PastEvents(ltime, [PastEvent(name, payload) for name, payload in events])
                for ltime, events in serf.user_events.recent.past(serf.user_events.ltime.time())
            ],
            query_ltime=serf.query_responder.ltime.time(),
        )
        return state.encode()

    def merge_remote_state(self, state: bytes, join: bool, asked: bool) -> None:
        """Merge the partner's state. `asked`: this member began the push/pull. Raises `WireError`."""
        decoded = decode(state)
        if not isinstance(decoded, PushPull):
            raise WireError(f"a push/pull with user state of type {state[0]}")
        serf = self._serf
        clocks = ((serf.ltime, decoded.ltime), (serf.user_events.ltime, decoded.event_ltime))
        for clock, seen in (*clocks, (serf.query_responder.ltime, decoded.query_ltime)):
            if seen > 0:
                clock.follow(seen - 1, asked)  # the clock shows the time of the next message
        status_ltimes = decoded.status_ltimes or {}
        left = dict.fromkeys(decoded.left_members or ())
        for name in left:
            serf.handle_remote_left(name, status_ltimes.get(name) or 0)
        members = serf.members
        for name, ltime in status_ltimes.items():
            known = members.get(name)
            if known is not None and (ltime or 0) <= known.status_ltime:
                continue  # applied and witnessed before: by far the most frequent case
            if name not in left and not serf.ltime.is_far_ahead(ltime or 0):
                serf.handle_join_intent(JoinIntent(ltime or 0, name))
        if join and asked and serf.ignores_old_events:
            serf.user_events.recent.min_time = max(
                serf.user_events.recent.min_time, min(decoded.event_ltime, serf.user_events.ltime.time())
            )
        for past in decoded.events or ():
            for event in (past.events if past is not None else None) or ():
                assert past is not None
                serf.user_events.receive(UserEventMessage(past.ltime, event.name, event.payload, False))

    # -- coordinates

    def ack_payload(self) -> bytes:
        """The encoded local coordinate."""
        client = self._serf.coordinates
        return b"" if client is None else client.encode_ack()

    def notify_ping_complete(self, member: "Node", rtt_s: float, payload: bytes) -> None:
        """Update the local coordinate by a measured round trip. Raises `WireError` for an invalid coordinate."""
        coordinate = decode_ack(payload)
        if coordinate is not None:
            self._serf.update_coordinate(member.name, coordinate, rtt_s)


def _for_merge(node: "Node") -> Member:
    member = member_of(node)
    if node.state == node.state.LEFT:
        member.status = Status.LEFT
    elif node.state == node.state.DEAD:  # a member that is gone must not cause a refusal
        member.status = Status.FAILED
    return member
