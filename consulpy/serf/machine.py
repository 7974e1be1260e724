"""`Serf`: members with tags, user events and queries, on top of a memberlist that it owns.

The way of a message in: `memberlist.machine` -> `delegate` -> here (or `answering`, `asking`) -> an event to
`on_event`. The way out: a method here -> `broadcasts`, from which memberlist takes what fits into its packets.
The rules of membership are in `roster`, those of queries in `answering` and `asking`, leaving in `leaving`, periodic
work in `reaper`. Source: docs/wire/gossip.md section 6; section 11 for where real Serf is improved on.
"""

import dataclasses
from collections.abc import Callable, Sequence
from enum import Enum
from random import Random
from typing import TYPE_CHECKING

from consulpy.clock import Clock
from consulpy.errors import WireError
from consulpy.memberlist.config import MemberlistConfig
from consulpy.memberlist.delegate import Transport
from consulpy.memberlist.machine import Memberlist
from consulpy.memberlist.member import Address, JoinTarget
from consulpy.memberlist.member import State as NodeState
from consulpy.metrics.registry import NOTHING, Measures
from consulpy.serf import internal_query
from consulpy.serf.broadcasts import EVENTS, INTENTS, QUERIES, Broadcasts
from consulpy.serf.coalesce import MemberCoalescer, UserCoalescer
from consulpy.serf.config import USER_EVENT_SIZE_MAX_BYTES, SerfConfig
from consulpy.serf.conflict import packed_address
from consulpy.serf.coordinate import CoordinateClient
from consulpy.serf.delegate import SerfDelegate
from consulpy.serf.events import (
    INTERNAL_PREFIX,
    Event,
    MemberEvent,
    MemberEventKind,
    QueryEvent,
    RecentBuffer,
    UserEvent,
)
from consulpy.serf.key_manager import KeyManager, SaveKeyring
from consulpy.serf.lamport import LamportClock
from consulpy.serf.leave import Leaving
from consulpy.serf.members import Member, Status
from consulpy.serf.membership import Roster
from consulpy.serf.messages import JoinIntent, LeaveIntent, QueryResponseMessage, UserEventMessage, decode
from consulpy.serf.pending_queries import Asking
from consulpy.serf.periodic import Reaper
from consulpy.serf.query import PendingQuery, QueryParams, QueryResult, default_timeout_s
from consulpy.serf.query_responder import Answering
from consulpy.serf.snapshot import Replayed, Snapshot, SnapshotStore
from consulpy.serf.tags import encode_tags
from consulpy.structs.coordinate import Coord

if TYPE_CHECKING:
    from consulpy.memberlist.timeline import TimelineEvent

#: What a packet spends on framing and encryption before a user event: compound, encryption, type byte and length.
_PACKET_OVERHEAD_BYTES = 2 + 29 + 3


class State(Enum):
    """Where in its life a Serf is."""

    ALIVE = "alive"
    LEAVING = "leaving"
    LEFT = "left"
    SHUTDOWN = "shutdown"


class Serf:
    """One member of one gossip pool.

    `on_event` gets every event, one after the other. `check_merge` sees all members of a join's push/pull,
    `check_alive` each alive member; both refuse by raising `MergeRefused`. `snapshot`: where to keep the members for
    a rejoin after a restart. `save_keyring(keys, done)` stores all keys, primary first, after a key operation.
    `on_shutdown(why)` is called if this Serf stops by itself (it lost its name).

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
        self.log = log or _silent
        self.tags = dict(config.tags)
        self.state = State.ALIVE
        self.local_name = memberlist.name
        self._memberlist_config = dataclasses.replace(memberlist, delegate_versions=(2, 5, config.protocol_version))
        self._on_event = on_event
        self._on_shutdown = on_shutdown
        self._save_keyring = save_keyring

        self.ltime = LamportClock()
        self.event_ltime = LamportClock()
        self.recent_events: RecentBuffer[tuple[str, bytes | None]] = RecentBuffer(config.event_buffer_size)
        self.roster = Roster(self.local_name, config.recent_intent_timeout_s, self._member_event)
        self.members = self.roster.members
        self.snapshot = Snapshot(snapshot, config.rejoin_after_leave) if snapshot is not None else None
        self.coordinates = CoordinateClient(rng) if config.coordinates else None
        self._coordinate_cache: dict[str, Coord] = {}
        self._coalesce(config)

        self.broadcasts = Broadcasts(
            config,
            memberlist.retransmit_mult,
            lambda: len(self.members),
            self.log,
            lambda: self.memberlist.schedule_gossip(),
        )
        self.asking = Asking(config, clock, rng)
        self.answering = Answering(config, clock, rng, self.roster, self.local_name, self._send, self._query_event)
        self.keys = KeyManager(self.query, self._alive_nodes)
        delegate = SerfDelegate(self, check_merge, check_alive)
        self.memberlist: Memberlist = Memberlist(
            self._memberlist_config, clock, rng, transport, delegate, log=self.log, metrics=metrics
        )
        self._reaper = Reaper(self)
        self._leaving: Leaving | None = None
        self._left: list[Callable[[], None]] = []
        self._joins_ignoring_old = 0

    def _coalesce(self, config: SerfConfig) -> None:
        self._members_told: MemberCoalescer | None = None
        self._users_told: UserCoalescer | None = None
        if config.coalesce_period_s:
            self._members_told = MemberCoalescer(
                self.clock, config.coalesce_period_s, config.quiescent_period_s, self._deliver
            )
        if config.user_coalesce_period_s:
            self._users_told = UserCoalescer(
                self.clock, config.user_coalesce_period_s, config.user_quiescent_period_s, self._deliver
            )

    # -- what there is to see

    @property
    def local_member(self) -> Member:
        """Ourselves."""
        known = self.members.get(self.local_name)
        if known is not None:
            return known
        address, port = self._memberlist_config.advertise
        return Member(self.local_name, address, port, dict(self.tags))

    @property
    def ignores_old_events(self) -> bool:
        """Whether a join of ours is going on that wants no user events of the past."""
        return self._joins_ignoring_old > 0

    def others_are_alive(self) -> bool:
        """Whether anybody would hear a broadcast."""
        ours = self.members.get(self.local_name)
        we_count = 1 if ours is not None and ours.status is Status.ALIVE else 0
        return self.roster.count(Status.ALIVE) > we_count

    def coordinate(self) -> Coord | None:
        """Where we are (a copy); None if coordinates are off."""
        return None if self.coordinates is None else self.coordinates.coordinate

    def cached_coordinate(self, name: str) -> Coord | None:
        """The coordinate that came with `name`'s last ack, or our own; None if unknown."""
        return self.coordinate() if name == self.local_name else self._coordinate_cache.get(name)

    def stats(self) -> dict[str, str]:
        """What `consul info` shows under serf_lan."""
        stats = {
            "members": len(self.members),
            "failed": self.roster.count(Status.FAILED),
            "left": self.roster.count(Status.LEFT),
            "health_score": self.memberlist.health_score,
            "member_time": self.ltime.time(),
            "event_time": self.event_ltime.time(),
            "query_time": self.answering.ltime.time(),
            "intent_queue": self.broadcasts.depth(INTENTS),
            "event_queue": self.broadcasts.depth(EVENTS),
            "query_queue": self.broadcasts.depth(QUERIES),
        }
        shown = {name: str(value) for name, value in stats.items()}
        shown["encrypted"] = "true" if self.memberlist.keyring is not None else "false"
        if self.coordinates is not None:
            shown["coordinate_resets"] = str(self.coordinates.resets)
        return dict(sorted(shown.items()))

    def timeline(self, name: str) -> "list[TimelineEvent]":
        """What memberlist remembers of `name`."""
        return self.memberlist.timeline.of(name)

    # -- a life

    def start(self) -> None:
        """Become a member, and look for the snapshot's members. Raises `ConfigError` if the snapshot's folder fails."""
        replayed = self._load_snapshot()
        self.memberlist.start()
        self._reaper.start()
        previous = [(name, address) for name, address in replayed.alive.items() if name != self.local_name]
        if previous:
            self.rng.shuffle(previous)
            self._rejoin(previous)

    def _load_snapshot(self) -> Replayed:
        if self.snapshot is None:
            return Replayed()
        replayed = self.snapshot.load()
        for line in replayed.ignored[:10]:
            self.log("warn", f"snapshot: unrecognized line {line!r}")
        for name in replayed.forgotten:
            self.log(
                "warn", f"snapshot: {name} shows a time that no cluster reaches; the others' times are taken instead"
            )
        self.ltime.witness(replayed.clock)
        self.event_ltime.witness(replayed.event_clock)
        self.answering.ltime.witness(replayed.query_clock)
        self.recent_events.min_time = replayed.event_clock + 1 if replayed.event_clock else 0
        self.answering.recent.min_time = replayed.query_clock + 1 if replayed.query_clock else 0
        return replayed

    def _rejoin(self, previous: list[tuple[str, Address]]) -> None:
        """Try the members of the snapshot, one after the other, until one answers."""
        if not previous:
            self.log("warn", "failed to re-join any previously known node")
            return
        if self.state is not State.ALIVE:
            return
        (name, address), rest = previous[0], previous[1:]

        def tried(joined: bool) -> None:
            if joined:
                self.log("info", f"re-joined to previously known node: {name}")
            else:
                self._rejoin(rest)

        self.log("info", f"attempting re-join to previously known node: {name}: {address[0]}:{address[1]}")
        self.try_member(name, address, tried)

    def try_member(self, name: str, address: Address, done: Callable[[bool], None]) -> None:
        """A push/pull with a member that was here before, without an intent; whether it worked."""
        self.memberlist.join([JoinTarget(address, name)], lambda joined, _errors: done(joined > 0))

    def join(self, targets: Sequence[JoinTarget], ignore_old: bool, done: Callable[[int, list[str]], None]) -> None:
        """Join through each of `targets`; `done(joined, errors)`. `ignore_old`: no user events of the past."""
        if self.state is not State.ALIVE:
            done(0, [f"Serf can't Join after Leave or Shutdown (it is {self.state.value})"])
            return
        self._joins_ignoring_old += ignore_old

        def joined(count: int, errors: list[str]) -> None:
            self._joins_ignoring_old -= ignore_old
            if count > 0 and self.state is State.ALIVE:
                self._broadcast_join(self.ltime.time())
            done(count, errors)

        self.memberlist.join(targets, joined)

    def leave(self, done: Callable[[], None]) -> None:
        """Leave gracefully; `done` once everybody had time to hear of it (we still answer until `shutdown`)."""
        if self.state in (State.LEFT, State.SHUTDOWN):
            done()
            return
        self._left.append(done)
        if self.state is State.LEAVING:
            return
        self.state = State.LEAVING
        if self.snapshot is not None:
            self.snapshot.leave()
        self._leaving = Leaving(self, self._has_left)
        self._leaving.start()

    def _has_left(self) -> None:
        self.state = State.LEFT if self.state is State.LEAVING else self.state
        waiting, self._left = self._left, []
        for done in waiting:
            done()

    def shutdown(self) -> None:
        """Stop at once, telling nobody."""
        if self.state is State.SHUTDOWN:
            return
        if self.state is State.ALIVE:
            self.log("info", "shutting down without a leave")
        self.state = State.SHUTDOWN
        if self._leaving is not None:
            self._leaving.stop()
        self._reaper.stop()
        self.asking.close()
        self.memberlist.shutdown()
        for told in (self._members_told, self._users_told):
            if told is not None:
                told.close()
        if self.snapshot is not None:
            self.snapshot.close()
        self._has_left()

    def set_tags(self, tags: dict[str, str]) -> None:
        """Change what we tell of ourselves. Raises `ConfigError` if it is more than 512 bytes."""
        encode_tags(tags)
        self.tags = dict(tags)
        self.memberlist.update_meta()

    # -- intents

    def force_leave(self, name: str, prune: bool = False) -> None:
        """Make a failed member a left one everywhere; `prune`: and forget it. A member that is alive contradicts."""
        intent = LeaveIntent(self.ltime.time(), name, prune)
        self.ltime.increment()
        self.take_leave_intent(intent)
        if self.others_are_alive():
            self.broadcasts.intent(intent.encode())

    def take_leave_intent(self, intent: LeaveIntent) -> bool:
        """Somebody means to leave, or is declared gone; whether to pass it on. `WireError`: the time is absurd."""
        self._witness_intent(intent)
        outcome = self.roster.leave_intent(intent, we_stay=self.state is State.ALIVE, now_s=self.clock.seconds())
        if outcome.refute:
            self._broadcast_join(self.ltime.time())
        return outcome.rebroadcast

    def take_join_intent(self, intent: JoinIntent) -> bool:
        """Somebody is here; whether to pass it on. Raises `WireError` for an absurd time."""
        self._witness_intent(intent)
        return self.roster.join_intent(intent, self.clock.seconds()).rebroadcast

    def _witness_intent(self, intent: LeaveIntent | JoinIntent) -> None:
        """See its time. An absurd one is refused: nothing that the member says later would ever be newer."""
        if self.ltime.is_far_ahead(intent.ltime):
            self.metrics.incr("serf.intent.refused")
            raise WireError(
                f"an intent of {intent.node!r} at {intent.ltime}, while our clock is at {self.ltime.time()}"
            )
        if self.ltime.witness(intent.ltime):
            self.roster.forget_times()

    def take_left_elsewhere(self, name: str, ltime: int) -> None:
        """A push/pull partner lists a member as left."""
        if self.ltime.is_far_ahead(ltime):
            ltime = self.ltime.time()
        outcome = self.roster.left_elsewhere(name, ltime, we_stay=self.state is State.ALIVE, now_s=self.clock.seconds())
        if outcome.rebroadcast or outcome.refute:
            self.ltime.witness(ltime + 1)
        if outcome.refute:
            self._broadcast_join(self.ltime.time())

    def _broadcast_join(self, ltime: int) -> None:
        intent = JoinIntent(ltime, self.local_name)
        self.take_join_intent(intent)
        self.broadcasts.intent(intent.encode())

    # -- user events

    def user_event(self, name: str, payload: bytes, coalesce: bool) -> None:
        """Tell everybody, ourselves included. Raises `ValueError` if it is too large."""
        limit = self.config.user_event_size_limit_bytes
        size = len(name.encode("utf-8", "surrogateescape")) + len(payload)
        if size > limit:
            raise ValueError(f"user event exceeds configured limit of {limit} bytes before encoding")
        if size > USER_EVENT_SIZE_MAX_BYTES:
            raise ValueError(f"user event exceeds sane limit of {USER_EVENT_SIZE_MAX_BYTES} bytes before encoding")
        message = UserEventMessage(self.event_ltime.time(), name, payload or None, coalesce)
        encoded = message.encode()
        if len(encoded) > limit:
            raise ValueError(f"user event exceeds configured limit of {limit} bytes after encoding")
        packet = self._memberlist_config.packet_bytes - _PACKET_OVERHEAD_BYTES
        if len(encoded) > packet:  # nobody would ever hear of it
            raise ValueError(f"user event does not fit into a packet: {len(encoded)} of {packet} bytes")
        self.event_ltime.increment()
        self.take_user_event(message)
        self.broadcasts.event(encoded)

    def take_user_event(self, event: UserEventMessage) -> bool:
        """A user event arrived; whether it is news, and to be passed on."""
        identity = (event.name, event.payload or None)
        if not self.recent_events.accept_from(self.event_ltime, event.ltime, identity):
            return False
        if self.snapshot is not None:
            self.snapshot.user_event(event.ltime)
        told = UserEvent(event.ltime, event.name, event.payload or b"", event.cc)
        if self._users_told is not None:
            self._users_told.add(told)
        else:
            self._deliver(told)
        return True

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
        """Ask all members that pass the filters; ourselves too, before this returns.

        `on_response(member, payload)` and `on_ack(member)` come as they arrive, `done` when the time is over or after
        `PendingQuery.finish()`. Raises `ValueError` if the query is too large.
        """
        params = params or QueryParams()
        timeout_s = params.timeout_s or self.default_query_timeout_s()
        ours = self.local_member
        address = (packed_address(ours.address), ours.port)
        ltime = self.answering.ltime.time()
        message = self.asking.prepare(ltime, address, self.local_name, name, payload, params, timeout_s)
        pending = self.asking.expect(message, max(1, len(self.members)), on_response, on_ack, done)
        self.answering.receive(message)
        self.broadcasts.query(message.encode())
        return pending

    def default_query_timeout_s(self) -> float:
        """How long a query waits if nothing else is asked for."""
        interval_s = self._memberlist_config.gossip_interval_s
        return default_timeout_s(interval_s, self.config.query_timeout_mult, max(1, self._alive_nodes()))

    def _query_event(self, event: QueryEvent) -> None:
        if self.snapshot is not None:
            self.snapshot.query(event.ltime)
        if event.name.startswith(INTERNAL_PREFIX):
            internal_query.answer(self, event, self._save_keyring)
        else:
            self._deliver(event)

    def _send(self, address: Address, message: bytes) -> None:
        """A Serf message in a packet of its own; one to ourselves takes the short way."""
        ours = self.local_member
        if address == (ours.address, ours.port):
            self._receive_own(message)
        else:
            self.memberlist.send_user(address, message)

    def _receive_own(self, message: bytes) -> None:
        decoded = decode(message)
        if isinstance(decoded, QueryResponseMessage):
            self.asking.receive(decoded)

    # -- names and coordinates

    def name_conflict(self, existing: Member, other: Member) -> None:
        """Somebody at another address claims a name that we know."""
        both = f"{existing.address}:{existing.port} and {other.address}:{other.port}"
        self.log("error", f"name conflict for '{existing.name}': both {both} are claiming it")
        if existing.name == self.local_name and self.config.resolve_name_conflicts and self.state is State.ALIVE:
            internal_query.contest_name(self, self._name_lost)

    def _name_lost(self, why: str) -> None:
        if self.state is State.ALIVE:
            self.shutdown()
            if self._on_shutdown is not None:
                self._on_shutdown(why)

    def measured(self, name: str, coordinate: Coord, rtt_s: float) -> None:
        """A direct ping was answered. Raises `WireError` if it cannot be reckoned with."""
        if self.coordinates is not None:
            self.coordinates.update(name, coordinate, rtt_s)
            self._coordinate_cache[name] = coordinate

    # -- telling

    def _member_event(self, event: MemberEvent) -> None:
        if event.kind is MemberEventKind.REAP:
            for member in event.members:
                self._coordinate_cache.pop(member.name, None)
                if self.coordinates is not None:
                    self.coordinates.forget(member.name)
        if self.snapshot is not None:
            self.snapshot.member_event(event, self.ltime.time())
        if self._members_told is not None:
            self._members_told.add(event)
        else:
            self._deliver(event)

    def _deliver(self, event: Event) -> None:
        try:
            self._on_event(event)
        except Exception as error:  # whoever listens must not break the protocol
            self.log("error", f"handling {type(event).__name__}: {type(error).__name__}: {error}")

    def _alive_nodes(self) -> int:
        """Members that should answer."""
        return sum(
            node.state in (NodeState.ALIVE, NodeState.SUSPECT) for node in self.memberlist.members.by_name.values()
        )


def _silent(_level: str, _text: str) -> None:
    pass
