"""What a caller is told whose values have another type than their fields: Go's words. Source: docs/wire/rpc.md 4, 16.

Each line was asked of Consul 1.8.7 over a plain connection; the answer is what it said.
"""

from math import inf, nan
from typing import Any

import pytest
from msgpack import ExtType, Timestamp
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from consulpy.codec.msgpack import pack, unpack
from consulpy.rpc.dispatch import serve
from consulpy.rpc.stream import RefusedCall
from consulpy.structs.service import ServiceAddress
from tests.harness.guarded import MASTER, GuardedHarness
from tests.harness.http import FakeAgent, HttpHarness
from tests.harness.rpc import make_server

NO_TEXT = "readContainerLen: Unrecognized descriptor byte: hex: {0:x}, dec: {0}"
NO_NUMBER = "Unhandled single-byte unsigned integer value: Unrecognized descriptor byte: {:x}"
NO_BOOLEAN = "Invalid single-byte value for bool: Unrecognized descriptor byte: {:x}"
NO_STRUCT = "Only encoded map or array can be decoded into a struct. (valueType: {:x})"
NO_SLICE = "Only encoded map or array can be decoded into a slice. (valueType: {:x})"


def said(method: str, body: Any) -> BaseException | None:
    """What the call fails with; None if it succeeds."""
    failed: list[BaseException] = []
    answer: Deferred[Any] = serve(make_server(Clock()), method, unpack(pack(body)))
    answer.addErrback(lambda failure: failed.append(failure.value))
    return failed[0] if failed else None


def checked(**definition: Any) -> dict[str, Any]:
    return {"Node": "n", "Address": "10.0.0.1", "Check": {"Name": "c", "Definition": definition}}


def with_service(**more: Any) -> dict[str, Any]:
    return {"Node": "n", "Address": "10.0.0.1", "Service": {"ID": "web", "Service": "web", "Port": 1, **more}}


def proxy(**more: Any) -> dict[str, Any]:
    return with_service(Kind="connect-proxy", Proxy={"DestinationServiceName": "db", **more})


def with_sidecar(value: Any) -> dict[str, Any]:
    return with_service(Connect={"SidecarService": value})


NEGATIVE = "Assigning negative signed value: {}, to unsigned type"


@pytest.mark.parametrize(
    ("method", "body", "text"),
    [
        ("Catalog.ListNodes", "text", NO_STRUCT.format(6)),
        ("Catalog.ListNodes", 5, NO_STRUCT.format(2)),
        ("Catalog.ListNodes", True, NO_STRUCT.format(5)),
        ("Catalog.ListNodes", [1, 2], NO_TEXT.format(1)),
        ("Catalog.ListNodes", {"Datacenter": ["a"]}, NO_TEXT.format(0x91)),
        ("Catalog.ListNodes", {"Datacenter": {"a": "b"}}, NO_TEXT.format(0x81)),
        ("Catalog.ListNodes", {"Datacenter": True}, NO_TEXT.format(0xC3)),
        ("Catalog.ListNodes", {"Datacenter": 1.5}, NO_TEXT.format(0xCB)),
        ("Catalog.ListNodes", {"Datacenter": 300}, NO_TEXT.format(0xCD)),
        ("Catalog.ListNodes", {"AllowStale": "x"}, NO_BOOLEAN.format(0xA1)),
        ("Catalog.ListNodes", {"MaxQueryTime": "x"}, NO_NUMBER.format(0xA1)),
        ("Catalog.ListNodes", {"MinQueryIndex": True}, NO_NUMBER.format(0xC3)),
        ("Catalog.ListNodes", {"MinQueryIndex": [1]}, NO_NUMBER.format(0x91)),
        ("Catalog.ListNodes", {"MinQueryIndex": -200}, "Assigning negative signed value: -200, to unsigned type"),
        ("Catalog.ListNodes", {"NodeMetaFilters": {"a": 1}}, NO_TEXT.format(1)),
        ("Catalog.ListNodes", {"Source": "x"}, NO_STRUCT.format(6)),
        ("Catalog.Register", {"Service": {"Port": 1.0}}, NO_NUMBER.format(0xCB)),
        ("Catalog.Register", {"Service": {"Tags": "x"}}, NO_SLICE.format(6)),
        ("Catalog.Register", {"Service": {"Tags": 5}}, NO_SLICE.format(2)),
        ("Catalog.Register", {"Service": {"Tags": [1]}}, NO_TEXT.format(1)),
        ("Catalog.Register", {"Checks": [1]}, NO_STRUCT.format(2)),
        ("Coordinate.Update", {"Coord": {"Error": "x"}}, NO_NUMBER.format(0xA1)),
        ("Coordinate.Update", {"Coord": {"Vec": ["x"]}}, NO_NUMBER.format(0xA1)),
        ("KVS.Apply", {"DirEnt": {"Value": 5}}, NO_SLICE.format(2)),
        ("KVS.Apply", {"DirEnt": {"Flags": -1}}, NEGATIVE.format(255)),
        ("KVS.Apply", {"DirEnt": {"Flags": -300}}, NEGATIVE.format(-300)),
        ("KVS.Apply", {"DirEnt": {"ModifyIndex": -1}}, NEGATIVE.format(255)),
        ("Txn.Apply", {"Ops": [{"KV": {"Verb": "set", "DirEnt": {"Key": "a", "Flags": -2}}}]}, NEGATIVE.format(254)),
        ("Intention.Apply", {"Intention": {"ModifyIndex": -1}}, NEGATIVE.format(255)),
        ("Operator.AutopilotSetConfiguration", {"Config": {"MaxTrailingLogs": -1}}, NEGATIVE.format(255)),
        ("Catalog.Register", checked(OutputMaxSize=-1), NEGATIVE.format(255)),
        ("Catalog.Register", proxy(Config={"a": {1: "b"}}), NO_TEXT.format(1)),
        ("Catalog.Register", proxy(Config={"a": [{1.5: "b"}]}), NO_TEXT.format(0xCB)),
        ("Catalog.Register", proxy(Upstreams=[{"Config": {"a": {True: 1}}}]), NO_TEXT.format(0xC3)),
        ("Txn.Apply", {"Ops": [{"Session": "x"}]}, NO_STRUCT.format(6)),
        ("Txn.Apply", {"Ops": [{"Session": {"Verb": []}}]}, NO_TEXT.format(0x90)),
        ("FederationState.Apply", {"State": {"MeshGateways": [5]}}, NO_STRUCT.format(2)),
        ("Catalog.Register", with_sidecar(5), NO_STRUCT.format(2)),
        ("Catalog.Register", with_sidecar("x"), NO_STRUCT.format(6)),
        ("Catalog.Register", with_sidecar({"Port": "x"}), NO_NUMBER.format(0xA1)),
        ("Catalog.Register", with_sidecar({"Checks": [{"TTL": "5s"}]}), NO_NUMBER.format(0xA2)),
        ("Catalog.Register", with_sidecar({"Proxy": {"Config": {"a": {1: 2}}}}), NO_TEXT.format(1)),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_in_the_words_of_the_real_server(
    method: str, body: Any, text: str
) -> None:
    error = said(method, body)
    assert isinstance(error, RefusedCall)
    assert str(error) == f"codec.decoder: {text}"


@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("PreparedQuery.Apply", {"Op": "create", "Query": {"Service": {"Failover": {"NearestN": 2**64 - 1}}}}),
        ("Session.Apply", {"Op": "create", "Session": {"Node": "n", "LockDelay": 2**63}}),
        ("Catalog.Register", with_service(Port=2**63)),
        ("Catalog.Register", with_service(TaggedAddresses={"lan": {"Address": "a", "Port": 2**63}})),
    ],
)
def test_a_number_that_the_real_server_would_make_negative_is_refused(method: str, body: Any) -> None:
    """Its decoder wraps what is above 2^63 - 1: followers would store another number than a leader of ours."""
    assert "Overflow" in str(said(method, body))


@pytest.mark.parametrize("value", [nan, inf, [{"b": -inf}], ExtType(5, b"x"), Timestamp(1, 0)])
def test_a_setting_that_no_json_has_is_refused(value: Any) -> None:
    """Consul takes it, and no real server shows the services of that node any more."""
    assert "unsupported value" in str(said("Catalog.Register", proxy(Config={"a": value})))


def test_the_mark_of_a_sidecar_is_not_stored() -> None:
    """Consul neither stores nor compares it: the index of the service stays."""
    server = make_server(Clock())
    for is_marked in (False, True):
        body = {"Datacenter": "dc1", **with_service(LocallyRegisteredAsSidecar=is_marked)}
        assert not isinstance(asked(server, "Catalog.Register", body), BaseException)
    stored = server.store.catalog.service("n", "web")
    assert stored is not None
    assert stored.modify_index == stored.create_index


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"Entry": {1: 2}}, 1),
        ({"Entry": {None: 2}}, 0xC0),
        ({"Entry": {"MeshGateway": {1: 2}}}, 1),
        ({"Token": [1]}, 0x91),
        ({"Token": {}}, 0x80),
        ({"Op": 5}, 5),
        ({"Datacenter": True}, 0xC3),
    ],
)
def test_a_call_with_an_entry_whose_texts_are_none_is_refused(more: dict[str, Any], code: int) -> None:
    """It is a log entry as it is: a token that is a list ended every real server."""
    entry = {"Kind": "service-defaults", "Name": "web", "Protocol": "http"}
    body = {"Datacenter": "dc1", "Op": "upsert", "Entry": entry, "Token": "", **more}
    error = said("ConfigEntry.Apply", pack("service-defaults") + pack(body))
    assert isinstance(error, RefusedCall)
    assert str(error) == f"codec.decoder: {NO_TEXT.format(code)}"


def test_nil_in_a_map_is_the_zero_value_and_any_bytes_are_a_text_as_in_consul() -> None:
    server = make_server(Clock())
    body = with_service(Meta={"a": None, "b": b"\xff"}, TaggedAddresses={"lan": None})
    assert not isinstance(asked(server, "Catalog.Register", {"Datacenter": "dc1", **body}), BaseException)
    stored = server.store.catalog.service("n", "web")
    assert stored is not None
    assert (stored.meta, stored.tagged_addresses) == ({"a": "", "b": "\udcff"}, {"lan": ServiceAddress()})


def test_a_sidecar_is_stored_as_consul_reads_it() -> None:
    server = make_server(Clock())
    body = {"Datacenter": "dc1", **with_sidecar({"Port": 8, "Zork": {"a": 1}, "Proxy": {"Config": {"a": 1}}})}
    assert not isinstance(asked(server, "Catalog.Register", body), BaseException)
    stored = server.store.catalog.service("n", "web")
    assert stored is not None
    sidecar = stored.connect.sidecar_service
    assert (sidecar[b"Port"], sidecar[b"Tags"], sidecar[b"Proxy"][b"Config"]) == (8, None, {b"a": 1})
    assert b"Zork" not in sidecar


@pytest.mark.parametrize(
    "body",
    [
        {"Datacenter": "dc1", "AllowStale": 1},
        {"Datacenter": "dc1", "Zork": [1, {"a": "b"}]},
        {"Datacenter": "dc1", "Source": None},
        ["dc1"],
    ],
    ids=["1 for true", "an unknown key", "nil for a struct", "an array in declared order"],
)
def test_what_the_real_server_takes_is_taken(body: Any) -> None:
    assert said("Catalog.ListNodes", body) is None


@pytest.mark.parametrize(
    ("method", "body", "name"),
    [
        ("Health.ServiceNodes", {"ServiceName": "web", "PeerName": "east"}, "PeerName"),
        ("Catalog.ListNodes", {"Partition": "blue"}, "Partition"),
        ("Catalog.Register", {"Node": "n", "Address": "10.0.0.1", "PeerName": "east"}, "PeerName"),
        ("Catalog.Deregister", {"Node": "n", "PeerName": "east"}, "PeerName"),
        ("KVS.Get", {"Key": "k", "Namespace": "team"}, "Namespace"),
        ("Health.ServiceNodes", {"ServiceName": "web", "SamenessGroup": "all"}, "SamenessGroup"),
        ("Health.ServiceChecks", {"ServiceName": "web", "MergeCentralConfig": True}, "MergeCentralConfig"),
        ("PreparedQuery.Apply", {"Op": "create", "Query": {"Service": {"Service": "web", "Peer": "east"}}}, "PeerName"),
        (
            "PreparedQuery.Apply",
            {"Op": "create", "Query": {"Service": {"Service": "web", "Failover": {"Targets": [{"Peer": "east"}]}}}},
            "Failover.Targets",
        ),
    ],
)
def test_a_newer_agent_that_asks_about_others_is_refused_and_not_answered_about_us(
    method: str, body: dict[str, Any], name: str
) -> None:
    assert f"Invalid request: {name}" in str(said(method, body))


def test_a_newer_client_s_query_whose_new_fields_are_empty_is_taken() -> None:
    service = {"Service": "web", "Peer": "", "SamenessGroup": "", "Failover": {"NearestN": 1, "Targets": None}}
    assert (
        said("PreparedQuery.Apply", {"Datacenter": "dc1", "Op": "create", "Query": {"Name": "q", "Service": service}})
        is None
    )


@pytest.mark.parametrize("value", ["", "default", None])
def test_newer_selectors_that_say_nothing_are_taken(value: Any) -> None:
    names = ("PeerName", "Partition", "Namespace", "SamenessGroup")
    newer = {**dict.fromkeys(names, value), "MergeCentralConfig": False}
    assert said("Catalog.ListNodes", {"Datacenter": "dc1", **newer}) is None


def asked(server: Any, method: str, body: Any) -> Any:
    """The reply to a call from the wire."""
    found: list[Any] = []
    serve(server, method, unpack(pack(body))).addBoth(found.append)
    return getattr(found[0], "value", found[0])


def entry_request(op: str, index: int = 0) -> bytes:
    entry = {"Kind": "service-defaults", "Name": "web", "Protocol": "http", "ModifyIndex": index}
    return pack("service-defaults") + pack({"Datacenter": "dc1", "Op": op, "Entry": entry, "Token": ""})


def test_a_newer_agent_s_delete_on_a_condition_deletes_on_that_condition_only() -> None:
    """Consul 1.11 sends the operation `delete-cas` with the method that 1.8.7 deletes by whatever the index is."""
    server = make_server(Clock())
    assert asked(server, "ConfigEntry.Apply", entry_request("upsert")) is True
    index = server.store.config_entries.all(None)[1][0].modify_index
    assert asked(server, "ConfigEntry.Delete", entry_request("delete-cas", index + 1)).to_wire() == {"Deleted": False}
    assert len(server.store.config_entries.all(None)[1]) == 1
    assert asked(server, "ConfigEntry.Delete", entry_request("delete-cas", index)).to_wire() == {"Deleted": True}
    assert not server.store.config_entries.all(None)[1]
    assert asked(server, "ConfigEntry.Delete", entry_request("delete-cas", index)).to_wire() == {"Deleted": False}
    assert asked(server, "ConfigEntry.Delete", entry_request("delete")).to_wire() == {}


def test_entries_by_a_filter_of_a_newer_agent() -> None:
    server = make_server(Clock())
    assert asked(server, "ConfigEntry.Apply", entry_request("upsert")) is True
    query = {"Datacenter": "dc1", "Kind": "service-defaults"}
    assert [each.name for each in asked(server, "ConfigEntry.List", query).entries] == ["web"]
    matching = asked(server, "ConfigEntry.List", {**query, "Filter": 'Protocol == "http"'})
    assert [each.name for each in matching.entries] == ["web"]
    assert asked(server, "ConfigEntry.List", {**query, "Filter": 'Protocol == "tcp"'}).entries == []


def named(source: str, destination: str, **more: Any) -> dict[str, Any]:
    return {
        "SourceName": source,
        "SourceNS": "default",
        "DestinationName": destination,
        "DestinationNS": "default",
        **more,
    }


def test_intentions_of_a_newer_agent_are_written_read_and_deleted_by_their_names() -> None:
    """`/v1/connect/intentions/exact` of an agent from Consul 1.9 on."""
    server = make_server(Clock())

    def apply(op: str, intention: dict[str, Any]) -> Any:
        return asked(server, "Intention.Apply", {"Datacenter": "dc1", "Op": op, "Intention": intention})

    def get(**exact: Any) -> Any:
        return asked(server, "Intention.Get", {"Datacenter": "dc1", "IntentionID": "", "Exact": named(**exact)})

    assert str(get(source="web", destination="db")) == "Intention not found"
    assert apply("upsert", named("web", "db", Action="allow", SourceType="consul")) == ""
    first = get(source="web", destination="db").intentions[0]
    assert (first.action, first.precedence) == ("allow", 9)
    assert apply("upsert", named("WEB", "db", Action="deny", SourceType="consul")) == ""
    second = get(source="web", destination="db").intentions[0]
    assert (second.id, second.action, second.create_index) == (first.id, "deny", first.create_index)
    assert "Action must be set" in str(apply("upsert", named("a", "b", Permissions=[{"Action": "allow"}])))
    assert "Intention lookup failed" in str(apply("delete", {}))
    assert apply("delete", named("web", "other")) == "", "there is none"
    assert apply("delete", named("web", "db")) == ""
    assert str(get(source="web", destination="db")) == "Intention not found"


def test_a_delete_by_names_needs_the_right_to_the_destination() -> None:
    harness = GuardedHarness()
    server = harness.agent.server
    token = harness.token('service "db" { policy = "write" intentions = "read" }')
    body = {"Datacenter": "dc1", "Intention": named("web", "db", Action="allow", SourceType="consul")}
    assert asked(server, "Intention.Apply", {**body, "Op": "upsert", "Token": MASTER}) == ""
    for op in ("upsert", "delete"):
        assert "Permission denied" in str(asked(server, "Intention.Apply", {**body, "Op": op, "Token": token}))
    assert len(server.store.intentions.all(None)[1]) == 1
    assert asked(server, "Intention.Apply", {**body, "Op": "delete", "Token": MASTER}) == ""
    assert not server.store.intentions.all(None)[1]


def test_the_state_of_autopilot_as_a_newer_agent_asks_it() -> None:
    server = make_server(Clock())
    state = asked(server, "Operator.AutopilotState", {"Datacenter": "dc1"}).to_wire()
    assert (state["Healthy"], state["FailureTolerance"], state["Leader"]) == (True, 0, server.node_id)
    assert state["Voters"] == [server.node_id]
    only = state["Servers"][server.node_id]
    assert (only["State"], only["Server"]["Name"], only["Server"]["NodeStatus"]) == ("leader", "s1", "alive")
    assert only["Health"]["Healthy"]
    assert len(only["Health"]["StableSince"]) == 15


def test_upstreams_as_agents_from_1_14_on_name_them() -> None:
    """`UpstreamServiceNames` of ConfigEntry.ResolveServiceConfig; older agents get a map instead of the list."""
    harness = HttpHarness(FakeAgent().start())
    harness.tell("PUT /v1/config", {"Kind": "service-defaults", "Name": "db", "Protocol": "http"})
    names = [
        {"ServiceName": {"Name": "db"}, "Peer": ""},
        {"ServiceName": {"Name": "none"}, "Peer": ""},
        {"ServiceName": {"Name": "db"}, "Peer": "east"},
    ]
    body = {"Name": "web", "Datacenter": "dc1", "UpstreamServiceNames": names, "Mode": "", "MeshGateway": {"Mode": ""}}
    reply = asked(harness.agent.server, "ConfigEntry.ResolveServiceConfig", body)
    found = unpack(unpack(pack(reply.to_wire())))
    assert found[b"UpstreamConfigs"] == [
        {b"Config": {b"protocol": b"http"}, b"Upstream": {b"Peer": b"", b"ServiceName": {b"Name": b"db"}}}
    ]
    by_name = {**body, "UpstreamServiceNames": None, "Upstreams": ["db"]}
    older = asked(harness.agent.server, "ConfigEntry.ResolveServiceConfig", by_name)
    assert unpack(unpack(pack(older.to_wire())))[b"UpstreamConfigs"] == {b"db": {b"protocol": b"http"}}
    none = asked(harness.agent.server, "ConfigEntry.ResolveServiceConfig", {**body, "UpstreamServiceNames": names[1:]})
    assert unpack(unpack(pack(none.to_wire())))[b"UpstreamConfigs"] is None
