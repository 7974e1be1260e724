"""`Serf`: members with tags, user events and queries, on top of a memberlist that it owns.

Incoming messages: `memberlist.machine` -> `delegate` -> `Serf` (or `query_responder`, `pending_queries`) -> an event to
`on_event`. Outgoing: a method of `Serf` -> `broadcasts`, from which memberlist fills its packets. The rules of
membership are in `membership`, those of user events in `user_events`, those of queries in `query_responder` and
`pending_queries`; leaving is in `leave`, periodic tasks in `periodic`. Source: docs/wire/gossip.md
section 6; section 11 for the differences from real Serf.
"""

import dataclasses
from collections.abc import Callable, Sequence
from random import Random
from typing import TYPE_CHECKING

from consulpy.clock import Clock
from consulpy.errors import WireError
from consulpy.memberlist.config import MemberlistConfig
from consulpy.memberlist.delegate import Transport
from consulpy.memberlist.machine import Memberlist
from consulpy.memberlist.member import Address, JoinTarget
from consulpy.memberlist.member import State as NodeState
from consulpy.memberlist.timeline import LEFT_OR_REMOVED
from consulpy.metrics.registry import NOTHING, Measures
from consulpy.serf import internal_query, rejoin, stats
from consulpy.serf.broadcasts import Broadcasts
from consulpy.serf.coalesce import MemberCoalescer
from consulpy.serf.config import SerfConfig
from consulpy.serf.conflict import packed_address
from consulpy.serf.coordinate import CoordinateClient
from consulpy.serf.delegate import SerfDelegate
from consulpy.serf.events import (
    INTERNAL_PREFIX,
    Event,
    MemberEvent,
    MemberEventKind,
    QueryEvent,
)
from consulpy.serf.key_manager import KeyManager, SaveKeyring
from consulpy.serf.lamport import LamportClock
from consulpy.serf.leave import LeaveProcess
from consulpy.serf.members import Member, Status
from consulpy.serf.membership import Membership
from consulpy.serf.messages import JoinIntent, LeaveIntent, QueryResponseMessage, decode
from consulpy.serf.pending_queries import PendingQueries
from consulpy.serf.periodic import PeriodicTasks
from consulpy.serf.query import PendingQuery, QueryParams, QueryResult, default_timeout_s
from consulpy.serf.query_responder import QueryResponder
from consulpy.serf.snapshot import Snapshot, SnapshotStore
from consulpy.serf.state import State
from consulpy.serf.tags import encode_tags
from consulpy.serf.user_events import UserEvents
from consulpy.structs.coordinate import Coord

if TYPE_CHECKING:
    from consulpy.memberlist.timeline import TimelineEvent


class Serf:
    """The local member of one gossip pool.

    `on_event(event)`: called with each event, in order. `check_merge(members)`: called with the members of a join's
    push/pull, `check_alive(member)` with each alive member; both refuse by raising `MergeRefused`. `snapshot`: stores
    the members for a rejoin after a restart. `save_keyring(keys, done)`: stores all keys, the primary first, after a
    key operation. `on_shutdown(why)`: called if this Serf stops by itself (it lost its name).

    Raises `ConfigError` for tags that are too long.
    """

    def __init__(
        self,
        config: SerfConfig,
        memberlist: MemberlistConfig,
        clock: Clock,
        rng: Random,
        transport: Transport,
        on_event: Callable[[Event], None],
        *,
        check_merge: Callable[[list[Member]], None] | None = None,
        check_alive: Callable[[Member], None] | None = None,
        snapshot: SnapshotStore | None = None,
        save_keyring: SaveKeyring | None = None,
        on_shutdown: Callable[[str], None] | None = None,
        log: Callable[[str, str], None] | None = None,
        metrics: Measures = NOTHING,
    ) -> None:
        encode_tags(config.tags)
        self.metrics = metrics
        self.config = config
        self.clock = clock
        self.rng = rng
        self.log = log or (lambda _level, _text: None)
        self.tags = dict(config.tags)
        self.state = State.ALIVE
        self.local_name = memberlist.name
        self._memberlist_config = dataclasses.replace(memberlist, delegate_versions=(2, 5, config.protocol_version))
        self._on_event = on_event
        self._on_shutdown = on_shutdown
        self._save_keyring = save_keyring

        self.ltime = LamportClock()
        self.membership = Membership(self.local_name, config.recent_intent_timeout_s, self._member_event)
        self.members = self.membership.members
        self.snapshot = Snapshot(snapshot, config.rejoin_after_leave) if snapshot is not None else None
        self.rejoin = rejoin.Rejoin(self)
        self.coordinates = CoordinateClient(rng) if config.coordinates else None
        self._coordinate_cache: dict[str, Coord] = {}
        self._member_coalescer = (
            MemberCoalescer(clock, config.coalesce_period_s, config.quiescent_period_s, self._deliver)
            if config.coalesce_period_s
            else None
        )

        self.broadcasts = Broadcasts(
            config,
            memberlist.retransmit_mult,
            lambda: len(self.members),
            self.log,
            lambda: self.memberlist.outgoing.schedule_gossip(),
        )
        self.user_events = UserEvents(
            config, clock, self.broadcasts, self.snapshot, self._deliver, packet_bytes=memberlist.packet_bytes
        )
        self.pending_queries = PendingQueries(config, clock, rng)
        self.query_responder = QueryResponder(
            config, clock, rng, self.membership, self.local_name, self._send, self._query_event
        )
        self.keys = KeyManager(self.query, self._alive_nodes)
        delegate = SerfDelegate(self, check_merge, check_alive)
        self.memberlist: Memberlist = Memberlist(
            self._memberlist_config, clock, rng, transport, delegate, log=self.log, metrics=metrics
        )
        self._periodic_tasks = PeriodicTasks(self)
        self._leave_process: LeaveProcess | None = None
        self._leave_callbacks: list[Callable[[], None]] = []
        self._joins_ignoring_old_events = 0
        #: Our own name while `force_leave` runs, for the timeline.
        self._force_leaving = ""

    # -- state

    @property
    def local_member(self) -> Member:
        """The local member."""
        known = self.members.get(self.local_name)
        if known is not None:
            return known
        address, port = self._memberlist_config.advertise
        return Member(self.local_name, address, port, dict(self.tags))

    @property
    def ignores_old_events(self) -> bool:
        """Whether a join in progress ignores past user events."""
        return self._joins_ignoring_old_events > 0

    def has_alive_members(self) -> bool:
        """Whether any other member is alive to receive a broadcast."""
        ours = self.members.get(self.local_name)
        we_count = 1 if ours is not None and ours.status is Status.ALIVE else 0
        return self.membership.count(Status.ALIVE) > we_count

    def coordinate(self) -> Coord | None:
        """A copy of the local coordinate; None if coordinates are disabled."""
        return None if self.coordinates is None else self.coordinates.coordinate

    def cached_coordinate(self, name: str) -> Coord | None:
        """The coordinate of `name`'s last ack, or the local one; None if unknown."""
        return self.coordinate() if name == self.local_name else self._coordinate_cache.get(name)

    def stats(self) -> dict[str, str]:
        """Statistics as shown by `consul info`."""
        return stats.of(self)

    def timeline(self, name: str) -> "list[TimelineEvent]":
        """Memberlist's timeline of member `name`."""
        return self.memberlist.timeline.of(name)

    # -- lifecycle

    def start(self) -> None:
        """Start, and rejoin the snapshot's members. Raises `ConfigError` if the snapshot can't be read or written."""
        replayed = rejoin.load_snapshot(self)
        self.memberlist.start()
        self._periodic_tasks.start()
        previous = [(name, address) for name, address in replayed.alive.items() if name != self.local_name]
        if previous:
            self.rng.shuffle(previous)
            self.rejoin.start(previous)

    def rejoin_member(self, name: str, address: Address, done: Callable[[bool], None]) -> None:
        """Push/pull with a former member, without a join intent; `done(success)`."""
        self.memberlist.join([JoinTarget(address, name)], lambda joined, _errors: done(joined > 0))

    def join(self, targets: Sequence[JoinTarget], ignore_old: bool, done: Callable[[int, list[str]], None]) -> None:
        """Join through each of `targets`; `done(joined, errors)`. `ignore_old`: ignore past user events."""
        if self.state is not State.ALIVE:
            done(0, [f"Serf can't Join after Leave or Shutdown (it is {self.state.value})"])
            return
        self._joins_ignoring_old_events += ignore_old

        def joined(count: int, errors: list[str]) -> None:
            self._joins_ignoring_old_events -= ignore_old
            if count > 0 and self.state is State.ALIVE:
                self._broadcast_join(self.ltime.time())
            done(count, errors)

        self.memberlist.join(targets, joined)

    def leave(self, done: Callable[[], None]) -> None:
        """Leave gracefully; `done` when the leave had time to propagate. Messages are still handled
        until `shutdown`.
        """
        if self.state in (State.LEFT, State.SHUTDOWN):
            done()
            return
        self._leave_callbacks.append(done)
        if self.state is State.LEAVING:
            return
        self.state = State.LEAVING
        if self.snapshot is not None:
            self.snapshot.leave()
        self._leave_process = LeaveProcess(self, self._has_left)
        self._leave_process.start()

    def _has_left(self) -> None:
        self.state = State.LEFT if self.state is State.LEAVING else self.state
        waiting, self._leave_callbacks = self._leave_callbacks, []
        for done in waiting:
            done()

    def shutdown(self) -> None:
        """Stop at once without notifying other members."""
        if self.state is State.SHUTDOWN:
            return
        if self.state is State.ALIVE:
            self.log("info", "shutting down without a leave")
        self.state = State.SHUTDOWN
        if self._leave_process is not None:
            self._leave_process.stop()
        self._periodic_tasks.stop()
        self.pending_queries.close()
        self.memberlist.shutdown()
        if self._member_coalescer is not None:
            self._member_coalescer.close()
        self.user_events.close()
        if self.snapshot is not None:
            self.snapshot.close()
        self._has_left()

    def set_tags(self, tags: dict[str, str]) -> None:
        """Change the local member's tags. Raises `ConfigError` if they are longer than 512 bytes."""
        encode_tags(tags)
        self.tags = dict(tags)
        self.memberlist.update_meta()

    # -- intents

    def force_leave(self, name: str, prune: bool = False) -> None:
        """Turn a failed member into a left one on all members; `prune`: erase it too. A live member refutes."""
        intent = LeaveIntent(self.ltime.time(), name, prune)
        self.ltime.increment()
        self._force_leaving = self.local_name
        try:
            self.handle_leave_intent(intent)
        finally:
            self._force_leaving = ""
        if self.has_alive_members():
            self.broadcasts.intent(intent.encode())

    def handle_leave_intent(self, intent: LeaveIntent) -> bool:
        """Apply a leave intent; whether to rebroadcast it. Raises `WireError` for an implausible Lamport time."""
        self._witness_intent(intent)
        failed = self._is_failed(intent.node)
        outcome = self.membership.handle_leave_intent(
            intent, we_stay=self.state is State.ALIVE, now_s=self.clock.seconds()
        )
        if failed and outcome.rebroadcast:
            self._record_forced_leave(intent.node)
        if outcome.refute:
            self._broadcast_join(self.ltime.time())
        return outcome.rebroadcast

    def handle_join_intent(self, intent: JoinIntent) -> bool:
        """Apply a join intent; whether to rebroadcast it. Raises `WireError` for an implausible Lamport time."""
        self._witness_intent(intent)
        return self.membership.handle_join_intent(intent, self.clock.seconds()).rebroadcast

    def _witness_intent(self, intent: LeaveIntent | JoinIntent) -> None:
        """Witness the intent's time. An implausible one is refused: no later intent of that member would be newer."""
        if self.ltime.is_far_ahead(intent.ltime):
            self.metrics.incr("serf.intent.refused")
            raise WireError(
                f"an intent of {intent.node!r} at {intent.ltime}, while our clock is at {self.ltime.time()}"
            )
        if self.ltime.witness(intent.ltime):
            self.membership.reset_status_ltimes()

    def handle_remote_left(self, name: str, ltime: int) -> None:
        """Apply that a push/pull partner lists `name` as left."""
        if self.ltime.is_far_ahead(ltime):
            ltime = self.ltime.time()
        failed = self._is_failed(name)
        member = self.members.get(name)
        was_alive = member is not None and member.status is Status.ALIVE
        outcome = self.membership.handle_remote_left(
            name, ltime, we_stay=self.state is State.ALIVE, now_s=self.clock.seconds()
        )
        if member is not None and was_alive and outcome.rebroadcast:  # unless it has left it hears of it, and refutes
            self.broadcasts.intent(LeaveIntent(member.status_ltime, name).encode())
        if failed and outcome.rebroadcast:
            self._record_forced_leave(name, LEFT_OR_REMOVED)
        if outcome.rebroadcast or outcome.refute:
            self.ltime.witness(ltime + 1)
        if outcome.refute:
            self._broadcast_join(self.ltime.time())

    def _is_failed(self, name: str) -> bool:
        member = self.members.get(name)
        return member is not None and member.status is Status.FAILED

    def _record_forced_leave(self, name: str, detail: str = "") -> None:
        """Record that a failed member became left: by an operator, unless its own leave message came late.

        A push/pull partner does not say which (`detail`).
        """
        timeline = self.memberlist.timeline
        gone = [event for event in timeline.of(name) if event.what in ("left", "dead")]
        if not gone or gone[-1].what == "dead":
            timeline.add(name, "force-left", gone[-1].incarnation if gone else 0, self._force_leaving, detail)

    def _broadcast_join(self, ltime: int) -> None:
        intent = JoinIntent(ltime, self.local_name)
        self.handle_join_intent(intent)
        self.broadcasts.intent(intent.encode())

    def user_event(self, name: str, payload: bytes, coalesce: bool) -> None:
        """Broadcast a user event; the local member handles it too. Raises `ValueError` if it is too large."""
        self.user_events.fire(name, payload, coalesce)

    # -- queries

    def query(
        self,
        name: str,
        payload: bytes,
        params: QueryParams | None = None,
        on_response: Callable[[str, bytes], None] | None = None,
        done: Callable[[QueryResult], None] | None = None,
        on_ack: Callable[[str], None] | None = None,
    ) -> PendingQuery:
        """Query all members that pass the filters; the local member handles the query before this returns.

        `on_response(member, payload)` and `on_ack(member)` are called as they arrive, `done` at the timeout or after
        `PendingQuery.finish()`. Raises `ValueError` if the query is too large.
        """
        params = params or QueryParams()
        timeout_s = params.timeout_s or self.default_query_timeout_s()
        ours = self.local_member
        address = (packed_address(ours.address), ours.port)
        ltime = self.query_responder.ltime.time()
        message = self.pending_queries.prepare(ltime, address, self.local_name, name, payload, params, timeout_s)
        pending = self.pending_queries.add(message, max(1, len(self.members)), on_response, on_ack, done)
        self.query_responder.receive(message)
        self.broadcasts.query(message.encode())
        return pending

    def default_query_timeout_s(self) -> float:
        """The default timeout of a query in seconds."""
        interval_s = self._memberlist_config.gossip_interval_s
        return default_timeout_s(interval_s, self.config.query_timeout_mult, max(1, self._alive_nodes()))

    def _query_event(self, event: QueryEvent) -> None:
        if self.snapshot is not None and event.ltime < self.query_responder.ltime.time():  # it was no absurd one
            self.snapshot.query(event.ltime)
        if event.name.startswith(INTERNAL_PREFIX):
            internal_query.answer(self, event, self._save_keyring)
        else:
            self._deliver(event)

    def _send(self, address: Address, message: bytes) -> None:
        """Send a Serf message directly, in a packet of its own; one to the local member is handled at once."""
        ours = self.local_member
        if address == (ours.address, ours.port):
            self._receive_own(message)
        else:
            self.memberlist.outgoing.send_user(address, message)

    def _receive_own(self, message: bytes) -> None:
        decoded = decode(message)
        if isinstance(decoded, QueryResponseMessage):
            self.pending_queries.receive(decoded)

    # -- name conflicts and coordinates

    def name_conflict(self, existing: Member, other: Member) -> None:
        """A member at another address claims the name of a known member."""
        both = f"{existing.address}:{existing.port} and {other.address}:{other.port}"
        self.log("error", f"name conflict for '{existing.name}': both {both} are claiming it")
        node_id = existing.tags.get("id", "")
        if not node_id or node_id != other.tags.get("id", ""):  # else it is the same agent at another address
            text = f"two agents use the name {existing.name}: {both}"
            where = f"{other.address}:{other.port}"
            self.memberlist.evidence.refuse("name-conflict", existing.name, text, both.partition(" ")[0], where)
        if existing.name == self.local_name and self.config.resolve_name_conflicts and self.state is State.ALIVE:
            internal_query.resolve_name_conflict(self, self._name_lost)

    def _name_lost(self, why: str) -> None:
        if self.state is State.ALIVE:
            self.shutdown()
            if self._on_shutdown is not None:
                self._on_shutdown(why)

    def update_coordinate(self, name: str, coordinate: Coord, rtt_s: float) -> None:
        """Update the local coordinate by the round trip time of a direct ping. Raises `WireError` if it is invalid."""
        if self.coordinates is not None:
            self.coordinates.update(name, coordinate, rtt_s)
            self._coordinate_cache[name] = coordinate

    # -- event delivery

    def _member_event(self, event: MemberEvent) -> None:
        if event.kind is MemberEventKind.REAP:
            for member in event.members:
                self._coordinate_cache.pop(member.name, None)
                if self.coordinates is not None:
                    self.coordinates.forget(member.name)
        if self.snapshot is not None:
            self.snapshot.member_event(event, self.ltime.time())
        if self._member_coalescer is not None:
            self._member_coalescer.add(event)
        else:
            self._deliver(event)

    def _deliver(self, event: Event) -> None:
        try:
            self._on_event(event)
        except Exception as error:  # a handler's bug must not break the protocol
            self.log("error", f"handling {type(event).__name__}: {type(error).__name__}: {error}")

    def _alive_nodes(self) -> int:
        """Number of members expected to respond: alive or suspect."""
        return sum(
            node.state in (NodeState.ALIVE, NodeState.SUSPECT) for node in self.memberlist.members.by_name.values()
        )
