"""Port 8300 in bad weather, over real sockets: who misbehaves is told so or closed with one line; all others go on.

Source: docs/wire/rpc.md 1, 2, 16. `Site` is a server with a well-behaved caller beside the offenders.
"""

import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.logger import LogLevel, formatEvent, globalLogPublisher

from consulpy.codec.msgpack import pack
from consulpy.rpc.endpoints._result_filters import ROWS_AT_ONCE
from consulpy.rpc.limits.memory_budget import REPLIES_MAX_BYTES, MemoryBudget
from consulpy.rpc.messages import request
from consulpy.rpc.net import Dialer, RpcService, connection
from consulpy.rpc.net.listener import CONCURRENT_SNAPSHOTS_MAX
from consulpy.rpc.pool import ConnectionPool
from consulpy.rpc.yamux import HEADER, WINDOW, Flag, Type, frame
from tests.harness.rpc import info, make_server, register

HOST, FRIEND, OFFENDER = "127.88.1.1", "127.88.1.2", "127.88.1.3"
LIST_NODES = pack({"Datacenter": "dc1", "AllowStale": True})
SYN = frame(Type.WINDOW_UPDATE, Flag.SYN, 1, 0)


class Raw(Protocol):
    """An offender: it writes what it is told to, and keeps what comes back."""

    transport: Any

    def __init__(self) -> None:
        self.received = bytearray()
        self.is_closed = False

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Any = None) -> None:
        self.is_closed = True


class Site:
    """A server, what it logs, and a caller who does nothing wrong."""

    def __init__(self, **options: Any) -> None:
        self.server = make_server(reactor)
        self.service = RpcService(reactor, HOST, 0, self.server, **options)
        self.service.startService()
        self.pool = ConnectionPool(Dialer(reactor, FRIEND), reactor)
        self.lines: list[str] = []
        self.offenders: list[Raw] = []

    def observe(self, event: Any) -> None:
        if event["log_namespace"].startswith("consulpy.rpc") and event["log_level"] >= LogLevel.warn:
            self.lines.append(formatEvent(event))

    async def served(self) -> Any:
        """A call of the well-behaved one, which has to be answered within 5 seconds."""
        call = self.pool.call(info(self.service.port, host=HOST), "Catalog.ListNodes", LIST_NODES)
        return await call.addTimeout(5, reactor)

    async def offend(self, data: bytes, source: str = OFFENDER) -> Raw:
        endpoint = TCP4ClientEndpoint(reactor, HOST, self.service.port, bindAddress=(source, 0))
        raw: Raw = await endpoint.connect(Factory.forProtocol(Raw))
        self.offenders.append(raw)
        raw.transport.write(data)
        return raw


@asynccontextmanager
async def site(**options: Any) -> AsyncIterator[Site]:
    found = Site(**options)
    globalLogPublisher.addObserver(found.observe)
    try:
        yield found
        await found.served()
    finally:
        found.pool.close()
        for raw in found.offenders:
            raw.transport.abortConnection()
        await found.service.stopService()
        await until(lambda: not found.service.factory.protocols)
        globalLogPublisher.removeObserver(found.observe)
    assert found.service.factory.budget.bytes == 0, "nothing is kept for who is gone"


async def until(is_true: Any, within_s: float = 60.0) -> None:
    for _ in range(int(within_s / 0.005)):
        if is_true():
            return
        await deferLater(reactor, 0.005, lambda: None)
    raise AssertionError("it did not happen in time")


YAMUX = b"\x04"
STREAM = YAMUX + SYN


@pytest.mark.parametrize(
    ("sent", "line"),
    [
        (b"\x09zork", "unrecognized RPC byte: 9"),
        (b"GET / HTTP/1.1\r\n\r\n", "unrecognized RPC byte: 71"),
        (b"\x16\x03\x01", "unrecognized RPC byte: 22"),
        (b"\x01zork", "Raft"),
        (YAMUX + b"zork" * 10, "yamux: version 122"),
        (YAMUX + HEADER.pack(0, 9, 0, 1, 0), "yamux: unknown frame type 9"),
        (STREAM + SYN, "opened twice"),
        (STREAM + frame(Type.DATA, 0, 1, 2**32 - 1), "4294967295 bytes into a window of 262144"),
        (STREAM + frame(Type.DATA, 0, 1, WINDOW + 1), "262145 bytes into a window of 262144"),
        (STREAM + frame(Type.WINDOW_UPDATE, Flag.FIN, 1, 0) * 2, "a second FIN|"),
        (b"\x00\xc1", "msgpack"),
        (b"\x00\x01\x80", "a map was expected"),
        (b"\x00\xdd\xff\xff\xff\xff", "exceeds"),
        (b"\x00" + b"\x91" * 5000, "StackError"),
        (b"\x05zork", "SnapshotRequest"),
        (b"\x05\xc1", "unrecognized|asked nothing"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_garbage_closes_its_connection_with_one_line(sent: bytes, line: str) -> None:
    async with site(handshake_timeout_s=0.2) as found:
        raw = await found.offend(sent)
        if line.startswith("a second FIN"):  # the stream was closed at once: the second one is for no stream
            await until(lambda: len(raw.received) >= 24)
            assert found.lines == []
            return
        await until(lambda: raw.is_closed)
        assert len(found.lines) == 1
        assert any(part in found.lines[0] for part in line.split("|"))
        assert OFFENDER in found.lines[0]


@pytest.mark.parametrize(
    "sent",
    [YAMUX, YAMUX + SYN[:7], STREAM, STREAM + frame(Type.DATA, 0, 1, 100) + b"\x82\xa3Seq", b"\x00\x82\xa3Seq"],
    ids=["the first byte", "half a frame", "a stream", "half a call", "half a plain call"],
)
@pytest_twisted.ensureDeferred
async def test_half_of_something_may_wait_and_costs_no_line(sent: bytes) -> None:
    """As on a real server: only who says nothing at all is closed by the handshake timeout."""
    async with site(handshake_timeout_s=0.1) as found:
        raw = await found.offend(sent)
        await deferLater(reactor, 0.2, lambda: None)
        assert not raw.is_closed
        assert found.lines == []


@pytest_twisted.ensureDeferred
async def test_who_says_nothing_is_closed_after_the_handshake_timeout() -> None:
    async with site(handshake_timeout_s=0.1) as found:
        raw = await found.offend(b"")
        await found.served()
        await until(lambda: raw.is_closed)
        assert len(found.lines) == 1
        assert "said nothing" in found.lines[0]


@pytest_twisted.ensureDeferred
async def test_refused_calls_are_one_line_and_their_connection_goes_on() -> None:
    """Unknown methods and wrong types; the other calls of the connection are answered."""
    async with site() as found:
        calls = b"".join(
            frame(Type.DATA, Flag.SYN, number, len(call)) + call
            for number, call in (
                (1, request(1, "Catalog.Nope", b"\x80")),
                (3, request(2, "Catalog.ListNodes", pack({"Datacenter": 5}))),
                (5, request(3, "Status.Ping", b"\x80")),
            )
        )
        raw = await found.offend(YAMUX + calls)
        await until(lambda: b"Status.Ping\x80" in raw.received)
        assert b"rpc: can't find method Catalog.Nope" in raw.received
        assert b"readContainerLen: Unrecognized descriptor byte: hex: 5, dec: 5" in raw.received
        assert not raw.is_closed
        (line,) = found.lines
        assert "Catalog.Nope" in line


@pytest_twisted.ensureDeferred
async def test_the_101st_connection_of_a_client_is_closed_at_once_with_one_line() -> None:
    async with site() as found:
        many = await gatherResults([Deferred.fromCoroutine(found.offend(YAMUX)) for _ in range(100)])
        await until(lambda: len(found.service.factory.protocols) == 100)
        one_more = await found.offend(YAMUX)
        await until(lambda: one_more.is_closed)
        assert len(found.lines) == 1
        assert "more than 100 connections from one client (limits.rpc_max_conns_per_client)" in found.lines[0]
        assert not any(raw.is_closed for raw in many)
        await found.offend(YAMUX, "127.88.1.4")  # another client has its own hundred
        many[0].transport.loseConnection()
        await until(lambda: len(found.service.factory.protocols) == 100)
        again = await found.offend(YAMUX + frame(Type.PING, Flag.SYN, 0, 7))
        await until(lambda: again.received)
        assert len(found.lines) == 1


@pytest_twisted.ensureDeferred
async def test_the_limit_of_connections_is_configurable_also_while_it_runs() -> None:
    async with site(connections_per_client=2) as found:
        found.service.factory.limit = 1
        await found.offend(YAMUX)
        refused = await found.offend(YAMUX)
        await until(lambda: refused.is_closed)
        found.service.factory.limit = 0
        free = await gatherResults([Deferred.fromCoroutine(found.offend(YAMUX)) for _ in range(5)])
        await found.served()
        assert not any(raw.is_closed for raw in free)
        assert len(found.lines) == 1


@pytest.fixture
def many_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 8192)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest_twisted.ensureDeferred
async def test_two_thousand_idle_connections_disturb_nobody(many_files: None) -> None:
    async with site() as found:
        for client in range(20):
            source = f"127.89.1.{client + 1}"
            await gatherResults([Deferred.fromCoroutine(found.offend(STREAM, source)) for _ in range(100)])
            await found.served()
        await until(lambda: len(found.service.factory.protocols) == 2001)
        for _ in range(20):
            await found.served()
        assert found.lines == []
        assert found.service.factory.budget.bytes < 2001 * 8192


def big_site_calls(streams: int) -> bytes:
    """A call for everything on each of many streams."""
    calls = b""
    for number in range(streams):
        call = request(number, "Catalog.ListNodes", LIST_NODES)
        calls += frame(Type.DATA, Flag.SYN, 2 * number + 1, len(call)) + call
    return calls


@pytest_twisted.ensureDeferred
async def test_a_caller_that_grants_no_window_has_its_answers_wait_unmade() -> None:
    """300 answers of 1 MB would be 300 MB; few more than its room are made."""
    async with site() as found:
        for number in range(5000):
            register(found.server, f"node-{number:0100}")
        answer = len(pack(await found.served()))
        assert answer > 1_000_000
        raw = await found.offend(YAMUX + big_site_calls(300))
        budget = found.service.factory.budget
        await until(lambda: budget.bytes > REPLIES_MAX_BYTES)
        for _ in range(5):
            await found.served()
        assert budget.bytes < REPLIES_MAX_BYTES + 2 * answer
        assert len(raw.received) < 300 * (WINDOW + 100), "each stream gets its window, and no more"
        assert not raw.is_closed
        # now it takes one answer: another one is made
        got = len(raw.received)
        raw.transport.write(frame(Type.WINDOW_UPDATE, 0, 1, 2**31))
        await until(lambda: len(raw.received) > got + answer - 2 * WINDOW)
        assert found.lines == []


@pytest_twisted.ensureDeferred
async def test_a_caller_that_does_not_read_at_all_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "WRITE_TIMEOUT_S", 0.3)
    async with site() as found:
        for number in range(5000):
            register(found.server, f"node-{number:0100}")
        raw = await found.offend(b"")
        raw.transport.pauseProducing()
        raw.transport.write(YAMUX + big_site_calls(60))
        budget = found.service.factory.budget
        await until(lambda: found.lines)
        assert budget.bytes < 2 * REPLIES_MAX_BYTES
        assert len(found.lines) == 1
        assert "did not read for too long" in found.lines[0]


@pytest_twisted.ensureDeferred
async def test_a_plain_caller_that_does_not_read_gets_no_more_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consulpy.rpc.net.listener.WRITE_TIMEOUT_S", 0.3)
    async with site() as found:
        for number in range(5000):
            register(found.server, f"node-{number:0100}")
        raw = await found.offend(b"")
        raw.transport.pauseProducing()
        asked = found.server.calls
        raw.transport.write(b"\x00" + b"".join(request(n, "Catalog.ListNodes", LIST_NODES) for n in range(500)))
        await until(lambda: found.lines)
        assert found.server.calls - asked < 20, "its other calls wait unread"
        assert len(found.lines) == 1
        assert "did not read for too long" in found.lines[0]


@pytest_twisted.ensureDeferred
async def test_a_flood_of_costly_calls_in_one_piece_lets_others_in_between() -> None:
    """600 reads that filter 900 nodes each are seconds of work; another caller waits for a slice of it only."""
    costly = pack({"Datacenter": "dc1", "AllowStale": True, "Filter": 'Meta.nothing == "there" or Node == "none"'})
    calls = b"".join(
        frame(Type.DATA, Flag.SYN, 2 * number + 1, len(call)) + call
        for number in range(600)
        for call in [request(number, "Catalog.ListNodes", costly)]
    )
    async with site() as found:
        for number in range(ROWS_AT_ONCE - 100):  # of more rows each read is in slices itself
            register(found.server, f"node-{number}")
        await found.served()
        asked = found.server.calls
        raw = await found.offend(YAMUX + calls)
        await until(lambda: found.server.calls > asked)
        await found.served()
        assert found.server.calls - asked < 300
        assert not raw.is_closed


@pytest_twisted.ensureDeferred
async def test_when_all_together_keep_too_much_the_largest_is_cut_off() -> None:
    async with site() as found:
        found.service.factory.budget = MemoryBudget(each=2**30, total=8 * 2**20)
        for number in range(2000):
            register(found.server, f"node-{number:0100}")
        small = await found.offend(YAMUX + big_site_calls(3))
        await until(lambda: len(small.received) > 2 * WINDOW)
        large = await found.offend(YAMUX + big_site_calls(100), "127.88.1.5")
        await until(lambda: large.is_closed)
        await found.served()
        assert not small.is_closed
        assert len(found.lines) == 1
        assert "127.88.1.5" in found.lines[0]


@pytest_twisted.ensureDeferred
async def test_thousands_of_half_requests_are_ended_before_they_fill_the_memory() -> None:
    half = b"\x82\xa3Seq"
    async with site() as found:
        streams = b"".join(frame(Type.DATA, Flag.SYN, 2 * n + 1, len(half)) + half for n in range(5000))
        raw = await found.offend(YAMUX + streams)
        await until(lambda: raw.is_closed)
        assert len(found.lines) == 1
        assert "bytes wait for it or from it" in found.lines[0]


@pytest_twisted.ensureDeferred
async def test_noise_of_many_kinds_at_once_disturbs_nobody() -> None:
    rng = Random(5)
    async with site(connections_per_client=0, handshake_timeout_s=0.5) as found:
        for _ in range(150):
            first = bytes([rng.choice([0, 0, 4, 4, 4, 5, rng.randrange(256)])])
            await found.offend(first + rng.randbytes(rng.randrange(400)))
        for _ in range(10):
            await found.served()
        assert len(found.lines) <= 150
        assert not any("failed" in line for line in found.lines)


@pytest_twisted.ensureDeferred
async def test_snapshots_are_few_at_a_time() -> None:
    """Each may keep an archive in memory: who begins many and ends none is refused the next ones."""
    async with site() as found:
        begun = [await found.offend(b"\5") for _ in range(CONCURRENT_SNAPSHOTS_MAX + 2)]
        await until(lambda: sum(each.is_closed for each in begun) == 2)
        assert [line for line in found.lines if "snapshots at once" in line] == found.lines
        assert len(found.lines) == 2
        for each in begun:
            each.transport.loseConnection()
        await until(lambda: all(each.is_closed for each in begun))
        again = await found.offend(b"\5")
        await found.served()
        assert not again.is_closed
