"""Our client's end beside a real server. Source: docs/wire/rpc.md 18."""

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from consulpy.errors import RPCError
from consulpy.leader.leader import Leader
from consulpy.memberlist.config import MemberlistConfig
from consulpy.memberlist.transport import GossipTransport
from consulpy.rpc.call import ClientCaller
from consulpy.rpc.merge import check_lan_merge
from consulpy.rpc.net import Dialer, RpcService
from consulpy.rpc.pool import ConnectionPool
from consulpy.rpc.router import Router
from consulpy.rpc.server_metadata import agent_tags
from consulpy.serf.config import SerfConfig
from consulpy.serf.events import MemberEvent, MemberEventKind
from consulpy.serf.machine import Serf
from consulpy.serf.members import Member, Status
from consulpy.structs.options import QueryOptions
from consulpy.structs.requests import DeregisterRequest, Empty, RegisterRequest, ServiceRequest, SpecificRequest
from consulpy.structs.service import NodeService
from tests.harness.rpc import make_server, register
from tests.peers.programs import Program

pytestmark = pytest.mark.peers

HOST = "127.33.0.10"


def free_ports(count: int) -> list[int]:
    """Ports that nobody uses now, for TCP and UDP alike."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind((HOST, 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.fixture
def real_server(tmp_path: Path) -> Iterator[int]:
    """A real server in development mode; its RPC port."""
    server, lan, wan, http = free_ports(4)
    command = ["consul", "agent", "-dev", "-node", "real", "-bind", HOST, "-client", HOST, "-log-level", "warn"]
    command += ["-server-port", str(server), "-serf-lan-port", str(lan), "-serf-wan-port", str(wan)]
    command += ["-http-port", str(http), "-dns-port", "-1", "-grpc-port", "-1"]
    program = Program(command, tmp_path / "consul.log", tmp_path)
    yield server
    program.process.terminate()
    program.process.wait(60)


def caller_to(port: int) -> tuple[ClientCaller, ConnectionPool]:
    pool = ConnectionPool(Dialer(reactor, HOST), reactor)
    router = Router("dc1", reactor, Random(1), lambda server: pool.call(server, "Status.Ping", b"\x80"), lambda: 1)
    tags = {"role": "consul", "dc": "dc1", "port": str(port), "vsn": "2", "build": "1.8.7:", "id": "real"}
    router.member_event(MemberEvent(MemberEventKind.JOIN, [Member("real", HOST, 8301, tags, Status.ALIVE)]))
    return ClientCaller(router, pool, reactor, Random(1)), pool


async def eventually(ask: Callable[[], "Deferred[Any]"], good: Callable[[Any], bool]) -> Any:
    """Ask until the answer is good; errors count as not yet."""
    for _ in range(300):
        try:
            answer = await ask()
            if good(answer):
                return answer
        except RPCError:
            pass
        await deferLater(reactor, 0.1, lambda: None)
    raise AssertionError("not within 30 s")


@pytest_twisted.ensureDeferred
async def test_a_real_server_answers_our_calls(real_server: int) -> None:
    """Plain reads, a write, a blocking read that the write ends, and Consul's error texts."""
    caller, pool = caller_to(real_server)
    dc1 = SpecificRequest(datacenter="dc1")
    leader = await eventually(lambda: caller.call("Status.Leader", dc1), bool)
    assert leader == f"{HOST}:{real_server}"
    nodes = await eventually(lambda: caller.call("Catalog.ListNodes", dc1), lambda reply: reply.nodes)
    assert [node.node for node in nodes.nodes] == ["real"]

    ask = ServiceRequest(datacenter="dc1", service_name="web")
    first = await caller.call("Health.ServiceNodes", ask)
    ask.options = QueryOptions(min_query_index=first.meta.index, max_query_time=20 * 10**9)
    waiting = caller.call("Health.ServiceNodes", ask)
    web = NodeService(id="web", service="web", port=80)
    await caller.call("Catalog.Register", RegisterRequest("dc1", node="n1", address="10.0.0.1", service=web))
    changed = await waiting
    assert changed.meta.index > first.meta.index
    assert [row.service.port for row in changed.nodes] == [80]

    coordinates = await caller.call("Coordinate.ListNodes", dc1)
    assert coordinates.meta.index >= 1
    assert await caller.call("Status.Ping", Empty()) == Empty()
    with pytest.raises(RPCError, match=r"^rpc error making call: Must provide node$"):
        await caller.call("Catalog.Deregister", DeregisterRequest("dc1"))
    await caller.call("Catalog.Deregister", DeregisterRequest("dc1", node="n1"))
    assert len(pool) == 1, "an error closes its stream, not the connection"
    pool.close()
    await deferLater(reactor, 0.05, lambda: None)


@pytest_twisted.ensureDeferred
async def test_a_real_client_agent_lives_on_our_port(tmp_path: Path) -> None:
    """Our gossip, our listener: it registers itself, reads through its own HTTP, and gets Consul's errors."""
    gossip, own_serf, own_http, unused = free_ports(4)
    server = make_server(reactor, leads=False)
    service = RpcService(reactor, HOST, 0, server)
    service.startService()
    server.rpc_address = f"{HOST}:{service.port}"
    tags = agent_tags(Facts(service.port, unused))
    transport = GossipTransport(reactor, HOST, gossip)
    check = check_lan_merge("s1", server.node_id, HOST, "dc1")
    leader: Leader

    def tell(event: Any) -> None:
        leader.member_event(event)

    members = MemberlistConfig.lan(name="s1", advertise=(HOST, gossip), delegate_versions=(2, 5, 4))
    settings = SerfConfig.consul(tags=tags)
    serf = Serf(settings, members, reactor, Random(1), transport, tell, check_merge=check)
    transport.attach(serf.memberlist)
    transport.startService()
    leader = Leader("dc1", "s1", server.log, serf, reactor, on_ready=lambda: setattr(server, "is_leader", True))
    serf.start()
    leader.start()

    command = ["consul", "agent", "-node", "c1", "-bind", CLIENT, "-client", CLIENT, "-data-dir", str(tmp_path / "c1")]
    command += ["-serf-lan-port", str(own_serf), "-http-port", str(own_http), "-dns-port", "-1"]
    command += ["-retry-join", f"{HOST}:{gossip}", "-log-level", "debug"]
    program = Program(command, tmp_path / "client.log", tmp_path)
    try:
        await appears(lambda: "Synced node info" in program.output)
        base = f"http://{CLIENT}:{own_http}/v1"
        status, body = await deferToThread(ask, f"{base}/catalog/nodes")
        assert (status, sorted(node["Node"] for node in json.loads(body))) == (200, ["c1", "s1"])
        status, body = await deferToThread(ask, f"{base}/status/leader")
        assert (status, json.loads(body)) == (200, server.rpc_address)
        status, body = await deferToThread(ask, f"{base}/catalog/nodes?dc=nowhere")
        assert (status, body) == (500, b"rpc error making call: No path to datacenter")
        waiting = deferToThread(ask, f"{base}/health/service/web?index={server.store.index}&wait=20s")
        await deferLater(reactor, 0.3, lambda: None)
        register(server, "n1", "web")
        status, body = await waiting
        assert [row["Node"]["Node"] for row in json.loads(body)] == ["n1"]
        await appears(lambda: server.store.catalog.nodes_table.get("c1") is not None)
        errors = [line for line in program.output.splitlines() if "[ERROR]" in line]
        assert all("No path to datacenter" in line or "No known Consul servers" in line for line in errors), errors
    finally:
        program.process.kill()
        await deferToThread(program.process.wait, 20)
        leader.stop()
        serf.shutdown()
        await service.stopService()
        await maybeDeferred(transport.stopService)


CLIENT = "127.33.0.11"


class Facts:
    """What we gossip here."""

    datacenter = "dc1"
    node_id = "11111111-1111-1111-1111-111111111111"
    server = bootstrap = True
    bootstrap_expect = 0
    uses_tls = False
    advertise_reconnect_timeout_s = 0.0
    acl = SimpleNamespace(enabled=False)

    def __init__(self, port: int, wan: int) -> None:
        self.ports = SimpleNamespace(server=port, serf_wan=wan)


def ask(url: str) -> tuple[int, bytes]:
    """GET; status and body."""
    try:
        with urllib.request.urlopen(url, timeout=30) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


async def appears(check: Callable[[], Any]) -> None:
    """Wait until `check()`."""
    for _ in range(300):
        if check():
            return
        await deferLater(reactor, 0.1, lambda: None)
    raise AssertionError("not within 30 s")
