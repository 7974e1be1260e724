"""The listeners: real sockets on free loopback ports, against the same names resolved by the full path."""

import socket
import struct
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ClientCreator, DatagramProtocol, Protocol, connectionDone
from twisted.names import dns
from twisted.python.failure import Failure

from consulpy.agent.build.cache_validators import of_state
from consulpy.dns.config import DnsConfig
from consulpy.dns.transport import DnsService
from consulpy.local.tokens import AgentTokens
from tests.fakes.caller import FakeCaller
from tests.harness import catalog

#: The time of day, which is the serial of the zone: answers are compared.
NOW_S = 1_700_000_000.0
PACKET = catalog.packet("plain.node.consul", dns.A)


class Udp(DatagramProtocol):
    """A client: `ask` sends a packet and waits for one."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._waiting: Deferred[bytes] | None = None

    def ask(self, packet: bytes) -> "Deferred[bytes]":
        assert self.transport is not None
        self._waiting = Deferred().addTimeout(5, reactor)  # type: ignore[arg-type]
        self.transport.write(packet, ("127.0.0.1", self._port))
        return self._waiting

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(datagram)


class Tcp(Protocol):
    """A client: collects messages, until `wanted` have come or the connection ends."""

    def __init__(self) -> None:
        self.buffer = b""
        self.done: Deferred[list[bytes]] = Deferred().addTimeout(5, reactor)  # type: ignore[arg-type]
        self.wanted = 1

    def messages(self) -> list[bytes]:
        found, rest = [], self.buffer
        while len(rest) >= 2 and len(rest) >= 2 + struct.unpack("!H", rest[:2])[0]:
            size = struct.unpack("!H", rest[:2])[0]
            found.append(rest[2 : 2 + size])
            rest = rest[2 + size :]
        return found

    def dataReceived(self, data: bytes) -> None:
        self.buffer += data
        if len(self.messages()) >= self.wanted and not self.done.called:
            self.done.callback(self.messages())

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self.done.called:
            self.done.callback(self.messages())


@pytest.fixture
def caller() -> FakeCaller:
    return FakeCaller("10.0.0.9", catalog.NODES + catalog.MANY)


@pytest.fixture
def service(caller: FakeCaller) -> Iterator[DnsService]:
    validator = of_state(caller.server, DnsConfig, AgentTokens())  # type: ignore[arg-type]
    made = DnsService(reactor, DnsConfig(port=0), caller, rng=Random(1), validator=validator, wall_s=lambda: NOW_S)
    made.startService()
    yield made
    pytest_twisted.blockon(made.stopService())


@pytest.fixture
def udp(service: DnsService) -> Iterator[Udp]:
    client = Udp(service.addresses()[0][1])
    port = reactor.listenUDP(0, client, interface="127.0.0.1")  # type: ignore[attr-defined]
    yield client
    pytest_twisted.blockon(port.stopListening())


def connect(service: DnsService) -> "Deferred[Tcp]":
    return ClientCreator(reactor, Tcp).connectTCP("127.0.0.1", service.addresses()[0][1])


def framed(*packets: bytes) -> bytes:
    return b"".join(struct.pack("!H", len(packet)) + packet for packet in packets)


@pytest_twisted.ensureDeferred
async def test_the_second_answer_comes_from_the_cache(udp: Udp, caller: FakeCaller, service: DnsService) -> None:
    first = await udp.ask(PACKET)
    reads = len(caller.calls)

    second = await udp.ask(b"\x99\x99" + PACKET[2:])

    assert second == b"\x99\x99" + first[2:]
    assert len(caller.calls) == reads
    assert service.cache.hits == 1


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("name", ["plain.node.consul", "new.node.consul", "web.service.consul", "new.service.consul"])
async def test_a_write_invalidates_cached_answers(udp: Udp, caller: FakeCaller, name: str) -> None:
    """Whatever changes the answer: an address, a registration, a check of the node, the end of the service."""
    packet = catalog.packet(name, dns.A)
    node, service = name.split(".")[0].replace("web", "plain"), name.split(".")[0].replace("plain", "web")
    if "service" not in name:
        changes = [{"Address": "10.99.0.1"}, {"Address": "10.99.0.2"}]
    else:
        check = {"CheckID": "k", "Name": "K"}
        changes = [
            {"Address": "10.99.0.1", "Service": {"Service": service}},
            {"Address": "10.99.0.2"},
            {"Address": "10.99.0.2", "Check": {**check, "Status": "critical"}},
            {"Address": "10.99.0.2", "Check": {**check, "Status": "passing"}},
            {"Address": "10.99.0.2", "Service": {"Service": service, "Address": "10.99.0.3"}},
        ]
    plain = DnsService(reactor, DnsConfig(port=0), caller, rng=Random(1), wall_s=lambda: NOW_S)
    plain.startService()
    uncached = Udp(plain.addresses()[0][1])
    port = reactor.listenUDP(0, uncached, interface="127.0.0.1")  # type: ignore[attr-defined]
    seen = {await udp.ask(packet)}
    for change in changes:
        caller.server.register(Node=node, **change)

        answer = await udp.ask(packet)

        assert answer == await udp.ask(packet) == await uncached.ask(packet), change
        seen.add(answer)
    caller.server.deregister(Node=node)
    assert await udp.ask(packet) == await uncached.ask(packet)
    assert len(seen) > 2
    await port.stopListening()
    await plain.stopService()


@pytest_twisted.ensureDeferred
async def test_cached_answers_equal_those_of_the_full_path(udp: Udp) -> None:
    """Every name of the catalog that has one answer only."""
    for name in catalog.NAMES:
        for kind in (dns.A, dns.SRV, dns.TXT):
            packet = catalog.packet(name.replace("@", "consul"), kind)
            assert await udp.ask(packet) == await udp.ask(packet), name


@pytest_twisted.ensureDeferred
async def test_malformed_packets_do_not_affect_others(udp: Udp, service: DnsService) -> None:
    assert udp.transport is not None
    for data in (b"", b"x", bytes(12), b"\xff" * 40, PACKET[:20]):
        udp.transport.write(data, ("127.0.0.1", service.addresses()[0][1]))

    answer = await udp.ask(b"\x42\x42" + PACKET[2:])
    while answer[:2] != b"\x42\x42":  # the refusals come first
        answer = await udp.ask(b"\x42\x42" + PACKET[2:])

    assert answer[3] & 0xF == dns.OK


@pytest_twisted.ensureDeferred
async def test_tcp_answers_fragmented_questions(service: DnsService) -> None:
    client = await connect(service)
    client.wanted = 3
    data = framed(PACKET, catalog.packet("many.service.consul", dns.SRV), b"\x77\x77" + PACKET[2:])

    assert client.transport is not None
    for at in range(0, len(data), 7):
        client.transport.write(data[at : at + 7])
    answers = await client.done

    assert [answer[:2] for answer in answers] == [b"\x01\x23", b"\x01\x23", b"\x77\x77"]
    assert int.from_bytes(answers[1][6:8], "big") == 40
    client.transport.loseConnection()


@pytest_twisted.ensureDeferred
async def test_tcp_closes_on_an_invalid_message(service: DnsService) -> None:
    client = await connect(service)
    assert client.transport is not None
    client.transport.write(framed(b"short"))

    assert await client.done == []


@pytest_twisted.ensureDeferred
async def test_more_tcp_questions_than_the_pending_limit_are_all_answered(service: DnsService) -> None:
    client = await connect(service)
    client.wanted = 1000
    assert client.transport is not None
    client.transport.write(framed(*[PACKET] * 1000))

    assert len(await client.done) == 1000
    client.transport.loseConnection()


@pytest_twisted.ensureDeferred
async def test_an_error_while_answering_is_servfail(
    udp: Udp, caller: FakeCaller, service: DnsService, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("a bug")

    monkeypatch.setattr(caller, "call", broken)

    answer = await udp.ask(PACKET)

    assert answer[3] & 0xF == dns.ESERVER
    assert answer[12:] == PACKET[12:]
    assert service.counters["failed"] == 1
    assert service.pending == 0


@pytest_twisted.ensureDeferred
async def test_new_settings_apply_to_the_next_question(udp: Udp, service: DnsService) -> None:
    await udp.ask(PACKET)

    service.reconfigure(DnsConfig(port=0, node_ttl_s=33))

    message = dns.Message()
    message.fromStr(await udp.ask(PACKET))
    assert message.answers[0].ttl == 33


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
async def test_recursion_uses_the_client_s_transport(tcp: bool, caller: FakeCaller) -> None:
    upstream = DnsService(reactor, DnsConfig(port=0, domain="example."), caller, rng=Random(1))
    upstream.startService()
    address = f"127.0.0.1:{upstream.addresses()[0][1]}"
    ours = DnsService(reactor, DnsConfig(port=0, recursors=(address,)), caller, rng=Random(2))
    ours.startService()
    packet = catalog.packet("plain.node.example", dns.A)
    try:
        if tcp:
            client = await connect(ours)
            assert client.transport is not None
            client.transport.write(framed(packet))
            (answer,) = await client.done
            client.transport.loseConnection()
        else:
            asking = Udp(ours.addresses()[0][1])
            port = reactor.listenUDP(0, asking, interface="127.0.0.1")  # type: ignore[attr-defined]
            answer = await asking.ask(packet)
            await port.stopListening()
    finally:
        await ours.stopService()
        await upstream.stopService()

    message = dns.Message()
    message.fromStr(answer)
    assert (message.id, str(message.answers[0].payload.dottedQuad())) == (0x0123, "10.1.0.1")


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM], ids=["udp", "tcp"])
async def test_a_closed_port_of_a_recursor_fails_immediately(kind: int, caller: FakeCaller) -> None:
    with socket.socket(socket.AF_INET, kind) as free:
        free.bind(("127.0.0.1", 0))
        closed = free.getsockname()[1]
    config = DnsConfig(port=0, recursors=(f"127.0.0.1:{closed}",), recursor_timeout_s=4.5)
    ours = DnsService(reactor, config, caller, rng=Random(2))
    started = reactor.seconds()  # type: ignore[attr-defined]
    done: Deferred[bytes] = ours._exchange(("127.0.0.1", closed), PACKET, kind == socket.SOCK_DGRAM, 4.5)

    with pytest.raises(Exception, match="refused"):
        await done

    assert reactor.seconds() - started < 4  # type: ignore[attr-defined]
