"""The other servers of a quorum: where gossip says they are, connections to them, and what they are asked."""

from collections.abc import Callable, Iterable
from typing import Any, Final

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from consulpy.config.schema import RuntimeConfig
from consulpy.errors import RPCError
from consulpy.raft.configuration import Server as RaftServer
from consulpy.raft.interfaces import Answered, Unreachable
from consulpy.raft.messages import PeerState
from consulpy.rpc.messages import reply_of
from consulpy.rpc.net.dialer import Dialer
from consulpy.rpc.pool import ConnectionPool
from consulpy.rpc.server_metadata import ServerInfo, server_of
from consulpy.serf.machine import Serf
from consulpy.serf.members import Member, Status
from consulpy.structs.newer_config_entry import NEWER_KINDS
from consulpy.structs.requests import Empty, RaftStats, SpecificRequest

#: How long the statistics of a server are waited for, in seconds (half of autopilot's interval).
STATS_TIMEOUT_S: Final = 1.0
#: How long the state of a server is waited for before an election: less than `Settings.survey_timeout_s`.
SURVEY_TIMEOUT_S: Final = 0.4
#: How long a server whose Raft connections are closed has to keep a new one open to count as running, in seconds.
PROBE_HOLD_S: Final = 2.0
#: Pause before the next probe of a server that closed one, in seconds; probes that it may close in all.
PROBE_PAUSE_S: Final = 0.02
PROBES: Final = 10


class QuorumPeers:
    """`own`: this server. `configured()`: the servers of the Raft configuration. `leader_address()`: "" for none."""

    def __init__(
        self,
        config: RuntimeConfig,
        reactor: Any,
        own: RaftServer,
        lan: Serf,
        dialer: Dialer,
        pool: ConnectionPool,
        configured: Callable[[], Iterable[RaftServer]],
        leader_address: Callable[[], str],
    ) -> None:
        self._datacenter, self._use_tls = config.datacenter, config.uses_tls
        self._reactor = reactor
        self._own = own
        self._lan = lan
        self._dialer = dialer
        self._pool = pool
        self._configured = configured
        self._leader_address = leader_address
        #: Address of the leader, and what gossip says of it: until either changes.
        self._found_leader: tuple[str, ServerInfo] | None = None

    def changed(self) -> None:
        """Gossip or the configuration say something else now."""
        self._found_leader = None

    def _members(self) -> list[tuple[ServerInfo, Member]]:
        found = [(server_of(member), member) for member in self._lan.members.values()]
        return [(info, member) for info, member in found if info is not None and info.datacenter == self._datacenter]

    def alive(self) -> list[ServerInfo]:
        """The servers of the datacenter that gossip calls alive."""
        return [info for info, member in self._members() if member.status is Status.ALIVE]

    def _info(self, server: RaftServer) -> ServerInfo:
        """The address of a server for RPC: the one in gossip, else that of the Raft configuration.

        Of two living members with its id, one of which is a copy, the one at the configured address.
        """
        known = [info for info in self.alive() if info.id == server.id]
        if known:
            return next((info for info in known if info.rpc_address == server.address), known[0])
        host, _, port = server.address.rpartition(":")
        return ServerInfo(server.id, host.strip("[]"), int(port or 0), self._datacenter, use_tls=self._use_tls)

    def leader(self) -> ServerInfo | None:
        """The leader, if it is another server and known here."""
        address = self._leader_address()
        if not address or address == self._own.address:
            return None
        if self._found_leader is None or self._found_leader[0] != address:
            found = self._find(address)
            if found is None:
                return None
            self._found_leader = (address, found)
        return self._found_leader[1]

    def _find(self, address: str) -> ServerInfo | None:
        for server in self._configured():
            if server.address == address:
                return self._info(server)
        return next((info for info, _ in self._members() if info.rpc_address == address), None)

    def dial(self, server: RaftServer, make: Callable[[], Any]) -> "Deferred[Any]":
        """See `consulpy.raft.peers.Dial`."""
        return self._dialer.connect(self._info(server), make)

    def refuses(self, address: str, answered: Callable[[bool], None]) -> None:
        """Whether the server at this address refuses connections: its program has ended."""
        server = next((each for each in self._configured() if each.address == address), None)
        if server is not None:
            self._probe(server, answered, PROBES)

    def _probe(self, server: RaftServer, answered: Callable[[bool], None], probes: int) -> None:
        """Dial until a connection is refused, or stays open.

        A process that is killed closes its descriptors one after the other, its listener perhaps last: until then its
        host accepts connections, and resets them.
        """

        def again() -> None:
            if probes > 1:
                self._reactor.callLater(PROBE_PAUSE_S, self._probe, server, answered, probes - 1)
            else:
                answered(False)

        def connected(probe: "_Probe") -> None:
            probe.hold(self._reactor, lambda: answered(False), again)

        def failed(failure: Failure) -> None:
            text = str(failure.value)
            if "refused" in text:
                answered(True)
            elif "reset" in text or "EOF" in text:  # during the TLS handshake
                again()
            else:
                answered(False)

        self.dial(server, _Probe).addCallbacks(connected, failed)

    def survey(self, server: RaftServer, answered: Answered) -> None:
        """See `Sender.survey`. Who says nothing at all is reached if a new connection is made meanwhile."""
        fetching = Deferred.fromCoroutine(self._fetch_state(server))
        dialing = self.dial(server, Protocol)
        reached: list[Any] = []

        def dialed(protocol: Any) -> None:
            reached.append(protocol)
            protocol.transport.abortConnection()

        def not_fetched(failure: Failure) -> None:
            if failure.check(TimeoutError):
                answered(RPCError("no answer") if reached else Unreachable("no answer, and no connection"))
            else:
                answered(_reason(failure))

        dialing.addCallbacks(dialed, lambda _: None)
        fetching.addTimeout(SURVEY_TIMEOUT_S, self._reactor, lambda _result, _timeout: Failure(TimeoutError()))
        fetching.addCallbacks(answered, not_fetched)

    async def _fetch_state(self, server: RaftServer) -> PeerState:
        info = self._info(server)
        body = SpecificRequest(datacenter=self._datacenter).pack()
        leader = reply_of(str, await self._pool.call(info, "Status.Leader", body))
        stats = reply_of(RaftStats, await self._pool.call(info, "Status.RaftStats", Empty().pack()))
        return PeerState(leader, stats.last_index, stats.last_term)

    def peers(self, info: ServerInfo, answered: Callable[[list[str] | None], None]) -> None:
        """`Status.Peers` of a server: the addresses of its quorum; None if it does not answer in time.

        Without ours, if it follows a leader that we do not know: another quorum has taken this server in.
        """

        async def fetch() -> list[str]:
            body = SpecificRequest(datacenter=self._datacenter).pack()
            found: list[str] = reply_of(list, await self._pool.call(info, "Status.Peers", body))
            leader = reply_of(str, await self._pool.call(info, "Status.Leader", body))
            if leader and leader not in {each.address for each in self._configured()}:
                found = [address for address in found if address != self._own.address]
            return found

        fetching = Deferred.fromCoroutine(fetch())
        fetching.addTimeout(STATS_TIMEOUT_S, self._reactor)
        fetching.addCallbacks(answered, lambda _: answered(None))

    async def without_newer_kinds(self) -> list[str]:
        """See `Quorum`."""
        others = [each for each in self._configured() if each.id != self._own.id]
        known = await gatherResults([self.knows_newer_kinds(self._info(each)) for each in others], consumeErrors=True)
        return [each.address for each, knows in zip(others, known, strict=True) if not knows]

    def knows_newer_kinds(self, info: ServerInfo) -> "Deferred[bool]":
        """Whether a server says that it can store newer kinds of config entries; False for no answer."""

        async def ask() -> bool:
            found = reply_of(list, await self._pool.call(info, "Status.ConfigEntryKinds", Empty().pack()))
            return set(found) >= set(NEWER_KINDS)

        asking = Deferred.fromCoroutine(ask())
        asking.addTimeout(STATS_TIMEOUT_S, self._reactor)
        return asking.addErrback(lambda _: False)

    def stats(self, info: ServerInfo, answered: Callable[[RaftStats | None], None]) -> None:
        """`Status.RaftStats` of a server, None if it does not answer in time."""

        async def fetch() -> RaftStats:
            found: RaftStats = reply_of(RaftStats, await self._pool.call(info, "Status.RaftStats", Empty().pack()))
            return found

        fetching = Deferred.fromCoroutine(fetch())
        fetching.addTimeout(STATS_TIMEOUT_S, self._reactor)
        fetching.addCallbacks(answered, lambda _: answered(None))


class _Probe(Protocol):
    """A connection that only shows whether the other end keeps it."""

    def __init__(self) -> None:
        self._is_lost = False
        self._lost: Callable[[], None] | None = None
        self._timer: Any = None

    def hold(self, reactor: Any, kept: Callable[[], None], lost: Callable[[], None]) -> None:
        """Call `kept` after `PROBE_HOLD_S`, or `lost` when the other end has closed it before."""
        if self._is_lost:
            lost()
            return

        def is_kept() -> None:
            self._lost = None
            transport: Any = self.transport
            transport.abortConnection()
            kept()

        self._lost = lost
        self._timer = reactor.callLater(PROBE_HOLD_S, is_kept)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002
        """The other end closed it."""
        self._is_lost = True
        lost, self._lost = self._lost, None
        if lost is not None:
            self._timer.cancel()
            lost()


def _reason(failure: Failure) -> Exception:
    text = str(failure.value)
    unreachable = "failed to get conn" in text or "rpc error getting client" in text
    return Unreachable(text) if unreachable else RPCError(text)
