"""Our client's end beside a real server. Source: docs/wire/rpc.md 18."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from consulpy.errors import RPCError
from consulpy.rpc.call import ClientCaller
from consulpy.rpc.pool import Pool
from consulpy.rpc.router import Router
from consulpy.rpc.transport import Dialer
from consulpy.serf.events import MemberEvent, MemberEventKind
from consulpy.serf.members import Member, Status
from consulpy.structs.options import QueryOptions
from consulpy.structs.requests import DeregisterRequest, Empty, RegisterRequest, ServiceRequest, SpecificRequest
from consulpy.structs.service import NodeService
from tests.scenarios.programs import Program

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
    program.process.wait(20)


def caller_to(port: int) -> tuple[ClientCaller, Pool]:
    pool = Pool(Dialer(reactor, HOST), reactor)
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
