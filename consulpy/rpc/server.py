"""`Server`: serves RPC calls: forwarding, leader check, access control, blocking queries, and the handler.

A call to another datacenter is forwarded; a call that needs a leader is held while there is none. `QueryMeta` of the
reply is set here. Source: docs/wire/rpc.md 6 and 7.
"""

from collections.abc import Callable, Hashable
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred, DeferredLock, maybeDeferred, succeed
from twisted.python.failure import Failure

from consulpy.clock import Clock, Timer, pause
from consulpy.codec.record import Record
from consulpy.errors import NoLeader, NoPathToDatacenter, RPCError
from consulpy.metrics.registry import NOTHING, Measures
from consulpy.rpc.acl.auth_sources import JwtKeys, TokenReview, no_jwt_keys, no_token_review
from consulpy.rpc.acl.interface import CallGuard, NoGuard
from consulpy.rpc.acl.primary import INTENTION_WRITE, PRIMARY_CALLS, PRIMARY_WRITES, for_elsewhere, home_of, moved
from consulpy.rpc.blocking import DEFAULT_WAITS, BlockingQuery, Run, WaitLimits, wait_s
from consulpy.rpc.connect.interface import CertificateAuthority, TlsOfServers
from consulpy.rpc.dependencies import DependencySet
from consulpy.rpc.interfaces import NoResetFile, RemoteDatacenters, ResetFile, SessionTimes
from consulpy.rpc.limits.request_limits import RequestLimits
from consulpy.rpc.limits.time_slice import slicer_on
from consulpy.rpc.long_read import LongRead, LongReads
from consulpy.rpc.methods import Kind, Method
from consulpy.rpc.quorum import Quorum
from consulpy.state.commands import Command
from consulpy.state.log import Log
from consulpy.state.metrics import submitted
from consulpy.state.store import Store
from consulpy.state.watch import WatchSet
from consulpy.structs.acl_requests import ReplicationStatus
from consulpy.structs.config_entry import SERVICE_INTENTIONS
from consulpy.structs.requests import CoordinateUpdateRequest
from consulpy.structs.session import TTL_MIN_NS

if TYPE_CHECKING:
    from consulpy.serf.machine import Serf

#: How long a call is held while there is no leader, in seconds (Consul's `performance.rpc_hold_timeout`).
HOLD_TIMEOUT_S: Final = 7.0
#: Calls that are held at a time; more fail at once.
HELD_LIMIT: Final = 8192


#: Calls that a server refuses by itself while Connect is off; others ask the leader.
_OF_CONNECT: Final = frozenset({"ConnectCA.ConfigurationGet", "ConnectCA.ConfigurationSet", "DiscoveryChain.Get"})


class Server:
    """A Consul server; handlers of methods get it as their first argument.

    `rpc_address`: its own "ip:8300". `queue_coordinate`: set by the leader. `is_leader` may be set at any time.
    """

    def __init__(
        self,
        *,
        datacenter: str,
        node_name: str,
        node_id: str,
        rpc_address: str,
        log: Log,
        clock: Clock,
        rng: Random,
        lan: "Serf | None" = None,
        wan: "Serf | None" = None,
        queue_coordinate: Callable[[CoordinateUpdateRequest], None] = lambda _update: None,
        hold_timeout_s: float = HOLD_TIMEOUT_S,
        session_ttl_min_ns: int = TTL_MIN_NS,
        metrics: Measures = NOTHING,
        waits: WaitLimits = DEFAULT_WAITS,
        wall_s: Callable[[], float] | None = None,
        guard: CallGuard | None = None,
    ) -> None:
        #: Checks the rights of each call.
        self.guard: CallGuard = guard or NoGuard()
        #: Limits of the wait of blocking queries.
        self.waits = waits
        self.metrics = metrics
        #: Number of calls, of runs of reads, and of blocking queries that wait now.
        self.calls = self.queries = self.waiting = 0
        self.datacenter = datacenter
        self.node_name = node_name
        self.node_id = node_id
        self.rpc_address = rpc_address
        self.log = log
        self.clock = clock
        #: Wall clock in seconds since 1970; by default that of `clock`.
        self.wall_s = wall_s or clock.seconds
        #: Start of this server, in seconds since 1970.
        self.started_s = self.wall_s()
        self.rng = rng
        self.lan = lan
        self.wan = wan
        self.queue_coordinate = queue_coordinate
        self._hold_timeout_s = hold_timeout_s
        #: The shortest TTL that a session may have (`session_ttl_min`).
        self.session_ttl_min_ns = session_ttl_min_ns
        self._is_leader = False
        self._had_leader = False
        self._held: dict[Deferred[None], Timer] = {}
        #: Reads that take several turns.
        self.long_reads = LongReads(clock)
        #: Blocking queries that a change has woken.
        self.woken = slicer_on(clock)
        self._set_defaults()

    def _set_defaults(self) -> None:
        """Settings that the agent replaces after the construction, as the configuration says: off until then."""
        #: Session TTLs, on the leader.
        self.sessions: SessionTimes | None = None
        #: The newest index of the leader's answers to stale reads that were forwarded to it.
        self._forwarded_index = 0
        #: Runs a long computation outside of the reactor's thread; a Deferred of its result.
        self.in_thread: Callable[[Callable[[], Any]], Deferred[Any]] = maybeDeferred
        #: Calls to other datacenters; None: there are none.
        self.remote_datacenters: RemoteDatacenters | None = None
        #: The Raft quorum of this server; None: a single server without Raft.
        self.quorum: Quorum | None = None
        #: TLS settings for agents that get a certificate; None: they get none (`auto_encrypt.allow_tls`).
        self.agent_certificates: Callable[[], TlsOfServers] | None = None
        #: The certificate authority; None: Connect is off.
        self.authority: CertificateAuthority | None = None
        #: The datacenter that has the policies, roles and global tokens; "": this one.
        self.primary_datacenter = ""
        #: Whether tokens are copied from there.
        self.copies_tokens = True
        #: The primary datacenter, where config entries and intentions are written; "": this is it.
        self.mesh_primary = ""
        #: How the copying from there goes, if this server does it.
        self.acl_replication: Callable[[], ReplicationStatus] | None = None
        #: The secret that it reads there with.
        self.replication_token: Callable[[], str] = str
        #: Asks Kubernetes for the service account of a token; blocks, raises `RPCError`.
        self.review_token: TokenReview = no_token_review
        #: Fetches the keys of an auth method.
        self.jwt_keys: JwtKeys = no_jwt_keys
        #: The ACL bootstrap reset file.
        self.reset_file: ResetFile = NoResetFile()
        #: Called after a snapshot replaced the state.
        self.after_restore: list[Callable[[], None]] = []
        #: Held by each write of a config entry until it is applied.
        self.config_entry_writes = DeferredLock()
        #: The same of intentions.
        self.intention_writes = DeferredLock()
        #: `default_intention_policy`: "allow", "deny", or "" for the default policy of access control.
        self.default_intention_policy = ""
        #: Limits of the rate of calls that arrive; None: there are none. May be replaced at any time.
        self.request_limits: RequestLimits | None = None

    @property
    def store(self) -> Store:
        """The current state."""
        return self.log.store

    @property
    def is_leader(self) -> bool:
        """Whether this server leads and is ready to."""
        return self._is_leader

    @is_leader.setter
    def is_leader(self, leads: bool) -> None:
        self._is_leader = leads
        if leads:
            self._had_leader = True
            held, self._held = self._held, {}
            for call, timer in held.items():
                timer.cancel()
                call.callback(None)

    @property
    def leader_address(self) -> str:
        """The leader's "ip:8300"; empty without a leader."""
        if self.quorum is not None:
            return self.quorum.leader_address
        return self.rpc_address if self._is_leader else ""

    @property
    def read_validator(self) -> Hashable | None:
        """Validator of replies to reads: they stay valid while it and the state are unchanged; None: not cacheable.

        None on a follower, whose replies have the age of its last contact, and on a leader without a lease.
        """
        if self.request_limits is not None:
            return None  # each call counts
        if self.quorum is None:
            return self.leader_address
        return self.quorum.term if self._is_leader and self.quorum.has_lease else None

    @property
    def stale_read_validator(self) -> Hashable | None:
        """The same for stale reads, which any server answers: they say whether a leader is known."""
        if self.quorum is None or self._is_leader or self.request_limits is not None:
            return self.read_validator
        return bool(self.quorum.leader_address) if self._answers_stale_reads(self.quorum) else None

    def last_contact_ms(self) -> int:
        """Milliseconds since the last contact with the leader; 0 on the leader."""
        return self.quorum.last_contact_ns // 1_000_000 if self.quorum is not None else 0

    @property
    def peers(self) -> list[str]:
        """The "ip:8300" of all servers of the quorum."""
        if self.quorum is not None:
            return self.quorum.peers
        return [self.rpc_address]

    def without_newer_kinds(self) -> "Deferred[list[str]]":
        """The other servers of the quorum that newer kinds of config entries would end (`Quorum`)."""
        return self.quorum.without_newer_kinds() if self.quorum is not None and len(self.peers) > 1 else succeed([])

    def submit(self, command: Command) -> "Deferred[Any]":
        """Store and apply a change; fires with its result. Fails with `RPCError`."""
        done: Deferred[Any] = Deferred()
        began_s = self.clock.seconds()
        # Cancelling only ends the wait; the command is applied.

        def finished(result: Any) -> None:
            self.metrics.sample(submitted(command), 1000 * (self.clock.seconds() - began_s))
            if done.called:
                return
            if isinstance(result, Exception):
                done.errback(result)
            else:
                done.callback(result)

        self.log.submit(command, finished)
        return done

    def handle(self, method: Method, request: Record, dependencies: DependencySet | None = None) -> "Deferred[Any]":
        """The reply to a call. Fails with `RPCError`. Cancelling it ends the wait.

        `dependencies`: receives those of a read that is not blocking and computed at once.
        """
        self.calls += 1
        datacenter = getattr(request, "datacenter", None)
        if method.kind is Kind.LOCAL:
            if datacenter and datacenter != self.datacenter:
                return self.forward(datacenter, method, request)
            return self._serve(method, request)
        if datacenter is not None and datacenter != self.datacenter:
            if method.name not in PRIMARY_WRITES:
                return self.forward(datacenter, method, request)
            request = moved(request, self.datacenter)  # written in the primary datacenter, whatever was named
        if self.primary_datacenter and method.name in PRIMARY_CALLS:
            return maybeDeferred(self._serve_or_forward, method, request)
        if self.mesh_primary and self._is_written_in_primary(method, request):
            return self.forward(self.mesh_primary, method, moved(request, self.mesh_primary))
        return self._serve_here(method, request, dependencies)

    def _is_written_in_primary(self, method: Method, request: Record) -> bool:
        is_entry = method.name in PRIMARY_WRITES
        if is_entry and getattr(request, "leading_kind", "") != SERVICE_INTENTIONS:
            return True
        return (is_entry or method.name == INTENTION_WRITE) and self.authority is not None

    def _serve_or_forward(self, method: Method, request: Record) -> "Deferred[Any]":
        """Forward calls that belong to the primary datacenter to it, serve the others."""
        home = home_of(self, method, request)
        return self.forward(home, method, moved(request, home)) if home else self._serve_here(method, request)

    def _serve_here(
        self, method: Method, request: Record, dependencies: DependencySet | None = None
    ) -> "Deferred[Any]":
        options = getattr(request, "options", None)
        if self.quorum is not None:
            return self._serve_in_quorum(self.quorum, method, request, dependencies)
        stale = options is not None and options.allow_stale and self._had_leader
        if self._is_leader or stale:
            return self._serve(method, request, dependencies)
        return self._wait_for_leader().addCallback(lambda _: self._serve(method, request))

    def _serve_in_quorum(
        self, quorum: Quorum, method: Method, request: Record, dependencies: DependencySet | None
    ) -> "Deferred[Any]":
        """Forward to the leader what only it may answer; confirm its lead before a consistent read."""
        options = getattr(request, "options", None)
        is_stale_read = options is not None and options.allow_stale
        if is_stale_read and self._answers_stale_reads(quorum):
            return self._serve(method, request, dependencies)
        if not self._is_leader:
            if self.authority is None and method.name in _OF_CONNECT:
                return self._serve(method, request)  # which says that it is off, as each real server does by itself
            if method.check_forwarded is not None:
                return maybeDeferred(self._forward_checked, quorum, method, request)
            forwarded = quorum.forward(method, request)
            if method.after_forward is not None:
                forwarded.addCallback(partial(method.after_forward, self, request))
            return forwarded.addCallback(self._note_forwarded) if is_stale_read else forwarded
        if method.kind is Kind.READ and options is not None and (options.require_consistent or not quorum.has_lease):
            began_s = self.clock.seconds()

            def confirmed(_: None) -> Any:
                self.metrics.sample("rpc.consistentRead", 1000 * (self.clock.seconds() - began_s))
                return self._serve(method, request)

            def lost(failure: Failure) -> "Deferred[Any]":
                """Nothing was read: the next leader is asked. This server may not know yet that it leads no more."""

                def ask_leader(_: None) -> Any:
                    return failure if self._is_leader else quorum.forward(method, request)

                return pause(self.clock, 0).addCallback(ask_leader)

            return quorum.confirm().addCallbacks(confirmed, lost)
        return self._serve(method, request, dependencies)

    def _answers_stale_reads(self, quorum: Quorum) -> bool:
        """Whether stale reads are answered here: indexes never go back, neither over a restart nor after the leader's
        answers that were passed on meanwhile. (Real servers answer as soon as they hear a leader.)"""
        return self._is_leader or (quorum.has_caught_up and self.store.index >= self._forwarded_index)

    def _note_forwarded(self, reply: Any) -> Any:
        meta = getattr(reply, "meta", None)
        self._forwarded_index = max(self._forwarded_index, getattr(meta, "index", 0))
        return reply

    @staticmethod
    def _forward_checked(quorum: Quorum, method: Method, request: Record) -> "Deferred[Any]":
        """Forward to the leader, which may be a real server, what does not end it."""
        assert method.check_forwarded is not None
        method.check_forwarded(request)
        return quorum.forward(method, request)

    def forward(self, datacenter: str, method: Method, request: Record) -> "Deferred[Any]":
        """The reply of another datacenter. Fails with `RPCError`."""
        if self.remote_datacenters is None:
            return _failed(NoPathToDatacenter())
        if method.check_forwarded is not None:
            try:
                method.check_forwarded(request)
            except RPCError as error:
                return _failed(error)
        if self.guard.is_on:
            request = for_elsewhere(self, request)
        return self.remote_datacenters.call(datacenter, method, request)

    def _serve(self, method: Method, request: Record, dependencies: DependencySet | None = None) -> "Deferred[Any]":
        prepare = self.guard.prepare
        if prepare is not None:
            pending = prepare(self, method.name, request)
            if pending is not None:
                return pending.addCallback(lambda _: self._serve_prepared(method, request))
        return self._serve_prepared(method, request, dependencies)

    def _serve_prepared(
        self, method: Method, request: Record, dependencies: DependencySet | None = None
    ) -> "Deferred[Any]":
        if method.kind is not Kind.READ:
            return self.guard.invoke(self, method, request)
        prepare, options = self.guard.prepare, getattr(request, "options", None)
        min_index = options.min_query_index if options is not None else 0

        def run(watch: WatchSet | None) -> Any:
            self.queries += 1
            return self._with_meta(self.guard.read(self, method, request, watch))

        if not min_index or options is None:
            return maybeDeferred(self._run_once, run, dependencies)
        limit_s = wait_s(options.max_query_time, self.rng, self.waits)
        store = self.store
        query = BlockingQuery(
            run,
            min_index,
            limit_s,
            store.watchers,
            self.clock,
            self.woken,
            lambda: store.indexes,
            self.long_reads.finish,
            prepare=None if prepare is None else lambda: prepare(self, method.name, request),
        )
        self.waiting += 1
        return query.reply.addBoth(self._unblocked)

    def _run_once(self, run: Run, dependencies: DependencySet | None) -> Any:
        reply = run(dependencies)
        return self._finished(reply, dependencies) if isinstance(reply, LongRead) else reply

    def _finished(self, read: LongRead, dependencies: DependencySet | None) -> "Deferred[Any]":
        """The reply of a long read; `dependencies` tell whether it is outdated by then."""
        done = self.long_reads.finish(read)
        if dependencies is None:
            return done
        dependencies.are_followed = True
        watch = self.store.watchers.wait(dependencies, dependencies.outdate)

        def finished(result: Any) -> Any:
            watch.cancel()
            return result

        return done.addBoth(finished)

    def _unblocked(self, result: Any) -> Any:
        self.waiting -= 1
        return result

    def _with_meta(self, reply: Any) -> Any:
        """Set the metadata. Its index is at least 1: a client that passed back 0 would not block."""
        meta = getattr(reply, "meta", None)
        if meta is not None:
            meta.index = max(meta.index, 1)
            meta.known_leader = getattr(reply, "SAYS_LEADER", True) and bool(self.leader_address)
            meta.last_contact = self.quorum.last_contact_ns if self.quorum is not None else 0
        return reply

    def _wait_for_leader(self) -> "Deferred[None]":
        """Fires when this server leads; fails with `NoLeader` after the hold timeout."""
        if len(self._held) >= HELD_LIMIT:
            return _failed(NoLeader())

        def cancelled(call: "Deferred[None]") -> None:
            timer = self._held.pop(call, None)
            if timer is not None:
                timer.cancel()

        held: Deferred[None] = Deferred(cancelled)

        def timed_out() -> None:
            del self._held[held]
            held.errback(NoLeader())

        self._held[held] = self.clock.callLater(self._hold_timeout_s, timed_out)
        return held


def _failed(error: Exception) -> "Deferred[Any]":
    deferred: Deferred[Any] = succeed(None)

    def fail(_: None) -> None:
        raise error

    return deferred.addCallback(fail)
