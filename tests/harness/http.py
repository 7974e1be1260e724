"""The HTTP API in memory, with an agent without gossip: real store, RPC, leader, local state and events, fake clock.

`HttpHarness` sends HTTP/1.1 bytes through Twisted's own parser.
"""

import gzip
import json
from dataclasses import dataclass
from random import Random
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection

from consulpy.checks.runner import Runner
from consulpy.clock import Turn
from consulpy.errors import NotFound, RPCError
from consulpy.http.api.write_limits import WriteLimits
from consulpy.http.listener import HttpConfig, HttpService
from consulpy.leader.leader import Leader
from consulpy.local.access import AgentAccess
from consulpy.local.aliases import Aliases
from consulpy.local.state import LocalState
from consulpy.local.sync.anti_entropy import AntiEntropy
from consulpy.local.tokens import AgentTokens
from consulpy.local.user_events import UserEvents
from consulpy.memberlist.timeline import Timeline
from consulpy.metrics.registry import Registry
from consulpy.rpc.cache.agent_cache import AgentCache
from consulpy.rpc.call import ServerCaller
from consulpy.rpc.limits.time_slice import slicer_on
from consulpy.rpc.server import Server
from consulpy.serf.members import Member, Status
from consulpy.serf.membership import Membership
from consulpy.state.log import MemoryLog
from consulpy.state.store import Store
from consulpy.structs.coordinate import Coord
from consulpy.structs.node import Node
from tests.fakes.keys import Keys

ID_ONE = "11111111-2222-3333-4444-555555555501"
ID_TWO = "11111111-2222-3333-4444-555555555502"
SERVER_TAGS = {
    "acls": "0", "bootstrap": "1", "build": "1.8.7", "dc": "dc1", "ft_fs": "1", "port": "8300", "raft_vsn": "3",
    "role": "consul", "segment": "", "vsn": "2", "vsn_max": "3", "vsn_min": "2", "wan_join_port": "8302",
}  # fmt: skip
CLIENT_TAGS = {
    "acls": "0", "build": "1.8.7", "dc": "dc1", "role": "node", "segment": "", "vsn": "2", "vsn_max": "3",
    "vsn_min": "2",
}  # fmt: skip


def member(name: str, address: str, tags: dict[str, str], *, port: int = 8301) -> Member:
    return Member(
        name, address, port, tags, Status.ALIVE,
        protocol_min=1, protocol_max=5, protocol_cur=2, delegate_min=2, delegate_max=5, delegate_cur=4,
    )  # fmt: skip


class Pool:
    """A fake `Serf`: members, and user events that are received at once."""

    def __init__(self, *members: Member) -> None:
        self.membership = Membership("agent-one", 300.0, lambda _event: None)
        self.members = self.membership.members
        self.tags = {"role": "consul"}
        self.members.update({each.name: each for each in members})
        self.keys = Keys()
        self.on_user_event: Any = lambda name, payload, ltime: None
        self._ltime = 1

    def user_event(self, name: str, payload: bytes, coalesce: bool) -> None:
        self._ltime += 1
        self.on_user_event(name, payload, self._ltime)

    def coordinate(self) -> Coord:
        return Coord()

    def cached_coordinate(self, name: str) -> Coord | None:
        return Coord() if name in self.members else None


class FakeAgent:
    """Implements `AgentInterface`: the server `agent-one`, which leads, and the client `agent-two`."""

    def __init__(self, clock: Any = None, address: str = "127.35.0.1", two: str = "127.35.0.2") -> None:
        self.clock = clock or Clock()
        self.turn = Turn()
        self.woken = slicer_on(self.clock)
        self.datacenter, self.node_name = "dc1", "agent-one"
        self.access = AgentAccess(AgentTokens(), "agent-one")
        self.prometheus_enabled = self.indents_json = False
        self.limits = WriteLimits()
        self.translate_wan_addrs = False
        self.discovery_max_stale_ns, self.dns_domain = 0, "consul."
        rng = Random(5)
        one = member("agent-one", address, {**SERVER_TAGS, "id": ID_ONE})
        self.lan: Any = Pool(one, member("agent-two", two, {**CLIENT_TAGS, "id": ID_TWO}))
        self.wan: Any = Pool(member("agent-one.dc1", address, {**SERVER_TAGS, "id": ID_ONE}, port=8302))
        self.log = MemoryLog(Store())
        self.server = Server(
            datacenter="dc1", node_name="agent-one", node_id=ID_ONE, rpc_address=f"{address}:8300", log=self.log,
            clock=self.clock, rng=rng, lan=self.lan, wan=self.wan,
        )  # fmt: skip
        self.caller: Any = ServerCaller(self.server)
        self.agent_cache = AgentCache(self.caller, self.clock)
        self.metrics = Registry(lambda: 0.0)
        addresses = dict.fromkeys(("lan", "lan_ipv4", "wan", "wan_ipv4"), address)
        node = Node(ID_ONE, "agent-one", address, "dc1", addresses, {"consul-network-segment": ""})
        self.local = LocalState(node, self.clock, rng)
        self.local.starter = Runner(self.clock, rng, Aliases(self.local.entries, self.caller))
        self.events = UserEvents("agent-one", lambda: self.local.services.values(), rng)
        self.lan.on_user_event = self.events.receive
        self.leader = Leader("dc1", "agent-one", self.log, self.lan, self.clock, on_ready=self._lead)
        self.anti_entropy = AntiEntropy(self.caller, self.local, self.clock, rng, lambda: 2)
        self.joined: list[tuple[list[str], bool]] = []
        self.forced: list[tuple[str, bool]] = []
        self.left = self.reloaded = False
        self.monitors: list[Any] = []
        self.history = Timeline(self.clock.seconds)
        #: Key operations in the LAN pool.
        self.keys: list[tuple[str, str, int]] = self.lan.keys.done

    def start(self) -> "FakeAgent":
        self.leader.start()
        self.anti_entropy.start()
        return self

    def _lead(self) -> None:
        self.server.is_leader = True
        self.server.queue_coordinate = self.leader.queue_coordinate

    def join(self, addresses: list[str], wan: bool) -> "Deferred[int]":
        self.joined.append((addresses, wan))
        if addresses == [""]:
            raise RPCError("1 error occurred:\n\t* Failed to join : no address\n\n")
        return succeed(1)

    def leave(self) -> "Deferred[None]":
        self.left = True
        return succeed(None)

    def force_leave(self, name: str, prune: bool) -> None:
        if name not in self.lan.members:
            raise RPCError(f"agent: No node found with name '{name}'")
        self.forced.append((name, prune))

    def force_leave_wan(self, name: str, prune: bool) -> None:
        self.forced.append((f"wan:{name}", prune))

    def reload(self) -> "Deferred[None]":
        self.reloaded = True
        return succeed(None)

    def self_report(self) -> dict[str, Any]:
        return {
            "Config": {"NodeName": "agent-one", "NodeID": ID_ONE},
            "Member": self.lan.members["agent-one"].to_json(),
        }

    def host_report(self) -> dict[str, Any]:
        return {"Memory": {}}

    def timeline(self, name: str) -> list[dict[str, Any]] | None:
        return [{"Kind": "alive"}] if name in self.lan.members else None

    def latest_changes(self, most: int) -> list[dict[str, Any]]:
        return [{"Name": name, "What": event.what} for name, event in self.history.latest(most)]

    def changes(self, name: str) -> Timeline:
        return self.history

    def why(self, name: str) -> "Deferred[dict[str, Any]]":
        return succeed({"cause": "healthy", "text": f"{name} is fine", "evidence": []})

    def doctor(self, target: str) -> "Deferred[list[dict[str, Any]]]":
        return succeed([{"check": f"join {target}" if target else "agent", "status": "pass"}])

    def monitor(self, level: str, as_json: bool, write: Any) -> Any:
        entry = (level, as_json, write)
        self.monitors.append(entry)
        return lambda: self.monitors.remove(entry)


@dataclass
class Response:
    """A response as a client sees it."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class InMemoryClient:
    """A client connection to the harness."""

    address = IPv4Address("TCP", "127.0.0.9", 4000)

    def __init__(self, harness: "HttpHarness") -> None:
        self.transport = StringTransportWithDisconnection(peerAddress=self.address)
        self.channel = harness.site.buildProtocol(self.address)
        self.transport.protocol = self.channel
        self.channel.makeConnection(self.transport)

    def send(self, data: bytes) -> None:
        self.channel.dataReceived(data)

    def hang_up(self) -> None:
        self.transport.loseConnection()

    @property
    def raw(self) -> bytes:
        return self.transport.value()

    @property
    def answer(self) -> Response | None:
        """The first complete response; None if there is none yet."""
        head, there, rest = self.raw.partition(b"\r\n\r\n")
        if not there:
            return None
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(": ")
            assert name.lower() not in headers, f"{name} came twice"
            headers[name.lower()] = value
        body = rest
        if headers.get("content-encoding") == "gzip":
            body = gzip.decompress(rest)
        return Response(int(first.split()[1]), headers, body)


class HttpHarness:
    """The HTTP API of a `FakeAgent`."""

    def __init__(self, agent: FakeAgent | None = None, in_thread: Any = maybeDeferred, **config: Any) -> None:
        self.agent = agent or FakeAgent().start()
        settings = HttpConfig(addresses=(), port=0, **config)
        self.service = HttpService(self.agent.clock, settings, self.agent, in_thread=in_thread)
        self.site = self.service.factory

    def begin(self, request: str, body: bytes | str | dict[str, Any] = b"", **headers: str) -> InMemoryClient:
        """Send `METHOD /path` without waiting for the response. Keyword arguments: headers (`Accept_Encoding=...`)."""
        data = json.dumps(body).encode() if isinstance(body, dict) else body.encode() if isinstance(body, str) else body
        client = InMemoryClient(self)
        lines = [f"{request} HTTP/1.1", "Host: localhost", f"Content-Length: {len(data)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        client.send("\r\n".join([*lines, "", ""]).encode() + data)
        return client

    def ask(self, request: str, body: bytes | str | dict[str, Any] = b"", **headers: str) -> Response:
        """The response to a request that does not block."""
        client = self.begin(request, body, **headers)
        answer = client.answer
        assert answer is not None, f"{request} blocks"
        if client.transport.connected:
            client.hang_up()
        return answer

    def tell(self, request: str, body: bytes | str | dict[str, Any] = b"") -> None:
        """Send a request that must succeed."""
        answer = self.ask(request, body)
        assert answer.status == 200, answer.text


__all__ = ["FakeAgent", "HttpHarness", "InMemoryClient", "NotFound", "Response"]
