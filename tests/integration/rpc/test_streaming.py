"""Streaming with a real gRPC client (grpcio), as newer client agents dial it: the byte 8 first, also inside of TLS.

`Forward` stands for Go's dialer: a local port whose connections get that byte in front. The client runs in threads.
"""

import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from consulpy.rpc.net import Dialer, RpcService
from consulpy.tls.authority import create_authority, create_certificate
from consulpy.tls.contexts import Tls
from consulpy.tls.settings import TlsSettings
from tests.harness.consul_proto import Event, SubscribeRequest
from tests.harness.grpc import SUBSCRIBE, told
from tests.harness.rpc import info, make_server, register

HOST = "127.88.9.1"
#: Generous: the machine may be busy.
PATIENCE_S = 60.0


class _Side(Protocol):
    """One side of a forwarded connection."""

    transport: Any

    def __init__(self) -> None:
        self.other: _Side | None = None
        self._early = b""

    def join(self, other: "_Side") -> None:
        self.other, early, self._early = other, self._early, b""
        other.transport.registerProducer(self.transport, True)
        other.transport.write(early)

    def dataReceived(self, data: bytes) -> None:
        if self.other is None:
            self._early += data
        else:
            self.other.transport.write(data)

    def connectionLost(self, reason: Any = None) -> None:
        if self.other is not None:
            self.other.transport.abortConnection()


class Forward(Factory):
    """Forwards each connection to `port`, with the byte 8 in front; `tls`: inside of TLS, which byte 3 begins."""

    def __init__(self, port: int, tls: Tls | None = None) -> None:
        self._server = replace(info(port, host=HOST), use_tls=tls is not None)
        self._dialer = Dialer(reactor, "", tls=tls)

    def buildProtocol(self, addr: Any) -> _Side:
        near = _Side()
        self._dialer.connect(self._server, _Side).addCallback(self._connected, near)
        return near

    def _connected(self, far: _Side, near: _Side) -> None:
        far.transport.write(b"\x08")
        far.join(near)
        near.join(far)


class Site:
    """A server with streaming, and the address of the forward to it."""

    def __init__(self, tls: Tls | None = None) -> None:
        loop: Any = reactor
        self.server = make_server(reactor)
        self.service = RpcService(reactor, HOST, 0, self.server, tls=tls)
        self.service.startService()
        self.listener = loop.listenTCP(0, Forward(self.service.port, tls), interface=HOST)
        self.address = f"{HOST}:{self.listener.getHost().port}"

    async def stop(self) -> None:
        await self.service.stopService()
        await self.listener.stopListening()


@asynccontextmanager
async def site(**options: Any) -> AsyncIterator[Site]:
    made = Site(**options)
    try:
        yield made
    finally:
        await made.stop()


class Client:
    """One channel of grpcio, used from threads."""

    def __init__(self, address: str) -> None:
        self.channel = grpc.insecure_channel(address)
        self._subscribe = self.channel.unary_stream(
            SUBSCRIBE, request_serializer=SubscribeRequest.SerializeToString, response_deserializer=Event.FromString
        )

    def subscribe(self, **fields: Any) -> Any:
        return self._subscribe(SubscribeRequest(**{"Topic": 1, "Key": "web", **fields}), timeout=PATIENCE_S)


def until(events: Iterator[Any], is_last: Callable[[tuple[Any, ...]], bool]) -> list[Any]:
    """Events up to one; in a thread."""
    found: list[Any] = []
    for event in events:
        found += told([event])
        if is_last(found[-1]):
            return found
    raise AssertionError(f"it ended after {found}")


def is_end(event: tuple[Any, ...]) -> bool:
    return event[0] == "end"


def error_of(events: Iterator[Any]) -> tuple[grpc.StatusCode, str]:
    """Code and text that a subscription ends with; in a thread."""
    try:
        for _ in events:
            pass
    except grpc.RpcError as error:
        return error.code(), error.details()  # type: ignore[attr-defined]
    raise AssertionError("it ended without an error")


@pytest_twisted.ensureDeferred
async def test_a_real_client_gets_the_snapshot_and_every_change() -> None:
    async with site() as here:
        register(here.server, "a", "web")
        client = await deferToThread(Client, here.address)
        events = await deferToThread(client.subscribe)
        assert (await deferToThread(until, events, is_end))[0] == ("+", "a", "web")
        for number in range(50):
            register(here.server, f"n{number}", "web")
            await deferLater(reactor, 0)
        found = await deferToThread(until, events, lambda each: "n49" in str(each))
        flat = [inner for each in found for inner in (each if isinstance(each, list) else [each])]
        assert sorted(node for _, node, _ in flat) == sorted(f"n{number}" for number in range(50)), "each one once"
        await deferToThread(client.channel.close)


@pytest_twisted.ensureDeferred
async def test_inside_of_tls_too_which_the_server_may_demand(tmp_path: Path) -> None:
    authority = create_authority(10)
    name = "server.dc1.consul"
    server = create_certificate(authority, "server", name, names=[name], days=10)
    for file, data in (("ca", authority.certificate), ("cert", server.certificate), ("key", server.key)):
        (tmp_path / file).write_bytes(data)
    paths = {f"{file}_file": str(tmp_path / file) for file in ("ca", "cert", "key")}
    settings = TlsSettings(**paths, verify_outgoing=True, verify_incoming_rpc=True)
    async with site(tls=Tls(settings)) as here:
        register(here.server, "a", "web")
        client = await deferToThread(Client, here.address)
        events = await deferToThread(client.subscribe)
        assert (await deferToThread(until, events, is_end))[0] == ("+", "a", "web")
        register(here.server, "b", "web")
        assert await deferToThread(until, events, lambda _: True) == [("+", "b", "web")]
        await deferToThread(client.channel.close)


@pytest_twisted.ensureDeferred
async def test_many_clients_with_many_subscriptions_see_the_same() -> None:
    async with site() as here:
        for number in range(30):
            register(here.server, f"n{number}", "web")
        clients = [await deferToThread(Client, here.address) for _ in range(4)]
        streams = [await deferToThread(client.subscribe) for client in clients for _ in range(10)]
        for events in streams:
            assert len(await deferToThread(until, events, is_end)) == 31
        register(here.server, "last", "web")
        for events in streams:
            assert await deferToThread(until, events, lambda _: True) == [("+", "last", "web")]
        assert len(here.service.factory.subscriptions) == 1
        for client in clients:
            await deferToThread(client.channel.close)
        await eventually(lambda: not len(here.service.factory.subscriptions))
        assert here.server.waiting == 0


async def eventually(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, "it did not happen"
        await deferLater(reactor, 0.02)


@pytest_twisted.ensureDeferred
async def test_a_cancelled_subscription_is_forgotten_and_its_connection_goes_on() -> None:
    async with site() as here:
        register(here.server, "a", "web")
        client = await deferToThread(Client, here.address)
        events = await deferToThread(client.subscribe)
        await deferToThread(until, events, is_end)
        assert len(here.service.factory.subscriptions) == 1
        await deferToThread(events.cancel)
        await eventually(lambda: not len(here.service.factory.subscriptions))
        again = await deferToThread(client.subscribe)
        assert (await deferToThread(until, again, is_end))[0] == ("+", "a", "web")
        await deferToThread(client.channel.close)


@pytest_twisted.ensureDeferred
async def test_a_large_service_comes_whole_through_small_windows() -> None:
    async with site() as here:
        for number in range(1500):
            register(here.server, f"n{number:04}", "web")
        client = await deferToThread(Client, here.address)
        events = await deferToThread(client.subscribe)
        await deferLater(reactor, 0.2)  # the client reads nothing yet
        found = await deferToThread(until, events, is_end)
        assert len(found) == 1501
        assert len({node for _, node, *_ in found[:-1]}) == 1500
        await deferToThread(client.channel.close)


@pytest_twisted.ensureDeferred
async def test_errors_have_the_codes_and_texts_that_clients_look_at() -> None:
    async with site() as here:
        client = await deferToThread(Client, here.address)
        no_path = await deferToThread(error_of, await deferToThread(client.subscribe, Datacenter="dc9"))
        assert no_path == (grpc.StatusCode.UNKNOWN, "No path to datacenter")
        code, text = await deferToThread(error_of, await deferToThread(client.subscribe, PeerName="\u00f6st"))
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert 'PeerName "\u00f6st"' in text, "escaped as grpc-message wants it"
        other = client.channel.unary_unary("/subscribe.StateChangeSubscription/Other")
        with pytest.raises(grpc.RpcError) as raised:
            await deferToThread(other, b"", timeout=PATIENCE_S)
        assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED  # type: ignore[attr-defined]
        await deferToThread(client.channel.close)


@pytest_twisted.ensureDeferred
async def test_a_server_that_stops_ends_subscriptions_at_once() -> None:
    async with site() as here:
        client = await deferToThread(Client, here.address)
        events = await deferToThread(client.subscribe)
        await deferToThread(until, events, is_end)
        ended = deferToThread(error_of, events)
        await here.service.stopService()
        code, _ = await ended
        assert code is grpc.StatusCode.UNAVAILABLE
        await deferToThread(client.channel.close)


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    "garbage",
    [b"\x08GET / HTTP/1.1\r\n\r\n", b"\x08\x00\xff\x01", b"\x08PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 200_000],
)
async def test_garbage_after_the_byte_closes_that_connection_alone(garbage: bytes) -> None:
    async with site() as here:
        closed: Deferred[None] = Deferred()

        class Raw(Protocol):
            def connectionLost(self, reason: Any = None) -> None:
                closed.callback(None)

        raw = await TCP4ClientEndpoint(reactor, HOST, here.service.port).connect(Factory.forProtocol(Raw))
        raw.transport.write(garbage)
        await closed
        client = await deferToThread(Client, here.address)
        events = await deferToThread(client.subscribe)
        assert is_end((await deferToThread(until, events, is_end))[-1])
        await deferToThread(client.channel.close)
