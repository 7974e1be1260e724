"""What memberlist is given from outside: who moves its bytes, and whom it tells and asks about members.

The names are memberlist's own. Both are `typing.Protocol`s: nothing here imports Serf or Twisted.
"""

from collections.abc import Callable
from typing import Protocol

from consulpy.memberlist.member import Address, Member


class Transport(Protocol):
    """Moves bytes for a `Memberlist`: datagrams, and streams of one request and at most one reply.

    The other way, the transport's owner calls `Memberlist.packet_received(data, source)` for each datagram, and
    feeds what arrives on a stream to what `Memberlist.stream_opened(source)` gave.
    """

    def send_packet(self, destination: Address, data: bytes) -> bool:
        """Send one datagram; False if the network refused it at once."""

    def exchange(
        self,
        destination: Address,
        request: bytes,
        timeout_s: float,
        reader: "StreamReader",
        done: Callable[[Exception | None], None],
    ) -> None:
        """Connect, write `request`, feed what comes back to `reader` until it has a whole message or fails.

        Then close and call `done` once: with None when the reader is complete, else with the error (refused, timed
        out after `timeout_s` seconds in all, closed too early, too large, malformed).
        """


class StreamReader(Protocol):
    """Collects the bytes of one stream message."""

    def feed(self, data: bytes) -> bool:
        """Take more bytes; True when the message is whole. Raises `WireError` when it can't become one."""


class Delegate(Protocol):
    """What a `Memberlist` asks and tells the layer above (Serf)."""

    def node_meta(self) -> bytes:
        """Our metadata for alive messages, at most 512 bytes."""

    def notify_message(self, message: bytes) -> None:
        """A user message arrived (without memberlist's type byte). `WireError` may be raised: it costs a log line."""

    def has_broadcasts(self) -> bool:
        """Whether there is any user message to piggyback. `Memberlist.gossip_soon` must be called when that begins."""

    def get_broadcasts(self, overhead: int, limit: int) -> list[bytes]:
        """User messages to piggyback: each costs its length plus `overhead`, all together at most `limit` bytes."""

    def local_state(self, join: bool) -> bytes:
        """Our user state for a push/pull."""

    def merge_remote_state(self, state: bytes, join: bool) -> None:
        """The user state of a push/pull partner."""

    def notify_join(self, member: Member) -> None:
        """A member became alive (new, or back from dead or left)."""

    def notify_leave(self, member: Member) -> None:
        """A member became dead or left."""

    def notify_update(self, member: Member) -> None:
        """An alive member's metadata changed."""

    def notify_conflict(self, existing: Member, other: Member) -> None:
        """Somebody at another address claims the name of a member that we know."""

    def notify_merge(self, members: list[Member]) -> None:
        """Before a join's push/pull is merged. Raise `MergeRefused` to take nothing and tell the other side."""

    def notify_alive(self, member: Member) -> None:
        """Before an alive message is taken. Raise `MergeRefused` to ignore it."""

    def ack_payload(self) -> bytes:
        """What our acks to direct UDP pings carry (Serf: the coordinate)."""

    def notify_ping_complete(self, member: Member, rtt_s: float, payload: bytes) -> None:
        """A direct probe of `member` was acknowledged in time."""
