"""The connection under streaming: what is no call of it, slow readers, many of them, and those that are gone."""

from random import Random
from typing import Any

import pytest
from twisted.logger import capturedLogs

from consulpy.errors import WireError
from consulpy.rpc.grpc import connection
from consulpy.rpc.grpc.connection import GrpcConnection
from consulpy.rpc.grpc.framing import framed
from consulpy.rpc.subscribe import feed, service
from tests.harness.grpc import InMemoryGrpc, subscribed, told, turn
from tests.harness.grpc import register_instance as register
from tests.harness.http import HttpHarness

RESET = (10, feed.RESET)


@pytest.fixture
def harness() -> HttpHarness:
    return HttpHarness()


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (
            "/subscribe.StateChangeSubscription/Other",
            "unknown method Other for service subscribe.StateChangeSubscription",
        ),
        (
            "/hashicorp.consul.internal.peerstream.PeerStreamService/StreamResources",
            "unknown service hashicorp.consul.internal.peerstream.PeerStreamService",
        ),
        ("nonsense", "malformed method name"),
    ],
)
def test_other_methods_are_unimplemented_in_go_s_words(harness: HttpHarness, path: str, text: str) -> None:
    client = InMemoryGrpc(harness.agent.server)
    status = client.status(client.call(framed(b""), path))
    assert status is not None
    assert status[0] == 12
    assert text in status[1]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", 13),
        (b"\0\0\0", 13),
        (framed(b"") + b"x", 13),
        (b"\1" + framed(b"")[1:], 12),
        (framed(b"\x0a"), 13),
        (framed(b"\x12\x02\xff\xfe"), 13),
        (framed(b"\x12" * 9), 13),
        (framed(b"\x10\x05"), 13),
        (framed(bytes(70_000)), 8),
    ],
    ids=[
        "nothing",
        "half a prefix",
        "more than one",
        "compressed",
        "cut short",
        "no UTF-8",
        "odd",
        "a number as text",
        "huge",
    ],
)
def test_garbage_in_a_call_is_an_error_of_that_call_alone(harness: HttpHarness, body: bytes, code: int) -> None:
    client = InMemoryGrpc(harness.agent.server)
    status = client.status(client.call(body))
    assert status is not None
    assert status[0] == code
    stream, events = subscribed(harness, client)
    assert told(events)[-1][0] == "end"
    assert client.status(stream) is None


@pytest.mark.parametrize(
    ("headers", "status"),
    [({":method": "GET"}, "405"), ({"content-type": "text/html"}, "415"), ({"content-type": ""}, "415")],
)
def test_other_http_2_is_refused_by_http(harness: HttpHarness, headers: dict[str, str], status: str) -> None:
    client = InMemoryGrpc(harness.agent.server)
    stream = client.call(b"", headers=headers)
    assert client.trailers[stream][":status"] == status


def test_whatever_is_garbled_nothing_but_a_wire_error_comes_of_it(harness: HttpHarness) -> None:
    client = InMemoryGrpc(harness.agent.server)
    sent: list[bytes] = []
    receive = client.connection.receive
    client.connection.receive = lambda data: (sent.append(data), receive(data))[1]  # type: ignore[method-assign]
    for _ in range(3):
        client.subscribe()
    client.cancel(1)
    client.connection.lost()
    valid = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000") + b"".join(sent)
    refused = 0
    for seed in range(150):
        rng, data = Random(seed), bytearray(valid)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(24, len(data))
            data[at : at + rng.choice([0, 1, 1, 9])] = rng.randbytes(rng.choice([0, 1, 1, 9]))
        server = GrpcConnection(lambda _: None, client.subscriptions.serve)
        try:
            while data:
                size = rng.randint(1, 100)
                server.receive(bytes(data[:size]))
                del data[:size]
        except WireError:
            refused += 1
        harness.agent.clock.advance(0)
        server.lost()
        assert not len(client.subscriptions)
    assert 0 < refused < 150


# -- many, slow, gone


def test_many_subscribers_of_a_service_share_one_query(harness: HttpHarness) -> None:
    register(harness, "a")
    clients = [InMemoryGrpc(harness.agent.server)]
    clients += [InMemoryGrpc(harness.agent.server, clients[0].subscriptions) for _ in range(20)]
    streams = [(client, client.subscribe()) for client in clients for _ in range(5)]
    turn(harness, *clients)
    assert len(clients[0].subscriptions) == 1
    queries = harness.agent.server.queries
    register(harness, "b")
    turn(harness, *clients)
    assert harness.agent.server.queries - queries <= 2
    for client, stream in streams:
        assert told(client.take(stream))[-1] == ("+", "b", "web")
    for client, stream in streams:
        client.cancel(stream)
    assert not len(clients[0].subscriptions)
    assert harness.agent.server.waiting == 0
    assert len(harness.agent.server.store.watchers) == 0


def test_a_lost_connection_ends_its_subscriptions(harness: HttpHarness) -> None:
    client = InMemoryGrpc(harness.agent.server)
    subscribed(harness, client)
    subscribed(harness, client, Key="db")
    assert len(client.subscriptions) == 2
    client.connection.lost()
    assert not len(client.subscriptions)
    assert harness.agent.server.waiting == 0
    assert client.accounted == 0


def test_a_subscriber_that_leaves_before_the_first_answer_leaves_nothing(harness: HttpHarness) -> None:
    client = InMemoryGrpc(harness.agent.server)
    client.cancel(client.subscribe())
    turn(harness, client)
    assert not len(client.subscriptions)
    assert harness.agent.server.waiting == 0


def test_a_slow_reader_gets_its_snapshot_bit_by_bit(harness: HttpHarness) -> None:
    for number in range(60):
        register(harness, f"n{number:02}", Meta={"pad": "x" * 400})
    client = InMemoryGrpc(harness.agent.server, window=1000)
    client.reads = False
    stream, first = subscribed(harness, client)
    assert 500 < client.received[stream] <= 1000
    assert client.accounted < 60 * 100, "what waits is not made before it can be sent"
    register(harness, "later")
    turn(harness, client)
    client.reads = True
    client.client.increment_flow_control_window(100_000, stream)
    client.client.increment_flow_control_window(100_000)
    events = told(first + client.take(stream))
    assert len(events) == 62
    assert events[60][0] == "end"
    assert events[61] == ("+", "later", "web")
    assert client.accounted == 0


def test_who_does_not_read_changes_for_too_long_must_begin_anew(
    harness: HttpHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "BACKLOG_MAX_BYTES", 3000)
    register(harness, "a")
    slow, fast = InMemoryGrpc(harness.agent.server, window=200), InMemoryGrpc(harness.agent.server)
    fast.subscriptions = slow.subscriptions
    slow.reads = False
    stream, _ = subscribed(harness, slow)
    other, _ = subscribed(harness, fast)
    for number in range(40):
        register(harness, "a", Meta={"n": str(number), "pad": "x" * 300})
        turn(harness, slow, fast)
    assert slow.accounted < 5000
    assert slow.status(stream) is None, "a message is half sent: its end comes first"
    slow.client.increment_flow_control_window(100_000, stream)
    slow.client.increment_flow_control_window(100_000)
    assert slow.status(stream) == RESET
    slow.take(stream)
    assert not slow.bodies[stream], "no half message"
    assert fast.status(other) is None


def test_who_takes_too_long_for_the_snapshot_while_the_service_changes_must_begin_anew(harness: HttpHarness) -> None:
    for number in range(60):
        register(harness, f"n{number}", Meta={"pad": "x" * 500})
    client = InMemoryGrpc(harness.agent.server, window=1000)
    client.reads = False
    stream, _ = subscribed(harness, client)
    harness.agent.clock.advance(feed.SNAPSHOT_MAX_S + 1)
    assert client.accounted, "a service that does not change is waited for"
    register(harness, "later")
    turn(harness, client)
    assert client.accounted == 0
    assert not len(client.subscriptions)
    client.client.increment_flow_control_window(100_000, stream)
    assert client.status(stream) == RESET
    client.take(stream)
    assert not client.bodies[stream], "what was begun came whole"


def test_many_subscribers_are_served_in_several_turns(harness: HttpHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[None] = []

    class Counted(feed.Feed):
        def _go_on(self) -> None:
            turns.append(None)
            super()._go_on()

    monkeypatch.setattr(feed, "SLICE_S", -1.0)
    monkeypatch.setattr(service, "Feed", Counted)
    register(harness, "a")
    client = InMemoryGrpc(harness.agent.server)
    streams = [client.subscribe() for _ in range(6)]
    turn(harness, client)
    assert [told(client.take(stream))[0] for stream in streams] == [("+", "a", "web")] * 6
    assert len(turns) >= 6
    turns.clear()
    register(harness, "b")
    turn(harness, client)
    assert [told(client.take(stream)) for stream in streams] == [[("+", "b", "web")]] * 6
    assert len(turns) >= 6


def test_a_service_without_instances_costs_little_while_others_change(harness: HttpHarness) -> None:
    client = InMemoryGrpc(harness.agent.server)
    stream, _ = subscribed(harness, client)
    queries = harness.agent.server.queries
    for number in range(100):
        register(harness, f"n{number}", "other")
        turn(harness, client)
    assert harness.agent.server.queries - queries < 10
    assert client.take(stream) == []
    register(harness, "a")
    harness.agent.clock.advance(feed.NO_CHANGE_PAUSE_S)
    turn(harness, client)
    assert told(client.take(stream)) == [("+", "a", "web")], "nor is it told late"


def test_a_fault_of_ours_ends_the_subscription_and_not_the_server(
    harness: HttpHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(feed.Feed, "_take", broken)
    client = InMemoryGrpc(harness.agent.server)
    with capturedLogs() as logs:
        stream, _ = subscribed(harness, client)
    assert client.status(stream) == (13, "internal error: ZeroDivisionError")
    assert any("a subscription failed" in str(event.get("log_format")) for event in logs)
    assert not len(client.subscriptions)


def test_two_streams_of_a_full_connection_take_turns(harness: HttpHarness) -> None:
    for number in range(130):
        register(harness, f"n{number}", Meta={"pad": "x" * 500})
    client = InMemoryGrpc(harness.agent.server, window=10**6)
    client.reads = False
    first, _ = subscribed(harness, client)
    second, _ = subscribed(harness, client)
    assert client.received[second] < client.received[first] == 65_535 - client.received[second]
    before = client.received[first], client.received[second]
    for _ in range(2):
        client.client.increment_flow_control_window(1000)
        client.pump()
    assert client.received[first] > before[0]
    assert client.received[second] > before[1], "the first one does not take all of the room"


def test_a_full_socket_is_waited_for(harness: HttpHarness) -> None:
    register(harness, "a")
    client = InMemoryGrpc(harness.agent.server)
    stream, _ = subscribed(harness, client)
    client.connection.pause()
    register(harness, "b")
    turn(harness, client)
    assert client.take(stream) == []
    client.connection.resume()
    assert told(client.take(stream)) == [("+", "b", "web")]


def test_who_opens_and_cancels_without_end_is_cut_off(harness: HttpHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CANCELLED_MAX", 12)
    client = InMemoryGrpc(harness.agent.server)

    def flood() -> None:
        for _ in range(10):
            client.cancel(client.subscribe())

    flood()
    with pytest.raises(WireError, match="without end"):
        flood()


@pytest.mark.parametrize(
    "data",
    [
        b"\x04\x00\x00",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x83\xa5Error",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 40,
        b"\x00" * 9,
    ],
)
def test_what_is_no_http_2_ends_the_connection(harness: HttpHarness, data: bytes) -> None:
    client = InMemoryGrpc(harness.agent.server)
    written: list[bytes] = []
    server = GrpcConnection(written.append, client.subscriptions.serve)

    def send() -> None:
        server.receive(data)
        for _ in range(20):
            server.receive(bytes(10_000))

    with pytest.raises(WireError):
        send()
