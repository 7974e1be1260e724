"""Subscriptions of newer client agents to the health of services (`subscribe.StateChangeSubscription`), in memory.

The client is h2's; events are read by protobuf's own library. Against grpcio: tests/integration/rpc/test_streaming.py.
"""

from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail

from consulpy.errors import NoPathToDatacenter, WireError
from consulpy.rpc.grpc import connection
from consulpy.rpc.grpc.connection import GrpcConnection
from consulpy.rpc.grpc.framing import framed
from consulpy.rpc.subscribe import feed
from consulpy.rpc.subscribe.messages import BATCH_MAX_BYTES, batches
from consulpy.state.store import Store
from consulpy.structs.requests import CheckServiceNodesReply
from tests.harness.consul_proto import Event
from tests.harness.grpc import InMemoryGrpc, told
from tests.harness.guarded import MASTER, GuardedHarness
from tests.harness.http import HttpHarness

RESET = (10, "subscription closed by server, client must reset state and resubscribe")


def register(harness: HttpHarness, node: str, service: str = "web", *, token: str = "", **more: Any) -> None:
    body = {"Node": node, "Address": "10.0.0.1", "Service": {"Service": service, "Port": 80, **more}}
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


@pytest.fixture
def harness() -> HttpHarness:
    return HttpHarness()


def subscribed(harness: HttpHarness, client: InMemoryGrpc, **fields: Any) -> tuple[int, list[Any]]:
    """A new subscription, and what it was told at first."""
    stream = client.subscribe(harness.agent.clock, **fields)
    turn(harness, client)
    return stream, client.take(stream)


def test_a_snapshot_then_changes_with_the_indexes_of_health_queries(harness: HttpHarness) -> None:
    register(harness, "a")
    register(harness, "b")
    client = InMemoryGrpc(harness.agent.server)
    stream, events = subscribed(harness, client)
    index = int(harness.ask("GET /v1/health/service/web").headers["x-consul-index"])
    assert told(events) == [("+", "a", "web"), ("+", "b", "web"), ("end", index)]
    assert {event.Index for event in events} == {index}

    register(harness, "c", "other")  # of no interest
    turn(harness, client)
    assert client.take(stream) == []
    register(harness, "c")
    turn(harness, client)
    (event,) = client.take(stream)
    assert told([event]) == [("+", "c", "web")]
    assert event.Index == int(harness.ask("GET /v1/health/service/web").headers["x-consul-index"])
    deregister(harness, "a")
    turn(harness, client)
    (event,) = client.take(stream)
    assert told([event]) == [("-", "a", "web")]
    assert client.status(stream) is None
    assert client.trailers[stream][":status"] == "200"
    assert client.trailers[stream]["content-type"] == "application/grpc"


def test_an_event_carries_all_of_an_instance(harness: HttpHarness) -> None:
    harness.tell(
        "PUT /v1/catalog/register",
        {
            "ID": "11111111-2222-3333-4444-555555555555",
            "Node": "a",
            "Address": "10.0.0.1",
            "TaggedAddresses": {"wan": "1.2.3.4"},
            "NodeMeta": {"rack": "7", "empty": ""},
            "Service": {
                "ID": "web-1",
                "Service": "web",
                "Tags": ["blue", ""],
                "Address": "10.0.0.2",
                "Port": 8080,
                "Meta": {"v": "2"},
                "Weights": {"Passing": 3, "Warning": 0},
                "EnableTagOverride": True,
                "TaggedAddresses": {"lan": {"Address": "10.9.9.9", "Port": 1}},
                "Connect": {"Native": True},
            },
            "Checks": [
                {"CheckID": "c", "Name": "C", "Status": "warning", "Notes": "n", "Output": "o", "ServiceID": "web-1"},
                {"CheckID": "serfHealth", "Name": "Serf Health Status", "Status": "passing"},
            ],
        },
    )
    _, events = subscribed(harness, InMemoryGrpc(harness.agent.server))
    row = events[0].ServiceHealth.CheckServiceNode
    shown = harness.ask("GET /v1/health/service/web").json[0]
    node, service = row.Node, row.Service
    assert (node.ID, node.Node, node.Address, node.Datacenter) == (shown["Node"]["ID"], "a", "10.0.0.1", "dc1")
    assert (dict(node.TaggedAddresses), dict(node.Meta)) == ({"wan": "1.2.3.4"}, {"rack": "7", "empty": ""})
    assert node.RaftIndex.ModifyIndex == shown["Node"]["ModifyIndex"]
    assert (service.ID, service.Service, list(service.Tags)) == ("web-1", "web", ["blue", ""])
    assert (service.Address, service.Port, dict(service.Meta)) == ("10.0.0.2", 8080, {"v": "2"})
    assert (service.Weights.Passing, service.Weights.Warning, service.EnableTagOverride) == (3, 0, True)
    assert (service.TaggedAddresses["lan"].Address, service.TaggedAddresses["lan"].Port) == ("10.9.9.9", 1)
    assert service.Connect.Native
    assert service.RaftIndex.CreateIndex == shown["Service"]["CreateIndex"]
    for name in ("Proxy", "Connect", "RaftIndex", "EnterpriseMeta", "Weights"):
        assert service.HasField(name), f"Go's older clients have no nil for {name}"
    checks = {check.CheckID: check for check in row.Checks}
    assert {name: check.Status for name, check in checks.items()} == {"c": "warning", "serfHealth": "passing"}
    assert (checks["c"].Output, checks["c"].ServiceID, checks["c"].ServiceName) == ("o", "web-1", "web")
    assert list(checks["c"].ServiceTags) == ["blue", ""]
    assert checks["c"].HasField("Definition")


def test_a_proxy_s_settings_of_any_kind_are_carried(harness: HttpHarness) -> None:
    config = {"a": 1, "b": [None, True, 1.5, {"c": "d"}], "e": "", "f": {}}
    proxy = {
        "DestinationServiceName": "web",
        "DestinationServiceID": "web-1",
        "LocalServicePort": 80,
        "Config": config,
        "Upstreams": [
            {"DestinationName": "db", "LocalBindPort": 9191, "Config": {"x": 2}, "MeshGateway": {"Mode": "local"}}
        ],
        "Expose": {
            "Checks": True,
            "Paths": [{"Path": "/m", "LocalPathPort": 1, "ListenerPort": 2, "Protocol": "http"}],
        },
    }
    register(harness, "a", "web-proxy", Kind="connect-proxy", Proxy=proxy)
    _, events = subscribed(harness, InMemoryGrpc(harness.agent.server), Topic=2)
    assert told(events)[0] == ("+", "a", "web-proxy"), "the Connect topic has the proxies of a service"
    from google.protobuf.json_format import MessageToDict

    found = events[0].ServiceHealth.CheckServiceNode.Service
    assert found.Kind == "connect-proxy"
    shown = MessageToDict(found.Proxy)
    assert shown["Config"] == config
    assert shown["Upstreams"][0]["DestinationName"] == "db"
    assert shown["Upstreams"][0]["MeshGateway"] == {"Mode": "local"}
    assert shown["Expose"]["Paths"] == [{"ListenerPort": 2, "Path": "/m", "LocalPathPort": 1, "Protocol": "http"}]


def test_an_unknown_service_has_an_empty_snapshot_and_comes_later(harness: HttpHarness) -> None:
    client = InMemoryGrpc(harness.agent.server)
    stream, events = subscribed(harness, client)
    assert told(events) == [("end", events[0].Index)]
    assert events[0].Index >= 1
    register(harness, "a", "WEB")
    turn(harness, client)
    assert told(client.take(stream)) == [("+", "a", "WEB")], "names regard no case"


def test_changes_of_one_index_come_together(harness: HttpHarness) -> None:
    for node in "abc":
        register(harness, node)
    register(harness, "a", "web", ID="web-2")
    client = InMemoryGrpc(harness.agent.server)
    stream, _ = subscribed(harness, client)
    check = {"CheckID": "serfHealth", "Name": "serf", "Status": "critical"}
    harness.tell("PUT /v1/catalog/register", {"Node": "a", "Address": "10.0.0.1", "Check": check})
    turn(harness, client)
    (event,) = client.take(stream)
    assert told([event]) == [[("+", "a", "web"), ("+", "a", "web-2")]], "both are on the node whose check changed"
    assert {inner.Index for inner in event.EventBatch.Events} == {event.Index}


def test_large_batches_are_sent_as_several() -> None:
    parts = batches(7, [bytes(BATCH_MAX_BYTES // 3)] * 10)
    assert len(parts) == 4
    assert all(len(part) < BATCH_MAX_BYTES + 100 for part in parts)
    assert (
        sum(
            len(Event.FromString(part).EventBatch.Events)
            for part in batches(7, [Event(Index=7).SerializeToString()] * 3)
        )
        == 3
    )


# -- resuming


def test_who_has_seen_all_of_it_goes_on_without_a_snapshot(harness: HttpHarness) -> None:
    register(harness, "a")
    client = InMemoryGrpc(harness.agent.server)
    _, events = subscribed(harness, client)
    stream, events = subscribed(harness, client, Index=events[-1].Index)
    assert events == []
    assert client.status(stream) is None
    register(harness, "b")
    turn(harness, client)
    assert told(client.take(stream)) == [("+", "b", "web")]


def test_who_has_missed_something_is_told_to_begin_anew(harness: HttpHarness) -> None:
    register(harness, "a")
    client = InMemoryGrpc(harness.agent.server)
    first, events = subscribed(harness, client)
    client.cancel(first)
    register(harness, "b")
    _, events = subscribed(harness, client, Index=events[-1].Index)
    assert told(events)[:3] == [("new",), ("+", "a", "web"), ("+", "b", "web")]
    assert told(events)[3][0] == "end"
    _, events = subscribed(harness, client, Index=10**6)
    assert told(events)[0] == ("new",), "an index of another cluster"


# -- subjects


def test_newer_clients_name_their_subject_in_a_message_of_its_own(harness: HttpHarness) -> None:
    register(harness, "a", "db")
    client = InMemoryGrpc(harness.agent.server)
    _, events = subscribed(harness, client, Key="", NamedSubject={"Key": "db", "Partition": "default"})
    assert told(events)[0] == ("+", "a", "db")


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"Topic": 0}, "unknown topic 0"),
        ({"Topic": 7, "Key": "", "WildcardSubject": True}, "unknown topic 7"),
        ({"Key": ""}, "its name"),
        ({"WildcardSubject": True}, "its name"),
        ({"PeerName": "east"}, 'PeerName "east"'),
        ({"Namespace": "team"}, 'Namespace "team"'),
        ({"Partition": "blue"}, 'Partition "blue"'),
        ({"NamedSubject": {"Key": "web", "PeerName": "east"}}, 'PeerName "east"'),
    ],
)
def test_what_is_not_served_is_refused_and_not_answered_about_something_else(
    harness: HttpHarness, fields: dict[str, Any], text: str
) -> None:
    client = InMemoryGrpc(harness.agent.server)
    stream, events = subscribed(harness, client, **fields)
    status = client.status(stream)
    assert events == []
    assert status is not None
    assert status[0] == 3
    assert text in status[1]
    assert not len(client.subscriptions)


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


# -- rights


def test_a_token_sees_what_it_may_and_a_change_of_its_rights_begins_anew() -> None:
    harness = GuardedHarness()
    register(harness, "a", token=MASTER)
    register(harness, "secret", token=MASTER)
    token = harness.token('service "web" { policy = "read" } node "a" { policy = "read" }')
    other = harness.token('service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }')
    client = InMemoryGrpc(harness.agent.server)
    stream, events = subscribed(harness, client, Token=token)
    assert told(events)[:-1] == [("+", "a", "web")]
    untouched, events = subscribed(harness, client, Token=other)
    assert told(events)[:-1] == [("+", "a", "web"), ("+", "secret", "web")]
    _, events = subscribed(harness, client)
    assert told(events)[0][0] == "end", "the anonymous token may read nothing"

    (policy,) = harness.as_(token, "GET /v1/acl/token/self").json["Policies"]
    rules = {"Name": policy["Name"], "Rules": 'node "x" { policy = "read" }'}
    assert harness.as_(MASTER, f"PUT /v1/acl/policy/{policy['ID']}", rules).status == 200
    turn(harness, client)
    assert client.status(stream) == RESET
    assert client.status(untouched) is None
    _, events = subscribed(harness, client, Token=token)
    assert told(events)[0][0] == "end"


def test_a_token_that_is_deleted_ends_its_subscription_and_is_not_found() -> None:
    harness = GuardedHarness()
    register(harness, "a", token=MASTER)
    token = harness.token('service "web" { policy = "read" } node "a" { policy = "read" }')
    client = InMemoryGrpc(harness.agent.server)
    stream, _ = subscribed(harness, client, Token=token)
    own = harness.as_(token, "GET /v1/acl/token/self").json["AccessorID"]
    assert harness.as_(MASTER, f"DELETE /v1/acl/token/{own}").status == 200
    turn(harness, client)
    assert client.status(stream) == RESET
    stream, events = subscribed(harness, client, Token=token)
    assert events == []
    assert client.status(stream) == (2, "ACL not found")


# -- the server's fate


def test_a_restored_snapshot_begins_anew(harness: HttpHarness) -> None:
    register(harness, "a")
    client = InMemoryGrpc(harness.agent.server)
    stream, _ = subscribed(harness, client)
    harness.agent.log.restore(Store(), lambda _: None)
    turn(harness, client)
    assert client.status(stream) == RESET
    _, events = subscribed(harness, client)
    assert told(events)[0][0] == "end"


def test_a_server_that_stops_says_that_others_should_be_asked(harness: HttpHarness) -> None:
    client = InMemoryGrpc(harness.agent.server)
    stream, _ = subscribed(harness, client)
    client.connection.go_away()
    assert client.status(stream) == (14, "the server is shutting down")
    assert client.has_gone_away
    assert not len(client.subscriptions)


def test_another_datacenter_is_asked_and_an_unknown_one_is_an_error(harness: HttpHarness) -> None:
    client = InMemoryGrpc(harness.agent.server)
    stream, _ = subscribed(harness, client, Datacenter="dc9")
    assert client.status(stream) == (2, "No path to datacenter")

    replies: list[Deferred[Any]] = []
    asked: list[Any] = []

    class Remote:
        def call(self, datacenter: str, method: Any, request: Any) -> "Deferred[Any]":
            asked.append((datacenter, method.name, request.options.min_query_index, request.options.token))
            if datacenter == "dc3":
                return fail(NoPathToDatacenter())
            replies.append(Deferred())
            return replies[-1]

    register(harness, "a")
    rows = harness.agent.server.store.catalog.check_service_nodes(None, "web", ())[1]
    harness.agent.server.remote_datacenters = Remote()
    stream = client.subscribe(harness.agent.clock, Datacenter="dc2", Token="t")
    reply = CheckServiceNodesReply(nodes=list(rows))
    reply.meta.index = 40
    replies[0].callback(reply)
    turn(harness, client)
    assert told(client.take(stream)) == [("+", "a", "web"), ("end", 40)]
    assert asked == [("dc2", "Health.ServiceNodes", 0, "t"), ("dc2", "Health.ServiceNodes", 40, "t")]
    gone = CheckServiceNodesReply(nodes=[])
    gone.meta.index = 41
    replies[1].callback(gone)
    turn(harness, client)
    assert told(client.take(stream)) == [("-", "a", "web")]
    client.cancel(stream)
    stream = client.subscribe(harness.agent.clock, Datacenter="dc3")
    assert client.status(stream) == (2, "No path to datacenter")


def test_an_index_that_goes_back_begins_anew(harness: HttpHarness) -> None:
    """Two servers of another datacenter may be at different indexes."""
    replies: list[Deferred[Any]] = []

    class Remote:
        def call(self, datacenter: str, method: Any, request: Any) -> "Deferred[Any]":
            replies.append(Deferred())
            return replies[-1]

    harness.agent.server.remote_datacenters = Remote()
    client = InMemoryGrpc(harness.agent.server)
    stream = client.subscribe(harness.agent.clock, Datacenter="dc2")
    for index in (40, 39):
        reply = CheckServiceNodesReply(nodes=[])
        reply.meta.index = index
        replies[-1].callback(reply)
        turn(harness, client)
    assert client.status(stream) == RESET


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
