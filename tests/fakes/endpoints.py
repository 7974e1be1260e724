"""A fake server for tests of RPC methods: a store, an in-memory log, and pools that are lists."""

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

from consulpy.codec.msgpack import pack
from consulpy.errors import NoPathToDatacenter, RPCError
from consulpy.metrics.registry import NOTHING
from consulpy.rpc.acl.interface import NoGuard
from consulpy.rpc.methods import METHODS, Kind, Method
from consulpy.serf.members import Member
from consulpy.state.log import MemoryLog
from consulpy.state.store import Store
from consulpy.state.watch import WatchSet
from consulpy.structs.coordinate import Coord
from consulpy.structs.requests import CoordinateUpdateRequest
from tests.fakes.keys import Keys


class Pool:
    """A fake `Serf`, as far as RPC methods use it."""

    def __init__(self, *members: Member) -> None:
        self.members = {member.name: member for member in members}
        self.coordinates: dict[str, Coord] = {}
        self.own = Coord()
        self.events: list[tuple[str, bytes, bool]] = []
        self.keys = Keys()

    def coordinate(self) -> Coord:
        return self.own

    def cached_coordinate(self, name: str) -> Coord | None:
        return self.coordinates.get(name)

    def user_event(self, name: str, payload: bytes, coalesce: bool) -> None:
        if len(payload) > 512:
            raise ValueError("user event exceeds configured limit of 512 bytes before encoding")
        self.events.append((name, payload, coalesce))


class Server:
    """The `server` argument of handlers."""

    #: Not one of several servers.
    quorum = None

    def __init__(self) -> None:
        self.datacenter = "dc1"
        self.node_name = "s1"
        self.leader_address = "127.20.0.1:8300"
        self.peers = ["127.20.0.1:8300"]
        self.is_leader = True
        self.store = Store()
        self.log = MemoryLog(self.store)
        self.lan: Pool | None = Pool()
        self.wan: Pool | None = None
        self.queued: list[CoordinateUpdateRequest] = []
        self.sessions: Any = None
        self.metrics = NOTHING
        self.guard = NoGuard()
        #: Calls to other datacenters, and their replies by datacenter; none: it can't be reached.
        self.forwarded: list[tuple[str, str, Any]] = []
        self.elsewhere: dict[str, Any] = {}

    @staticmethod
    def wall_s() -> float:
        """Seconds since 1970."""
        return 1_800_000_000.0

    def forward(self, datacenter: str, method: Method, request: Any) -> "Deferred[Any]":
        self.forwarded.append((datacenter, method.name, request))
        return succeed(self.elsewhere[datacenter]) if datacenter in self.elsewhere else fail(NoPathToDatacenter())

    def submit(self, command: Any) -> "Deferred[Any]":
        results: list[Any] = []
        self.log.submit(command, results.append)
        (result,) = results
        if isinstance(result, Exception):
            failed: Deferred[Any] = Deferred()
            failed.errback(Failure(result))
            return failed
        return succeed(result)

    def queue_coordinate(self, update: CoordinateUpdateRequest) -> None:
        self.queued.append(update)

    def call(self, method: str, body: dict[str, Any] | None = None, watch: WatchSet | None = None) -> Any:
        """Call a method with a request in Go names; the reply. Raises its error."""
        known = METHODS[method]
        request = known.request.unpack(pack(body or {}))
        if known.kind is Kind.READ:
            return known.handler(self, request, watch)
        reply = known.handler(self, request)
        if isinstance(reply, Deferred):
            out: list[Any] = []
            reply.addBoth(out.append)
            reply = out[0]
            if isinstance(reply, Failure):
                raise reply.value
        return reply

    def answer(self, method: str, body: dict[str, Any]) -> str:
        """Call a write; its response in the HTTP API: `true`, or the error's text."""
        try:
            self.call(method, body)
        except RPCError as error:
            return str(error)
        return "true"

    def register(self, **body: Any) -> None:
        self.call("Catalog.Register", {"Datacenter": "dc1", **body})

    def deregister(self, **body: Any) -> None:
        self.call("Catalog.Deregister", {"Datacenter": "dc1", **body})
