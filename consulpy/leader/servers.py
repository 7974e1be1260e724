"""The servers of the quorum: joins, leaves, promotions (autopilot; docs/wire/raft.md 12).

Gossip says which servers exist, the log's configuration which of them replicate it and vote. Each change concerns one
server.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

from consulpy.clock import Clock, Timer, cancel_timer
from consulpy.codec.lazy_dataclass import dataclass
from consulpy.gocompat.duration import parse_duration_ns
from consulpy.raft.configuration import Configuration, Server
from consulpy.raft.leadership import Leadership
from consulpy.raft.machine import Raft
from consulpy.rpc.server_metadata import ServerInfo, server_of
from consulpy.serf.events import Event, MemberEvent, MemberEventKind
from consulpy.serf.members import Member, Status
from consulpy.structs.operator import AutopilotConfig
from consulpy.structs.requests import RaftStats

#: Seconds between rounds: server statistics, promotions, dead server cleanup, and comparison with gossip.
STATS_S: Final = 2.0
CLEANUP_S: Final = 10.0
SWEEP_S: Final = 60.0
#: Seconds after which a new server that did not answer is called again.
JOIN_RETRY_S: Final = 1.0


@dataclass(slots=True)
class ServerHealth:
    """State of one server. `stable_since_s`: in the clock's seconds; `stats` is None if it did not answer."""

    info: ServerInfo
    status: Status
    stats: RaftStats | None
    is_healthy: bool
    stable_since_s: float


class QuorumServers:
    """The tasks of one term.

    `stats(server, answered)`: requests `Status.RaftStats`, with None for no answer; `peers` likewise `Status.Peers`.
    """

    def __init__(
        self,
        raft: Raft,
        datacenter: str,
        members: Callable[[], Iterable[Member]],
        clock: Clock,
        stats: Callable[[ServerInfo, Callable[[RaftStats | None], None]], None],
        settings: Callable[[], AutopilotConfig],
        log: Callable[[str, str], None],
        peers: Callable[[ServerInfo, Callable[[list[str] | None], None]], None] = lambda _, answered: answered([]),
    ) -> None:
        self._raft = raft
        self._datacenter = datacenter
        self._members = members
        self._clock = clock
        self._stats = stats
        self._settings = settings
        self._log = log
        self._peers = peers
        self._office: Leadership | None = None
        self._timers: dict[str, Timer] = {}
        #: By server id; empty until the first round.
        self.health: dict[str, ServerHealth] = {}
        #: Members with the node id of another one, which were logged.
        self._cloned: set[str] = set()

    def start(self) -> None:
        """Start the term."""
        self.stop()
        self._office = self._raft.leadership
        self._every("stats", STATS_S, self._ask_all)
        self._every("cleanup", CLEANUP_S, self._clean_up)
        self._sweep()

    def stop(self) -> None:
        """Stop."""
        self._office = None
        self.health = {}
        self._cloned = set()
        for timer in self._timers.values():
            cancel_timer(timer)
        self._timers.clear()

    def member_event(self, event: Event) -> None:
        """Handle a member event of servers."""
        if self._office is None or not isinstance(event, MemberEvent):
            return
        for member in event.members:
            info = self._server(member)
            if info is None:
                continue
            if event.kind in (MemberEventKind.LEAVE, MemberEventKind.REAP):
                self._remove(info.id, f"{info.name} left")
            elif member.status is Status.ALIVE:
                self._join(info)
                self._raft.peer_returned(info.id)

    # -- joins and leaves

    def _server(self, member: Member) -> ServerInfo | None:
        """The member as a server of this datacenter; None for another one, or one whose id another living one holds."""
        info = server_of(member)
        if info is None or info.datacenter != self._datacenter or not info.id or self._has_anothers_id(info):
            return None
        return info

    def _has_anothers_id(self, info: ServerInfo) -> bool:
        """Whether a data directory was copied: the server with this id lives, at the address that is in the quorum.

        (Real servers throw that one out.)
        """
        known = self._raft.configurations.latest.server(info.id)
        if known is None or known.address == info.rpc_address:
            return False
        for member in self._members():
            other = server_of(member) if member.status is Status.ALIVE and member.name != info.name else None
            if other is not None and other.id == info.id and other.rpc_address == known.address:
                if info.name not in self._cloned:
                    self._cloned.add(info.name)
                    self._log(
                        "error",
                        f"{info.name} ({info.rpc_address}) has the node id of {other.name} ({known.address}), which "
                        "lives: a copy of its data directory; it is not added. Start it with an empty one",
                    )
                return True
        return False

    def _sweep(self) -> None:
        self._timers["sweep"] = self._clock.callLater(SWEEP_S, self._sweep)
        for member in list(self._members()):
            info = self._server(member)
            if info is None:
                continue
            if member.status is Status.ALIVE:
                self._join(info)
            elif member.status is Status.LEFT:
                self._remove(info.id, f"{info.name} left")

    def _join(self, info: ServerInfo) -> None:
        """Add a server to the configuration as a non-voter, or change its address."""
        if info.id == self._raft.server_id:
            return
        if info.raft_version < 3:
            self._log("error", f"{info.name} speaks an old version of Raft ({info.raft_version}): it is not added")
            return
        if info.bootstrap and self._is_bootstrap():
            self._log("error", f"{info.name} and this server are both in bootstrap mode: only one may be; not added")
            return
        for known in self._raft.configurations.latest.servers:
            if known.id == info.id and known.address == info.rpc_address:
                return
            if known.id == self._raft.server_id and known.address == info.rpc_address:
                self._log("error", f"{info.name} ({info.id}) says that it has this server's address {known.address}")
                return
            if known.id == info.id or known.address == info.rpc_address:
                self._log("info", f"{known.id} at {known.address} is replaced by {info.id} at {info.rpc_address}")
                self._change(partial(_without, known.id))
            if known.id == info.id:
                self._add(info)
                return
        self._peers(info, partial(self._heard_peers, self._office, info))

    def _heard_peers(self, office: Leadership | None, info: ServerInfo, peers: list[str] | None) -> None:
        """Add a new server, unless it is one of another quorum: its log would be cut, or never be the same as ours."""
        if self._office is not office or self._raft.configurations.latest.server(info.id) is not None:
            return
        ours = {server.address for server in self._raft.configurations.latest.servers}
        if peers is None:
            retry = f"join {info.id}"
            if retry not in self._timers or not self._timers[retry].active():
                self._timers[retry] = self._clock.callLater(JOIN_RETRY_S, self._join_again, info.id)
        elif peers and not ours & set(peers):
            self._log(
                "error",
                f"{info.name} ({info.rpc_address}) belongs to another quorum ({', '.join(peers)}): two clusters were "
                "joined; it is not added. To move it here, start it with an empty data directory",
            )
        else:
            self._add(info)

    def _join_again(self, server_id: str) -> None:
        for member in self._members():
            info = self._server(member)
            if info is not None and info.id == server_id and member.status is Status.ALIVE:
                self._join(info)
                return

    def _add(self, info: ServerInfo) -> None:
        self._log("info", f"adding server {info.name} ({info.rpc_address})")
        self._change(lambda now: now.with_nonvoter(info.id, info.rpc_address))

    def _is_bootstrap(self) -> bool:
        own = (self._server(member) for member in self._members())
        return any(info is not None and info.id == self._raft.server_id and info.bootstrap for info in own)

    def _remove(self, server_id: str, why: str) -> None:
        if server_id != self._raft.server_id and self._raft.configurations.latest.server(server_id) is not None:
            self._log("info", f"removing server {server_id}: {why}")
            self._change(partial(_without, server_id))

    def _change(self, change: Callable[[Configuration], Configuration]) -> None:
        office = self._office
        if office is not None and not office.is_over:
            office.change_configuration(change, self._changed)

    def _changed(self, result: Any) -> None:
        if isinstance(result, Exception):
            self._log("warn", f"the servers of the quorum were not changed: {result}")

    # -- autopilot

    def _every(self, name: str, pause_s: float, call: Callable[[], None]) -> None:
        def again() -> None:
            self._every(name, pause_s, call)
            call()

        self._timers[name] = self._clock.callLater(pause_s, again)

    def _ask_all(self) -> None:
        for member in list(self._members()):
            info = self._server(member)
            if info is None:
                continue
            if member.status is Status.LEFT:
                self.health.pop(info.id, None)  # it has to be well anew when it comes back
                continue
            if info.id == self._raft.server_id:
                own = RaftStats("0", self._raft.log.last_index, self._raft.log.last_term)
                self._heard(info, member.status, own)
            else:
                self._ask(info, member.status)

    def _ask(self, info: ServerInfo, status: Status) -> None:
        office = self._office

        def answered(stats: RaftStats | None) -> None:
            if self._office is office and office is not None:
                self._heard(info, status, stats)

        self._stats(info, answered)

    def _heard(self, info: ServerInfo, status: Status, stats: RaftStats | None) -> None:
        now_s = self._clock.seconds()
        is_healthy = status is Status.ALIVE and stats is not None and self._is_healthy(stats)
        known = self.health.get(info.id)
        since_s = known.stable_since_s if known is not None and known.is_healthy == is_healthy else now_s
        self.health[info.id] = ServerHealth(info, status, stats, is_healthy, since_s)

    def _is_healthy(self, stats: RaftStats) -> bool:
        settings, log = self._settings(), self._raft.log
        contact = contact_ns(stats)
        return (
            contact is not None
            and contact <= settings.last_contact_threshold
            and stats.last_term == log.last_term
            and stats.last_index + settings.max_trailing_logs >= log.last_index
        )

    def _clean_up(self) -> None:
        """Promote servers that were healthy for long enough; remove dead or unknown ones, never a majority."""
        settings, now_s = self._settings(), self._clock.seconds()
        servers = self._raft.configurations.latest.servers
        known = {info.id: member for member in self._members() if (info := self._server(member)) is not None}
        for server in servers:
            health = self.health.get(server.id)
            if server.is_voter or health is None or not health.is_healthy or health.info.nonvoter:
                continue
            if now_s - health.stable_since_s >= settings.server_stabilization_time / 1e9:
                self._log("info", f"promoting {health.info.name} ({server.address}) to voter")
                self._change(partial(_promoted, server))
        if not settings.cleanup_dead_servers:
            return
        dead = [
            server
            for server in servers
            if server.id != self._raft.server_id
            and (server.id not in known or known[server.id].status is Status.FAILED)
        ]
        voters = self._raft.configurations.latest.voters
        removable = (len(voters) - 1) // 2
        if (
            dead
            and sum(server.is_voter for server in dead) <= removable
            and len(voters) - len(dead) >= settings.min_quorum
        ):
            for server in dead:
                self._remove(server.id, "it failed" if server.id in known else "it is no member")


def _without(server_id: str, now: Configuration) -> Configuration:
    return now.without(server_id)


def _promoted(server: Server, now: Configuration) -> Configuration:
    return now.with_voter(server.id, server.address)


def contact_ns(stats: RaftStats) -> int | None:
    """Time since the last contact with the leader, in ns; None for "never" or an invalid duration."""
    try:
        return parse_duration_ns(stats.last_contact)
    except ValueError:
        return None
