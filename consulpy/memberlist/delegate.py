"""Interfaces that a memberlist calls: the transport below it and the delegate above it.

The names are memberlist's own. Both are `typing.Protocol`s: this module imports neither Serf nor Twisted.
"""

from collections.abc import Callable
from typing import Protocol

from consulpy.memberlist.member import Address, Member


class Transport(Protocol):
    """Sends datagrams, and opens streams of one request and at most one reply.

    Incoming data: the transport's owner calls `Memberlist.packet_received(data, source)` for each datagram, and feeds
    the bytes of an incoming stream to the object that `Memberlist.stream_opened(source)` returned.
    """

    def send_packet(self, destination: Address, data: bytes) -> bool:
        """Send one datagram; False if the network refused it immediately."""

    def exchange(
        self,
        destination: Address,
        request: bytes,
        timeout_s: float,
        reader: "StreamReader",
        done: Callable[[Exception | None], None],
    ) -> None:
        """Connect, write `request`, feed what comes back to `reader` until it has a whole message or fails.

        Then close and call `done` once: with None when the message is complete, else with the error (refused, timed out
        after `timeout_s` seconds in all, closed too early, too large, malformed).
        """


class StreamReader(Protocol):
    """Assembles one stream message from received bytes."""

    def feed(self, data: bytes) -> bool:
        """Process received bytes; True when the message is complete. Raises `WireError` for a malformed one."""


class Delegate(Protocol):
    """The layer above a `Memberlist` (Serf)."""

    def node_meta(self) -> bytes:
        """The local node's metadata for alive messages, at most 512 bytes."""

    def notify_message(self, message: bytes) -> None:
        """A user message was received (without memberlist's type byte). Raises `WireError` for a malformed one, which
        is logged.
        """

    def has_broadcasts(self) -> bool:
        """Whether user messages are queued for gossip. `Outgoing.schedule_gossip` is to be called with each new one."""

    def get_broadcasts(self, overhead: int, limit: int) -> list[bytes]:
        """User messages to gossip: each costs its length plus `overhead`, together at most `limit` bytes."""

    def local_state(self, join: bool) -> bytes:
        """The local user state for a push/pull."""

    def merge_remote_state(self, state: bytes, join: bool, asked: bool) -> None:
        """Merge the user state of a push/pull partner. `asked`: we began the push/pull. Raises `WireError`."""

    def notify_join(self, member: Member) -> None:
        """A member became alive (new, or back from dead or left)."""

    def notify_leave(self, member: Member) -> None:
        """A member became dead or left."""

    def notify_update(self, member: Member) -> None:
        """An alive member's metadata changed."""

    def notify_conflict(self, existing: Member, other: Member) -> None:
        """A member at another address claims the name of a known member."""

    def notify_merge(self, members: list[Member]) -> None:
        """Called before the members of a join's push/pull are merged. Raise `MergeRefused` to refuse all; the text is
        sent to the peer.
        """

    def notify_alive(self, member: Member) -> None:
        """Called before an alive message is applied. Raise `MergeRefused` to ignore it."""

    def ack_payload(self) -> bytes:
        """The payload of our acks to direct UDP pings (Serf: the coordinate)."""

    def notify_ping_complete(self, member: Member, rtt_s: float, payload: bytes) -> None:
        """A direct probe of `member` was acked in time with `payload`. Raises `WireError` for a malformed one."""


class NoDelegate:
    """The delegate of an observer (`Memberlist.observer`): empty values, and every notification is ignored."""

    def node_meta(self) -> bytes:
        """No metadata."""
        return b""

    def notify_message(self, message: bytes) -> None:
        """Ignored."""

    def has_broadcasts(self) -> bool:
        """There are none."""
        return False

    def get_broadcasts(self, overhead: int, limit: int) -> list[bytes]:  # noqa: ARG002
        """There are none."""
        return []

    def local_state(self, join: bool) -> bytes:  # noqa: ARG002
        """No user state."""
        return b""

    def merge_remote_state(self, state: bytes, join: bool, asked: bool) -> None:
        """Ignored."""

    def notify_join(self, member: Member) -> None:
        """Ignored."""

    def notify_leave(self, member: Member) -> None:
        """Ignored."""

    def notify_update(self, member: Member) -> None:
        """Ignored."""

    def notify_conflict(self, existing: Member, other: Member) -> None:
        """Ignored."""

    def notify_merge(self, members: list[Member]) -> None:
        """Ignored."""

    def notify_alive(self, member: Member) -> None:
        """Ignored."""

    def ack_payload(self) -> bytes:
        """An empty payload."""
        return b""

    def notify_ping_complete(self, member: Member, rtt_s: float, payload: bytes) -> None:
        """Ignored."""
