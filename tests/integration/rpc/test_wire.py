"""Client and server over real sockets on loopback. Source: docs/wire/rpc.md 1, 3, 6, 16."""

import json
import re
from random import Random
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater

from consulpy.errors import NoServers, RPCError
from consulpy.rpc.call import ClientCaller
from consulpy.rpc.net import Dialer, RpcService
from consulpy.rpc.pool import ConnectionPool
from consulpy.rpc.router import Router
from consulpy.serf.events import MemberEvent, MemberEventKind
from consulpy.serf.members import Member, Status
from consulpy.structs.options import QueryOptions
from consulpy.structs.requests import Empty, Read, ServiceRequest, SpecificRequest
from tests.conftest import VECTORS
from tests.harness.rpc import HOST, info, make_server, register

SOURCE = "127.33.0.2"
SESSIONS = json.loads((VECTORS / "rpc" / "odd_input.json").read_text())["sessions"]


def server_member(port: int, name: str = "s1") -> Member:
    tags = {"role": "consul", "dc": "dc1", "port": str(port), "vsn": "2", "build": "1.8.7:", "id": name}
    return Member(name, HOST, 8301, tags, Status.ALIVE)


class Loopback:
    """A server that listens, and a client that knows it."""

    def __init__(self, **options: Any) -> None:
        self.server = make_server(reactor, **options)
        self.service = RpcService(reactor, HOST, 0, self.server)
        self.service.startService()
        self.lines: list[str] = []
        self.pool = ConnectionPool(Dialer(reactor, SOURCE), reactor)
        self.router = Router("dc1", reactor, Random(1), self.ping, lambda: 1)
        self.caller = ClientCaller(self.router, self.pool, reactor, Random(1), log=lambda _, text: self.say(text))
        self.know(self.service.port)

    def say(self, text: str) -> None:
        self.lines.append(text)

    def ping(self, server: Any) -> "Deferred[Any]":
        return self.pool.call(server, "Status.Ping", b"\x80")

    def know(self, port: int, name: str = "s1") -> None:
        self.router.member_event(MemberEvent(MemberEventKind.JOIN, [server_member(port, name)]))

    async def stop(self) -> None:
        self.pool.close()
        await self.service.stopService()
        await turns(5)


async def turns(count: int = 3) -> None:
    """Let the reactor turn."""
    for _ in range(count):
        await deferLater(reactor, 0.002, lambda: None)


async def failure_of(call: "Deferred[Any]") -> str:
    with pytest.raises(RPCError) as caught:
        await call
    return str(caught.value)


@pytest_twisted.ensureDeferred
async def test_a_client_reads_what_the_server_has() -> None:
    wire = Loopback()
    register(wire.server, "n1", "web")
    reply = await wire.caller.call("Health.ServiceNodes", ServiceRequest(datacenter="dc1", service_name="web"))
    leader = await wire.caller.call("Status.Leader", SpecificRequest(datacenter="dc1"))
    peers = await wire.caller.call("Status.Peers", SpecificRequest(datacenter="dc1"))
    assert [row.node.node for row in reply.nodes] == ["n1"]
    assert (reply.meta.index, reply.meta.known_leader) == (1, True)
    assert (leader, peers) == (f"{HOST}:8300", [f"{HOST}:8300"])
    assert len(wire.pool) == 1, "one connection for all calls"
    await wire.stop()


@pytest_twisted.ensureDeferred
async def test_a_blocking_read_waits_for_its_change_and_other_calls_do_not_wait_for_it() -> None:
    wire = Loopback()
    register(wire.server, "n1", "web")
    blocking = ServiceRequest(datacenter="dc1", service_name="web", options=QueryOptions(min_query_index=1))
    waiting = wire.caller.call("Health.ServiceNodes", blocking)
    await wire.caller.call("Status.Ping", Empty())
    assert not waiting.called
    register(wire.server, "n2", "web")
    reply = await waiting
    assert (reply.meta.index, len(reply.nodes)) == (2, 2)
    await wire.stop()


@pytest_twisted.ensureDeferred
async def test_cancelling_a_call_closes_its_stream_and_ends_the_wait_in_the_server() -> None:
    wire = Loopback()
    blocking = SpecificRequest(datacenter="dc1", options=QueryOptions(min_query_index=1))
    waiting = wire.caller.call("Catalog.ListNodes", blocking)
    await wire.caller.call("Status.Ping", Empty())
    assert len(wire.server.store.watchers) == 1
    waiting.cancel()
    with pytest.raises(CancelledError):
        await waiting
    await wire.caller.call("Status.Ping", Empty())
    await turns()
    assert len(wire.server.store.watchers) == 0
    await wire.stop()


@pytest_twisted.ensureDeferred
async def test_a_server_that_dies_during_a_call_is_an_eof_that_is_not_repeated() -> None:
    """docs/wire/rpc.md 6: a plain EOF goes to the user."""
    wire = Loopback()
    blocking = SpecificRequest(datacenter="dc1", options=QueryOptions(min_query_index=1))
    waiting = wire.caller.call("Catalog.ListNodes", blocking)
    await wire.caller.call("Status.Ping", Empty())
    await wire.service.stopService()
    assert await failure_of(waiting) == "rpc error making call: EOF"
    assert len(wire.pool) == 0
    await wire.stop()


@pytest_twisted.ensureDeferred
async def test_errors_are_shown_as_a_real_client_shows_them() -> None:
    wire = Loopback()
    read = Read(datacenter="nowhere")
    assert await failure_of(wire.caller.call("Catalog.ListNodes", SpecificRequest(datacenter="nowhere"))) == (
        "rpc error making call: No path to datacenter"
    )
    assert await failure_of(wire.caller.call("Catalog.ServiceNodes", ServiceRequest(datacenter="dc1"))) == (
        "rpc error making call: Must provide service name"
    )
    assert await failure_of(wire.pool.call(info(wire.service.port), "Nope.Nope", read.pack())) == (
        "rpc error making call: rpc: can't find service Nope.Nope"
    )
    assert await failure_of(
        wire.pool.call(info(wire.service.port), "ConnectCA.Roots", Read(datacenter="dc1").pack())
    ) == ("rpc error making call: Connect must be enabled in order to use this endpoint")
    await wire.stop()


@pytest_twisted.ensureDeferred
async def test_a_refused_connection_names_both_ends_and_followers_hear_of_the_leading_dial() -> None:
    wire = Loopback()
    port = wire.service.port
    await wire.service.stopService()
    calls = [wire.pool.call(info(port), "Status.Ping", b"\x80") for _ in range(2)]
    assert await failure_of(calls[0]) == (
        f"rpc error getting client: failed to get conn: dial tcp {SOURCE}:0->{HOST}:{port}: connect: connection refused"
    )
    assert await failure_of(calls[1]) == (
        "rpc error getting client: failed to get conn: rpc error: lead thread didn't get connection"
    )
    await wire.stop()


@pytest_twisted.ensureDeferred
async def test_without_a_server_the_client_says_so() -> None:
    wire = Loopback()
    wire.router.member_event(MemberEvent(MemberEventKind.FAILED, [server_member(wire.service.port)]))
    with pytest.raises(NoServers, match="No known Consul servers"):
        await wire.caller.call("Status.Ping", Empty())
    await wire.stop()


@pytest_twisted.ensureDeferred
async def test_a_failed_server_is_asked_last() -> None:
    wire = Loopback()
    wire.router.member_event(MemberEvent(MemberEventKind.LEAVE, [server_member(1)]))
    wire.know(1, "gone")
    wire.know(wire.service.port, "s1")
    await wire.caller.call("Status.Ping", Empty())
    assert [server.name for server in wire.router.servers] == ["s1", "gone"]
    assert len(wire.lines) == 1
    await wire.stop()


@pytest_twisted.ensureDeferred
async def test_large_replies_cross_several_windows() -> None:
    wire = Loopback()
    for number in range(3000):
        register(wire.server, f"node-{number:0100}")
    reply = await wire.caller.call("Catalog.ListNodes", SpecificRequest(datacenter="dc1"))
    assert len(reply.nodes) == 3000
    await wire.stop()


class Raw(Protocol):
    """A probe: writes bytes, keeps what comes back."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.closed: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Any = None) -> None:
        self.closed.callback(None)


async def probe(port: int, data: bytes) -> Raw:
    from twisted.internet.endpoints import TCP4ClientEndpoint

    raw: Raw = await TCP4ClientEndpoint(reactor, HOST, port, bindAddress=(SOURCE, 0)).connect(Factory.forProtocol(Raw))
    raw.transport.write(data)
    return raw


def reaction(first_byte: str, data: bytes, closed: bool) -> tuple[Any, ...]:
    """What matters of an answer: which frames, without the texts and values in them."""
    return (frames_in(data) if first_byte == "04" else bool(data)), closed


def frames_in(data: bytes) -> tuple[tuple[int, int, int, bool], ...]:
    """(type, flags, stream, whether it begins a good answer) of each yamux frame."""
    kinds, position = [], 0
    while position + 12 <= len(data):
        kind, flags = data[position + 1], int.from_bytes(data[position + 2 : position + 4], "big")
        stream, length = (int.from_bytes(data[position + at : position + at + 4], "big") for at in (4, 8))
        body = data[position + 12 : position + 12 + length] if kind == 0 else b""
        position += 12 + len(body)
        kinds.append((kind, flags, stream, body[:9].startswith(b"\x83\xa5Error\xa0")))
    return tuple(kinds)


def errors_in(data: bytes) -> list[bytes]:
    """The texts of all error answers."""
    return re.findall(rb"\xa5Error(?:[\xa1-\xbf]|\xda..)(.+?)\xa3Seq", data, re.DOTALL)


#: Silence is tested with a clock.
OURS = [number for number, session in enumerate(SESSIONS) if session["client_hex"]]


@pytest.mark.parametrize("number", OURS)
@pytest_twisted.ensureDeferred
async def test_odd_input_has_the_same_effect_as_on_a_real_server(number: int) -> None:
    """`odd_input.json`: the same frames come back, the same connections and streams are closed."""
    session = SESSIONS[number]
    sent, wanted = bytes.fromhex(session["client_hex"]), bytes.fromhex(session["server_hex"] or "")
    wire = Loopback()
    raw = await probe(wire.service.port, sent)
    # What the real server closed by itself; the captures end with our probe closing the others.
    ends = session.get("tcp_end") or [{"who": "client"}]
    closes = ends[0]["who"] == "server"
    if closes:
        raw.closed.addTimeout(5, reactor)
        await raw.closed
    else:
        for _ in range(1000):
            await turns(1)
            if len(frames_in(bytes(raw.received))) >= len(frames_in(wanted)):
                break
        await turns(5)  # and nothing more
    got = bytes(raw.received)
    assert _comparable(reaction(session["first_byte"], got, closes)) == _comparable(
        reaction(session["first_byte"], wanted, closes)
    )
    assert errors_in(got) == errors_in(wanted)
    raw.transport.abortConnection()
    await wire.stop()


def _comparable(reaction: tuple[Any, ...]) -> Any:
    """Frames by stream: the order between streams is chance; go away may or may not get out before the end."""
    frames, closed = reaction
    if isinstance(frames, bool):
        return frames, closed
    return sorted((stream, kind, flags, good) for kind, flags, stream, good in frames if kind != 3), closed
