"""The part of `Serf` that its parts (delegate, leave, periodic work, internal queries) are given."""

from collections.abc import Callable
from random import Random
from typing import Protocol

from consulpy.clock import Clock
from consulpy.memberlist.machine import Memberlist
from consulpy.memberlist.member import Address
from consulpy.metrics.registry import Measures
from consulpy.serf.broadcasts import Broadcasts
from consulpy.serf.config import SerfConfig
from consulpy.serf.coordinate import CoordinateClient
from consulpy.serf.lamport import LamportClock
from consulpy.serf.members import Member
from consulpy.serf.membership import Membership
from consulpy.serf.messages import JoinIntent, LeaveIntent
from consulpy.serf.pending_queries import PendingQueries
from consulpy.serf.query import PendingQuery, QueryParams, QueryResult
from consulpy.serf.query_responder import QueryResponder
from consulpy.serf.snapshot import Snapshot
from consulpy.serf.state import State
from consulpy.serf.user_events import UserEvents
from consulpy.structs.coordinate import Coord


class LocalSerf(Protocol):
    """The local Serf instance; `consulpy.serf.machine.Serf` documents each attribute and method."""

    clock: Clock
    config: SerfConfig
    metrics: Measures
    rng: Random
    log: Callable[[str, str], None]
    local_name: str
    tags: dict[str, str]
    state: State
    members: dict[str, Member]
    membership: Membership
    ltime: LamportClock
    user_events: UserEvents
    broadcasts: Broadcasts
    pending_queries: PendingQueries
    query_responder: QueryResponder
    coordinates: CoordinateClient | None
    snapshot: Snapshot | None
    memberlist: Memberlist

    @property
    def local_member(self) -> Member:
        """The local member."""

    @property
    def ignores_old_events(self) -> bool:
        """Whether a join in progress ignores past user events."""

    def has_alive_members(self) -> bool:
        """Whether any other member is alive."""

    def handle_leave_intent(self, intent: LeaveIntent) -> bool:
        """Apply a leave intent; whether to rebroadcast it. Raises `WireError`."""

    def handle_join_intent(self, intent: JoinIntent) -> bool:
        """Apply a join intent; whether to rebroadcast it. Raises `WireError`."""

    def handle_remote_left(self, name: str, ltime: int) -> None:
        """Apply that a push/pull partner lists `name` as left."""

    def name_conflict(self, existing: Member, other: Member) -> None:
        """Handle two members that claim one name."""

    def update_coordinate(self, name: str, coordinate: Coord, rtt_s: float) -> None:
        """Update the local coordinate by a round trip. Raises `WireError`."""

    def rejoin_member(self, name: str, address: Address, done: Callable[[bool], None]) -> None:
        """Push/pull with a former member; `done(success)`."""

    def query(
        self,
        name: str,
        payload: bytes,
        params: QueryParams | None = None,
        on_response: Callable[[str, bytes], None] | None = None,
        done: Callable[[QueryResult], None] | None = None,
        on_ack: Callable[[str], None] | None = None,
    ) -> PendingQuery:
        """Send a query to all members. Raises `ValueError`."""
