"""Handling of received queries: duplicates, filters, acks, responses, and relays for other members.

Source: docs/wire/gossip.md 6.5; section 11 for which relays are refused.
"""

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Final

from consulpy.clock import Clock
from consulpy.errors import WireError
from consulpy.memberlist.member import Address
from consulpy.serf.config import SerfConfig
from consulpy.serf.conflict import packed_address, unpacked_address
from consulpy.serf.events import QueryEvent, RecentBuffer
from consulpy.serf.lamport import LamportClock
from consulpy.serf.members import Member, Status
from consulpy.serf.membership import Membership
from consulpy.serf.messages import (
    FLAG_ACK,
    FLAG_NO_BROADCAST,
    QueryMessage,
    QueryResponseMessage,
    Relay,
    RelayHeader,
    UDPAddress,
)
from consulpy.serf.query import is_for

#: Lowest memberlist protocol version of members that support relays.
_RELAY_PROTOCOL: Final = 5
_NANOSECONDS: Final = 1_000_000_000


class QueryResponder:
    """Delivers queries for the local member, sends acks and responses, relays those of other members.

    `send(address, message)`: sends a Serf message in a packet of its own. `on_query(event)`: called with each query.
    """

    def __init__(
        self,
        config: SerfConfig,
        clock: Clock,
        rng: Random,
        membership: Membership,
        local_name: str,
        send: Callable[[Address, bytes], None],
        on_query: Callable[[QueryEvent], None],
    ) -> None:
        self._config = config
        self._clock = clock
        self._rng = rng
        self._membership = membership
        self._local_name = local_name
        self._send = send
        self._on_query = on_query
        self.ltime = LamportClock()
        self.recent: RecentBuffer[int] = RecentBuffer(config.query_buffer_size)
        #: Number of relays refused: not a response, to an unknown address, or above the rate limit.
        self.relays_refused = 0
        self._relay_second = 0
        self._relays_in_second = 0

    def receive(self, query: QueryMessage) -> bool:
        """Handle a query; whether to rebroadcast it. Raises `WireError` for an invalid source address."""
        is_far = self.ltime.is_far_ahead(query.ltime)
        if not self.recent.accept_from(self.ltime, query.ltime, query.id):
            return False
        rebroadcast = not (is_far or query.flags & FLAG_NO_BROADCAST)
        tags = self._membership.members[self._local_name].tags if self._local_name in self._membership.members else {}
        if not is_for(query.filters, self._local_name, tags):
            return rebroadcast
        address = (unpacked_address(query.addr), query.port)
        if query.flags & FLAG_ACK:
            ack = QueryResponseMessage(query.ltime, query.id, self._local_name, FLAG_ACK, None)
            self._answer(address, query, ack.encode())
        respond = partial(self._respond, query, address, [False])
        deadline_s = self._clock.seconds() + query.timeout / _NANOSECONDS
        self._on_query(
            QueryEvent(query.ltime, query.id, query.name, query.payload or b"", query.source_node, deadline_s, respond)
        )
        return rebroadcast

    def fits(self, event: QueryEvent, payload: bytes) -> bool:
        """Whether a response with `payload` is within the size limit."""
        return len(self._response(event, payload)) <= self._config.query_response_size_limit_bytes

    def relay(self, message: Relay) -> None:
        """Forward a response to a member. Raises `WireError` if it is none, or the address is unknown."""
        if message.inner[0] != QueryResponseMessage.TYPE:
            self.relays_refused += 1
            raise WireError(f"a relay of a message of type {message.inner[0]}")
        destination = message.header.dest_addr
        address = (unpacked_address(destination.ip), destination.port)
        members = self._membership.members
        named = members.get(message.header.dest_name)
        known = (named,) if named is not None else members.values()
        if not any((member.address, member.port) == address for member in known):
            self.relays_refused += 1
            raise WireError(f"a relay to {address[0]}:{address[1]}, which is no member")
        second = int(self._clock.seconds())
        if second != self._relay_second:
            self._relay_second, self._relays_in_second = second, 0
        self._relays_in_second += 1
        if self._relays_in_second > self._config.relay_limit_per_s:
            self.relays_refused += 1
            return
        self._send(address, message.inner)

    def _respond(
        self, query: QueryMessage, address: Address, sent: list[bool], event: QueryEvent, payload: bytes
    ) -> None:
        if sent[0]:
            raise ValueError("response already sent")
        if self._clock.seconds() > event.deadline_s:
            raise ValueError("response is past the deadline")
        response = self._response(event, payload)
        limit = self._config.query_response_size_limit_bytes
        if len(response) > limit:
            raise ValueError(f"response exceeds limit of {limit} bytes")
        sent[0] = True
        self._answer(address, query, response)

    def _response(self, event: QueryEvent, payload: bytes) -> bytes:
        return QueryResponseMessage(event.ltime, event.id, self._local_name, 0, payload).encode()

    def _answer(self, address: Address, query: QueryMessage, message: bytes) -> None:
        """Send an ack or a response, directly and through as many relays as the query requests."""
        self._send(address, message)
        if not query.relay_factor or len(self._membership.members) < query.relay_factor + 1:
            return
        header = RelayHeader(UDPAddress(packed_address(address[0]), address[1]), query.source_node)
        relayed = Relay(header, message).encode()
        if len(relayed) > self._config.query_response_size_limit_bytes:
            return
        for member in self._relays(query.relay_factor):
            self._send((member.address, member.port), relayed)

    def _relays(self, count: int) -> list[Member]:
        able = [
            member
            for member in self._membership.with_status(Status.ALIVE)
            if member.protocol_max >= _RELAY_PROTOCOL and member.name != self._local_name
        ]
        return self._rng.sample(able, min(count, len(able)))
