"""docs/wire/gossip.md 9.4: user events, their payload, their filters, the ring and its index."""

import json
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed

from consulpy.errors import BadRequest, RPCError, WireError
from consulpy.local.user_events import PREFIX, RING_SIZE, Event, UserEvents, index_of
from consulpy.state.watch import WatchSet
from consulpy.structs.options import QueryMeta
from consulpy.structs.requests import EventFireRequest

VECTOR = Path(__file__).parents[2] / "vectors" / "rpc" / "Internal.EventFire.json"


def events(*services: Any, name: str = "agent-one") -> UserEvents:
    return UserEvents(name, lambda: services, Random(1))


def service(name: str, *tags: str) -> Any:
    return SimpleNamespace(service=name, tags=list(tags) or None)


def arrive(ring: UserEvents, **fields: Any) -> Event | None:
    event = Event(**({"id": "d8738e4c-398c-169a-62bb-076f633692f2", "name": "deploy"} | fields))
    return ring.receive(PREFIX + event.name, event.encode(), 7)


def test_captured_payload_is_read_and_written_byte_for_byte() -> None:
    request = json.loads(VECTOR.read_text())["pairs"][0]["request"]
    body = EventFireRequest.unpack(bytes.fromhex(request["body_hex"]))
    assert body.payload is not None

    event = Event.decode(body.payload)

    assert (event.name, event.payload, event.node_filter, event.version) == ("deploy", b"payload1", "c", 1)
    assert event.encode() == body.payload


def test_firing_sends_the_captured_request() -> None:
    """Only the id differs from what a real client sent."""
    captured = json.loads(VECTOR.read_text())["pairs"][0]["request"]
    sent: list[tuple[str, Any]] = []

    class Caller:
        def call(self, method: str, request: Any, dependencies: Any = None) -> Deferred[Any]:
            sent.append((method, request))
            return succeed(QueryMeta())

    fired: list[Event] = []
    events().fire(Caller(), "dc1", Event(name="deploy", payload=b"payload1", node_filter="c")).addCallback(fired.append)

    method, request = sent[0]
    captured_request = EventFireRequest.unpack(bytes.fromhex(captured["body_hex"]))
    captured_event = Event.decode(captured_request.payload or b"")
    request.payload = request.payload.replace(fired[0].id.encode(), captured_event.id.encode())
    assert method == "Internal.EventFire"
    assert request.pack().hex() == captured["body_hex"]
    assert fired[0].ltime == 0


@given(st.text(), st.binary(), st.text(), st.text(), st.text())
def test_every_event_survives_the_wire(name: str, payload: bytes, node: str, service: str, tag: str) -> None:
    event = Event("id", name, payload, node, service, tag)
    assert Event.decode(event.encode()) == event


@given(st.binary(max_size=200))
def test_any_bytes_are_an_event_or_dropped(data: bytes) -> None:
    ring = events()
    ring.receive(PREFIX + "x", data, 1)
    assert ring.dropped + len(ring.list()[1]) <= 1


@pytest.mark.parametrize("cut", [0, 1, 20, 50])
def test_truncated_payload_is_a_wire_error(cut: int) -> None:
    with pytest.raises(WireError):
        Event.decode(Event("id", "name", b"payload" * 10).encode()[:cut])


def test_events_without_the_prefix_are_ignored() -> None:
    ring = events()
    assert ring.receive("consul:new-leader", b"agent-one", 1) is None
    assert (ring.dropped, ring.list()) == (0, (1, []))


def test_filters_take_linear_time() -> None:
    """Python's own engine would take exponential time."""
    ring = events(service("a" * 60 + "!"))
    assert arrive(ring, service_filter="(a+)+$", node_filter="(o|on|one)*") is None
    assert ring.dropped == 0


def test_an_event_whose_filter_does_not_compile_is_dropped() -> None:
    ring = events()
    assert arrive(ring, node_filter="x{1001}") is None
    assert ring.dropped == 1


def test_newer_versions_and_remote_execution_are_ignored() -> None:
    ring = events()
    assert arrive(ring, version=2) is None
    assert arrive(ring, name="_rexec") is None
    assert ring.list()[1] == []


@pytest.mark.parametrize(
    ("filters", "wanted"),
    [
        ({}, True),
        ({"node_filter": "agent-.*"}, True),
        ({"node_filter": "one"}, True),
        ({"node_filter": "^one"}, False),
        ({"service_filter": "we"}, True),
        ({"service_filter": "consul"}, False),
        ({"service_filter": "web", "tag_filter": "v1"}, True),
        ({"service_filter": "web", "tag_filter": "v9"}, False),
        ({"service_filter": "db", "tag_filter": "v1"}, False),
        ({"node_filter": "two", "service_filter": "web"}, False),
    ],
)
def test_filters_are_searched_in_node_services_and_tags(filters: dict[str, str], wanted: bool) -> None:
    ring = events(service("web", "v1", "v2"), service("db"))
    assert (arrive(ring, **filters) is not None) is wanted


def test_a_filter_that_does_not_compile_drops_the_event() -> None:
    ring = events()
    assert arrive(ring, node_filter="(") is None
    assert ring.dropped == 1


@pytest.mark.parametrize(
    ("event", "error", "text"),
    [
        (Event(), BadRequest, "Missing name"),
        (
            Event(name="x", node_filter="("),
            RPCError,
            "Invalid node filter: error parsing regexp: missing closing ): `(`",
        ),
        (
            Event(name="x", service_filter="("),
            RPCError,
            "Invalid service filter: error parsing regexp: missing closing ): `(`",
        ),
        (Event(name="x", tag_filter="x"), RPCError, "Cannot provide tag filter without service filter"),
        (
            Event(name="x", service_filter="a", tag_filter="[a"),
            RPCError,
            "Invalid tag filter: error parsing regexp: missing closing ]: `[a`",
        ),
        (
            Event(name="x", node_filter="*"),
            RPCError,
            "Invalid node filter: error parsing regexp: missing argument to repetition operator: `*`",
        ),
        (
            Event(name="x", node_filter="(?=a)"),
            RPCError,
            "Invalid node filter: error parsing regexp: invalid or unsupported Perl syntax: `(?=`",
        ),
    ],
)
def test_invalid_events_are_refused_with_consuls_texts(event: Event, error: type, text: str) -> None:
    with pytest.raises(error) as caught:
        event.check()
    assert str(caught.value) == text


def test_index_is_the_id_of_the_last_event() -> None:
    """Seen: real Consul's `X-Consul-Index` of a list that ends with this event."""
    ring = events()
    arrive(ring)
    assert ring.list()[0] == index_of("d8738e4c-398c-169a-62bb-076f633692f2") == 13459158271335761000
    assert ring.list("other") == (1, [])


def test_a_query_blocks_while_the_index_is_equal() -> None:
    ring = events()
    watch = WatchSet()
    index, _ = ring.list(watch=watch)
    woken: list[bool] = []
    ring.watchers.wait(watch, lambda: woken.append(True))

    assert ring.blocks(index, 1)
    arrive(ring)

    assert woken == [True]
    assert not ring.blocks(ring.list()[0], 1)
    assert not ring.blocks(index, 0)


def test_only_the_last_256_are_stored() -> None:
    ring = events()
    for number in range(RING_SIZE + 10):
        arrive(ring, payload=str(number).encode())
    kept = ring.list()[1]
    assert (len(kept), kept[0].payload, kept[-1].payload) == (256, b"10", b"265")


def test_json_has_null_for_no_payload() -> None:
    ring = events()
    arrive(ring)
    assert ring.list()[1][0].to_json() == {
        "ID": "d8738e4c-398c-169a-62bb-076f633692f2",
        "Name": "deploy",
        "Payload": None,
        "NodeFilter": "",
        "ServiceFilter": "",
        "TagFilter": "",
        "Version": 1,
        "LTime": 7,
    }
