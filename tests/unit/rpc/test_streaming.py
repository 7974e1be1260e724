"""Subscriptions of newer client agents to the health of services (`subscribe.StateChangeSubscription`), in memory.

The client is h2's; events are read by protobuf's own library. Against grpcio: tests/integration/rpc/test_streaming.py.
"""

from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail

from consulpy.acl.authorizer import UNRESTRICTED, compile_rules
from consulpy.errors import NoPathToDatacenter
from consulpy.rpc.acl.interface import NoGuard
from consulpy.rpc.acl.resolver import Identity
from consulpy.rpc.subscribe.messages import BATCH_MAX_BYTES, batches
from consulpy.state.store import Store
from consulpy.state.watch import WatchSet
from consulpy.structs.acl import Token
from consulpy.structs.requests import CheckServiceNodesReply
from tests.harness.consul_proto import Event
from tests.harness.grpc import InMemoryGrpc, deregister, subscribed, told, turn
from tests.harness.grpc import register_instance as register
from tests.harness.guarded import MASTER, GuardedHarness
from tests.harness.http import HttpHarness

RESET = (10, "subscription closed by server, client must reset state and resubscribe")


@pytest.fixture
def harness() -> HttpHarness:
    return HttpHarness()


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
    node, found = row.Node, row.Service
    assert (node.ID, node.Node, node.Address, node.Datacenter) == (shown["Node"]["ID"], "a", "10.0.0.1", "dc1")
    assert (dict(node.TaggedAddresses), dict(node.Meta)) == ({"wan": "1.2.3.4"}, {"rack": "7", "empty": ""})
    assert node.RaftIndex.ModifyIndex == shown["Node"]["ModifyIndex"]
    assert (found.ID, found.Service, list(found.Tags)) == ("web-1", "web", ["blue", ""])
    assert (found.Address, found.Port, dict(found.Meta)) == ("10.0.0.2", 8080, {"v": "2"})
    assert (found.Weights.Passing, found.Weights.Warning, found.EnableTagOverride) == (3, 0, True)
    assert (found.TaggedAddresses["lan"].Address, found.TaggedAddresses["lan"].Port) == ("10.9.9.9", 1)
    assert found.Connect.Native
    assert found.RaftIndex.CreateIndex == shown["Service"]["CreateIndex"]
    for name in ("Proxy", "Connect", "RaftIndex", "EnterpriseMeta", "Weights"):
        assert found.HasField(name), f"Go's older clients have no nil for {name}"
    checks = {check.CheckID: check for check in row.Checks}
    assert {name: check.Status for name, check in checks.items()} == {"c": "warning", "serfHealth": "passing"}
    assert (checks["c"].Output, checks["c"].ServiceID, checks["c"].ServiceName) == ("o", "web-1", "web")
    assert list(checks["c"].ServiceTags) == ["blue", ""]
    assert checks["c"].HasField("Definition")


def test_a_proxy_s_settings_of_any_kind_are_carried(harness: HttpHarness) -> None:
    config = {"a": 1, "b": [False, True, 1.5, {"c": "d"}], "e": "", "f": {}}
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


def test_a_token_that_must_be_asked_for_elsewhere_is_waited_for(harness: HttpHarness) -> None:
    """As on a server outside the primary datacenter that does not copy tokens."""

    class Elsewhere(NoGuard):
        is_on = True

        def __init__(self) -> None:
            self.asked: list[Deferred[None]] = []
            self.authorizer = UNRESTRICTED

        def resolve(self, secret: str, watch: WatchSet | None = None) -> Identity:
            assert self.asked, "it is not known before it was asked for"
            if watch is not None:
                watch.add("acl-policies")
            return Identity(Token(), self.authorizer)

        async def identify(self, secret: str) -> Identity:  # type: ignore[override]
            self.asked.append(Deferred())
            await self.asked[-1]
            return self.resolve(secret)

    guard = harness.agent.server.guard = Elsewhere()
    register(harness, "a")
    client = InMemoryGrpc(harness.agent.server)
    gone, _ = subscribed(harness, client, Key="db")
    client.cancel(gone)
    assert not len(client.subscriptions), "nothing waits for the token of one who is gone"
    stream, events = subscribed(harness, client)
    assert events == []
    guard.asked[-1].callback(None)
    turn(harness, client)
    assert told(client.take(stream))[0] == ("+", "a", "web")

    harness.agent.server.store.watchers.changed(["acl-policies"])
    turn(harness, client)
    guard.asked[-1].callback(None)
    turn(harness, client)
    assert client.status(stream) is None, "another policy changed"
    guard.authorizer = compile_rules([], default_allows=False)
    harness.agent.server.store.watchers.changed(["acl-policies"])
    turn(harness, client)
    guard.asked[-1].callback(None)
    turn(harness, client)
    assert client.status(stream) == RESET


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
