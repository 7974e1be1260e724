"""A gRPC client in the same process, by h2's client side: bytes in, bytes out, no sockets."""

from typing import Any
from urllib.parse import unquote

import h2.config
import h2.connection
import h2.events
import h2.settings
from twisted.internet.task import Clock

from consulpy.rpc.grpc.connection import GrpcConnection
from consulpy.rpc.grpc.framing import framed
from consulpy.rpc.server import Server
from consulpy.rpc.subscribe.service import Subscriptions
from tests.harness.consul_proto import Event, SubscribeRequest
from tests.harness.http import HttpHarness

_PART_BYTES = 16_000
SUBSCRIBE = "/subscribe.StateChangeSubscription/Subscribe"


class InMemoryGrpc:
    """A connection to `server`, and what came back. `window`: of each stream, in bytes; `reads`: it is refilled."""

    def __init__(self, server: Server, subscriptions: Subscriptions | None = None, *, window: int = 65535) -> None:
        self.subscriptions = Subscriptions(server) if subscriptions is None else subscriptions
        self.reads = True
        #: Bytes that the server says wait for this client.
        self.accounted = 0
        self.bodies: dict[int, bytearray] = {}
        self.received: dict[int, int] = {}  # bytes of each body
        self.trailers: dict[int, dict[str, str]] = {}
        self.has_gone_away = False
        self._queue: list[bytes] = []
        self.client = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.client.initiate_connection()
        self.client.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
        self.connection = GrpcConnection(self._queue.append, self.subscriptions.serve, self._account)
        self.pump()

    def _account(self, change: int) -> None:
        self.accounted += change

    def pump(self) -> None:
        """Carry bytes to and fro until there are none."""
        while True:
            to_server = self.client.data_to_send()
            to_client, self._queue[:] = list(self._queue), []
            if not to_server and not to_client:
                return
            if to_server:
                self.connection.receive(to_server)
            for data in to_client:
                for event in self.client.receive_data(data):
                    self._handle(event)

    def _handle(self, event: Any) -> None:
        if isinstance(event, h2.events.DataReceived):
            self.bodies[event.stream_id] += event.data
            self.received[event.stream_id] += len(event.data)
            if self.reads and event.flow_controlled_length:
                self.client.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
            self.trailers.setdefault(event.stream_id, {}).update(dict(event.headers))
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.has_gone_away = True

    def call(self, body: bytes, path: str = SUBSCRIBE, headers: dict[str, str] | None = None) -> int:
        """Begin a call; the number of its stream."""
        stream = self.client.get_next_available_stream_id()
        found = {
            ":method": "POST",
            ":scheme": "http",
            ":path": path,
            ":authority": "dc1",
            "content-type": "application/grpc",
            "te": "trailers",
            **(headers or {}),
        }
        self.bodies[stream], self.received[stream] = bytearray(), 0
        self.client.send_headers(stream, list(found.items()))
        for at in range(0, len(body), _PART_BYTES):
            self.client.send_data(stream, body[at : at + _PART_BYTES])
            self.pump()
        self.client.end_stream(stream)
        self.pump()
        return stream

    def subscribe(self, clock: Clock | None = None, **fields: Any) -> int:
        """Subscribe to a service, by default `web`, and let the server have a turn."""
        request = SubscribeRequest(**{"Topic": 1, "Key": "web", **fields})
        stream = self.call(framed(request.SerializeToString()))
        if clock is not None:
            clock.advance(0)
            self.pump()
        return stream

    def cancel(self, stream: int) -> None:
        """Reset the stream, as a client does that wants no more."""
        self.client.reset_stream(stream, 8)
        self.pump()

    def take(self, stream: int) -> list[Any]:
        """The events since the last time."""
        self.pump()
        body, found = self.bodies[stream], []
        while len(body) >= 5 and len(body) >= 5 + (size := int.from_bytes(body[1:5], "big")):
            found.append(Event.FromString(bytes(body[5 : 5 + size])))
            del body[: 5 + size]
        return found

    def status(self, stream: int) -> tuple[int, str] | None:
        """Code and text at the end of a call; None while it lasts."""
        self.pump()
        found = self.trailers.get(stream, {})
        return (int(found["grpc-status"]), unquote(found.get("grpc-message", ""))) if "grpc-status" in found else None


def told(events: list[Any]) -> list[tuple[Any, ...]]:
    """Events in short: ("+", node, service id), ("-", ...), ("end", index), ("new",), batches as nested lists."""
    found: list[Any] = []
    for event in events:
        kind = _kind(event)
        if kind == "ServiceHealth":
            row = event.ServiceHealth.CheckServiceNode
            found.append(("-" if event.ServiceHealth.Op else "+", row.Node.Node, row.Service.ID))
        elif kind == "EventBatch":
            found.append(told(event.EventBatch.Events))
        elif kind == "EndOfSnapshot":
            found.append(("end", event.Index))
        else:
            found.append(("new",))
    return found


def _kind(event: Any) -> str:
    return next(
        name
        for name in ("ServiceHealth", "EventBatch", "EndOfSnapshot", "NewSnapshotToFollow")
        if (event.HasField(name) if name in ("ServiceHealth", "EventBatch") else getattr(event, name))
    )


def register_instance(harness: HttpHarness, node: str, name: str = "web", *, token: str = "", **more: Any) -> None:
    body = {"Node": node, "Address": "10.0.0.1", "Service": {"Service": name, "Port": 80, **more}}
    headers = {"X_Consul_Token": token} if token else {}
    answer = harness.ask("PUT /v1/catalog/register", body, **headers)
    assert answer.status == 200, answer.text


def deregister(harness: HttpHarness, node: str, **more: Any) -> None:
    harness.tell("PUT /v1/catalog/deregister", {"Node": node, **more})


def turn(harness: HttpHarness, *clients: InMemoryGrpc) -> None:
    """Let what is due happen: a blocking query runs again one turn after the change, and asks again in the next."""
    for _ in range(3):
        harness.agent.clock.advance(0)
    for client in clients:
        client.pump()


def subscribed(harness: HttpHarness, client: InMemoryGrpc, **fields: Any) -> tuple[int, list[Any]]:
    """A new subscription, and what it was told at first."""
    stream = client.subscribe(harness.agent.clock, **fields)
    turn(harness, client)
    return stream, client.take(stream)
