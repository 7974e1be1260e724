"""The leader: establishes leadership, reconciles the catalog with the gossip pool, and writes coordinates.

Order of its first log entries (docs/wire/rpc.md 13): in a new log the configuration, then always noop, event
`consul:new-leader`, barrier, autopilot configuration if there is none, own registration, federation state if there is
none. Only then is the leader `ready`; until then calls are answered with `No cluster leader`.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from consulpy.clock import Clock, Timer, cancel_timer
from consulpy.gocompat.time import go_time
from consulpy.leader import reconcile as rules
from consulpy.leader.coordinates import CoordinateBatches
from consulpy.leader.lock_delays import LockDelays
from consulpy.leader.session_ttl import SessionTimers
from consulpy.leader.tombstone_gc import TombstoneReaper
from consulpy.metrics.registry import NOTHING, Measures
from consulpy.serf.events import Event, MemberEvent, MemberEventKind
from consulpy.serf.members import Member, Status
from consulpy.state.commands import Autopilot, Barrier, Command, ConfigEntry, Configuration, FederationState, Noop
from consulpy.state.config_entry import UPSERT
from consulpy.state.log import Log
from consulpy.structs.config_entry import Entry
from consulpy.structs.config_entry_requests import EntryRequest
from consulpy.structs.operator import (
    FEDERATION_UPSERT,
    AutopilotConfig,
    AutopilotSetRequest,
    FederationStateRequest,
)
from consulpy.structs.operator import FederationState as State
from consulpy.structs.requests import CoordinateUpdateRequest

if TYPE_CHECKING:
    from consulpy.leader.acl import AclTasks
    from consulpy.leader.connect import ConnectTasks
    from consulpy.leader.mesh_replication import MeshReplication

#: Seconds between two full reconciliations of all members.
SWEEP_S: Final = 60.0
#: Seconds after an agent's start in which it may not have found its members again; the same while it still tries to.
REJOIN_LEAST_S: Final = 10.0
REJOIN_MOST_S: Final = 60.0
#: Seconds between two checks whether it has.
REJOIN_LOOK_S: Final = 0.5
NEW_LEADER_EVENT: Final = "consul:new-leader"


class Pool(Protocol):
    """The part of the LAN `Serf` that the leader uses."""

    members: dict[str, Member]

    def user_event(self, name: str, payload: bytes, coalesce: bool) -> None:
        """Send a user event to all members."""


class Leader:
    """The leader's tasks in one term.

    `autopilot`: the first autopilot configuration of the datacenter. `bootstrap_entries`: config entries written if
    none of their kind and name exists. `on_ready()`: called once, when the leader can answer calls; `log(level,
    text)`; `wall_s()`: seconds since 1970 (by default the clock's). `alone`: whether no other server can be part of
    the quorum. `delays`: lock delays from before this term. `acl(write)`: creates the ACL tasks, None if ACLs are
    disabled. `connect`: the tasks of Connect, None if it is off. `replication`: of config entries and intentions,
    None in the primary datacenter. `has_rejoined()`: whether the pool has all members again that this agent knew
    before it was restarted; until then no node is removed for want of one, as its services and locks would go with it.
    """

    def __init__(
        self,
        datacenter: str,
        node_name: str,
        state_log: Log,
        pool: Pool,
        clock: Clock,
        *,
        on_ready: Callable[[], None] = lambda: None,
        log: Callable[[str, str], None] = lambda _level, _text: None,
        wall_s: Callable[[], float] | None = None,
        autopilot: AutopilotConfig | None = None,
        bootstrap_entries: Sequence[Entry] = (),
        alone: bool = True,
        delays: LockDelays | None = None,
        acl: "Callable[[Callable[[Command], None]], AclTasks] | None" = None,
        connect: "ConnectTasks | None" = None,
        replication: "MeshReplication | None" = None,
        metrics: Measures = NOTHING,
        has_rejoined: Callable[[], bool] = lambda: True,
    ) -> None:
        self._metrics = metrics
        self._has_rejoined = has_rejoined
        #: When the reconciliation of all members began whose writes are being stored.
        self._sweep_began_s: float | None = None
        self._autopilot = autopilot or AutopilotConfig()
        self._bootstrap_entries = bootstrap_entries
        self._wall_s = wall_s or clock.seconds
        self._alone = alone
        self._who = rules.Leader(datacenter, node_name)
        self._log = state_log
        self._pool = pool
        self._clock = clock
        self._on_ready = on_ready
        self._say = log
        self._timer: Timer | None = None
        self._running = False
        #: Names whose change is being stored, and the member's newest state if it changed meanwhile.
        self._writing: dict[str, tuple[Member | None] | None] = {}
        self._other_servers: set[str] = set()
        self.ready = False
        self.coordinates = CoordinateBatches(clock, self._write)
        self.sessions = SessionTimers(datacenter, state_log.store, clock, self._write, delays)
        self._acl = acl(self._write) if acl is not None else None
        self._connect = connect
        self._replication = replication
        self._tombstones = TombstoneReaper(datacenter, state_log.store, clock, self._write)

    def start(self) -> None:
        """Start the term."""
        self._running = True
        store = self._log.store
        steps: list[Command] = []
        if store.index == 0:
            steps.append(Configuration())
        steps.append(Noop())
        for step in steps:
            self._write(step)
        try:
            self._pool.user_event(NEW_LEADER_EVENT, self._who.node_name.encode(), False)
        except ValueError as error:
            self._say("warn", f"agents could not be told of their new leader: {error}")
        self._barrier(self._established)

    def restored(self) -> None:
        """The whole state was replaced: write again what a leader needs in it.

        Nodes that are not members are removed by the next full reconciliation, as in Consul: their sessions and locks
        are restored with the state, and can be read until then.
        """
        if not (self._running and self.ready):
            return
        self.sessions.start()
        for command in self._writes_before_connect():
            self._write(command)

        def connect_done() -> None:
            if self._running and self.ready:
                for command in self._writes_after_connect():
                    self._write(command)

        self._set_up_connect(connect_done)

    def _barrier(self, done: Callable[[Any], None]) -> None:
        began_s = self._clock.seconds()

        def passed(result: Any) -> None:
            self._measure("leader.barrier", began_s)
            done(result)

        self._log.submit(Barrier(), passed)

    def _measure(self, name: str, began_s: float) -> None:
        self._metrics.sample(name, 1000 * (self._clock.seconds() - began_s))

    def stop(self) -> None:
        """Stop: submit no more commands."""
        self._running = self.ready = False
        self.coordinates.stop()
        self.sessions.stop()
        self._tombstones.stop()
        if self._acl is not None:
            self._acl.stop()
        if self._connect is not None:
            self._connect.stop()
        if self._replication is not None:
            self._replication.stop()
        cancel_timer(self._timer)
        self._timer = None

    def member_event(self, event: Event) -> None:
        """Handle a member event of the gossip pool: reconcile its members."""
        if not self.ready or not isinstance(event, MemberEvent):
            return
        for member in event.members:
            if event.kind is MemberEventKind.REAP:
                if rules.belongs_to_catalog(self._who, member):
                    self._reconcile(member.name, None)
            else:
                self._reconcile(member.name, member)

    def queue_coordinate(self, update: CoordinateUpdateRequest) -> None:
        """Add a coordinate update to the next batch."""
        if self._running:
            self.coordinates.add(update)

    # First writes

    def _established(self, result: Any) -> None:
        if isinstance(result, Exception):
            self._say("error", f"this server cannot lead, its log cannot be written: {result}")
            if self._running:
                self._timer = self._clock.callLater(1.0, self.start)
            return
        if not self._running:
            return
        for command in self._writes_before_connect():
            self._write(command)
        self._set_up_connect(self._connect_is_set_up)

    def _set_up_connect(self, done: Callable[[], None]) -> None:
        if self._connect is not None:
            self._connect.initialize(done)
        else:
            done()

    def _connect_is_set_up(self) -> None:
        if not self._running:
            return
        steps = self._writes_after_connect()
        for command in steps[:-1]:
            self._write(command)
        if steps:
            self._log.submit(steps[-1], self._first_written)
        else:
            self._lead(None)

    def _writes_before_connect(self) -> list[Command]:
        """Commands for what the state of a new leader lacks, before its certificate authority is set up."""
        steps: list[Command] = self._acl.first_writes() if self._acl is not None else []
        if self._log.store.operator.autopilot(None)[1] is None:
            steps.append(Autopilot(AutopilotSetRequest(config=self._autopilot)))
        return steps

    def _writes_after_connect(self) -> list[Command]:
        """The leader's writes that follow those of Connect."""
        store, datacenter = self._log.store, self._who.datacenter
        steps: list[Command] = []
        for entry in self._bootstrap_entries:
            if store.config_entries.get(None, entry.kind, entry.name)[1] is None:
                request = EntryRequest(datacenter=datacenter, op=UPSERT, entry=entry, leading_kind=entry.kind)
                steps.append(ConfigEntry(request))
        own = self._pool.members.get(self._who.node_name)
        if own is not None:
            steps += rules.reconcile(store, self._who, own)
        if store.operator.federation_table.get(datacenter) is None:
            state = State(datacenter=datacenter, updated_at=go_time(self._wall_s()))
            steps.append(FederationState(FederationStateRequest(datacenter, FEDERATION_UPSERT, state)))
        return steps

    def _first_written(self, result: Any) -> None:
        """Handle the result of the first writes. One may be refused (the leader's name may be another node's in a
        restored snapshot); the term starts anyway if the log can be written.
        """
        self._written(result)
        if isinstance(result, Exception) and self._running:
            self._barrier(self._lead)
        else:
            self._lead(result)

    def _lead(self, result: Any) -> None:
        if not self._running:
            return
        if isinstance(result, Exception):
            self._established(result)
            return
        self.ready = True
        self.coordinates.start()
        self.sessions.start()
        self._tombstones.start()
        if self._acl is not None:
            self._acl.start()
        if self._connect is not None:
            self._connect.start()
        if self._replication is not None:
            self._replication.start()
        self._on_ready()
        self._sweep()

    # Reconciliation

    def _sweep(self) -> None:
        """Reconcile all members and nodes."""
        self._sweep_began_s = self._clock.seconds()
        self.reconcile_members()
        if self._has_rejoined():
            self._timer = self._clock.callLater(SWEEP_S, self._sweep)
            known = {name.lower() for name in self._pool.members}
            for name in rules.unknown_nodes(self._log.store, known):
                self._reconcile(name, None)
        else:
            self._timer = self._clock.callLater(REJOIN_LOOK_S, self._wait_for_members)
        self._sweep_over()

    def _wait_for_members(self) -> None:
        if self._has_rejoined():
            self._sweep()
        else:
            self._timer = self._clock.callLater(REJOIN_LOOK_S, self._wait_for_members)

    def _sweep_over(self) -> None:
        """Measure a reconciliation of all members once its writes are stored."""
        if self._sweep_began_s is not None and not self._writing:
            self._measure("leader.reconcile", self._sweep_began_s)
            self._sweep_began_s = None

    def reconcile_members(self) -> None:
        """Reconcile all members of the pool."""
        for member in list(self._pool.members.values()):
            self._reconcile(member.name, member)

    def _reconcile(self, name: str, member: Member | None) -> None:
        """Submit what `member` (None: it was removed) makes necessary, one batch at a time per name.

        Changes of a member while its last batch is being stored are reconciled after it.
        """
        if member is not None:
            self._watch_for_other_servers(member)
        if name in self._writing:
            self._writing[name] = (member,)
            return
        store = self._log.store
        node_id = member.tags.get("id", "") if member is not None else ""
        if rules.has_others_node(store, self._pool.members, name, node_id):
            return
        commands = (
            rules.remove_member(store, self._who, name) if member is None else rules.reconcile(store, self._who, member)
        )
        began_s = self._clock.seconds()
        for command in commands:
            self._writing[name] = None
            self._log.submit(command, lambda result: self._reconciled(name, result, began_s))
        if not commands:
            self._measure("leader.reconcileMember", began_s)

    def _reconciled(self, name: str, result: Any, began_s: float) -> None:
        self._measure("leader.reconcileMember", began_s)
        self._written(result)
        again = self._writing.pop(name, None)
        if again is not None and self._running:
            self._reconcile(name, again[0])
        self._sweep_over()

    def _write(self, command: Command) -> None:
        self._log.submit(command, self._written)

    def _written(self, result: Any) -> None:
        if isinstance(result, Exception):
            self._say("error", f"the leader could not write to the catalog: {result}")

    def _watch_for_other_servers(self, member: Member) -> None:
        """Log a warning, once for each, about another server, which a single-server state can't have."""
        name = member.name
        if not self._alone or name == self._who.node_name or not rules.is_server(member):
            return
        if member.status != Status.ALIVE:
            self._other_servers.discard(name)
        elif name not in self._other_servers:
            self._other_servers.add(name)
            self._say(
                "error",
                f"{name} ({member.address}) is a second server in datacenter {member.tags.get('dc', '')}: "
                f"this version keeps the state on one server only. Make it a client, or stop this server",
            )
