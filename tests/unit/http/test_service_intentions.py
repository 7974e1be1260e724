"""Intentions as newer clients write them: `/exact` (1.9: Go client, Nomad) and `service-intentions` (Terraform, k8s).

Both are views of the intentions that servers of 1.8.7 know by id.
"""

import dataclasses
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from consulpy.codec.msgpack import pack, unpack
from consulpy.config.bootstrap_entries import entries_of
from consulpy.errors import RPCError
from consulpy.rpc.dispatch import serve
from consulpy.rpc.endpoints.config_entry import bootstrap
from consulpy.state.commands import Txn
from consulpy.state.store import Store
from consulpy.structs.config_entry_requests import EntriesReply, EntryQuery, EntryReply, EntryRequest
from consulpy.structs.intention import Intention, IntentionRequest
from consulpy.structs.service_intentions import ServiceIntentions
from consulpy.structs.txn import TxnOp, TxnRequest
from tests.harness.guarded import MASTER, GuardedHarness
from tests.harness.http import FakeAgent, HttpHarness

EXACT = "/v1/connect/intentions/exact"
ENTRY = "/v1/config/service-intentions"


@pytest.fixture
def harness() -> HttpHarness:
    return HttpHarness(FakeAgent().start())


def entry(*sources: dict[str, Any], name: str = "db", **more: Any) -> dict[str, Any]:
    return {"Kind": "service-intentions", "Name": name, "Sources": list(sources), **more}


def by_name(harness: HttpHarness) -> dict[str, str]:
    """All intentions as the old API tells them."""
    found = harness.ask("GET /v1/connect/intentions").json
    return {f"{each['SourceName']} {each['DestinationName']}": each["Action"] for each in found}


def test_an_intention_is_written_read_and_removed_by_its_names(harness: HttpHarness) -> None:
    where = f"{EXACT}?source=web&destination=db"
    assert harness.ask(f"GET {where}").status == 404
    assert harness.ask(f"GET {where}").text == "Intention not found"
    body = {"SourceName": "web", "DestinationName": "db", "SourceType": "consul", "Action": "allow", "Description": "d"}
    assert harness.ask(f"PUT {where}", body).json is True
    found = harness.ask(f"GET {where}").json
    assert (found["Action"], found["Description"], found["Precedence"]) == ("allow", "d", 9)
    assert harness.ask(f"GET /v1/connect/intentions/{found['ID']}").json == found
    assert harness.ask(f"PUT {where}", {"Action": "deny"}).json is True
    changed = harness.ask(f"GET {EXACT}?source=default/web&destination=default/default/db").json
    assert (changed["ID"], changed["Action"], changed["Description"]) == (found["ID"], "deny", "")
    assert harness.ask(f"DELETE {where}").json is True
    assert harness.ask(f"DELETE {where}").json is True
    assert by_name(harness) == {}


def test_the_default_namespace_and_partition_are_taken_and_no_others(harness: HttpHarness) -> None:
    """As 1.11 and later do here, and nowhere else."""
    where = f"{EXACT}?source=web&destination=db&ns=default&partition=default"
    assert harness.ask(f"PUT {where}", {"Action": "allow"}).json is True
    assert len(harness.ask("GET /v1/connect/intentions?ns=default&partition=default").json) == 1
    assert harness.ask("GET /v1/connect/intentions?partition=team").status == 400
    assert harness.ask("GET /v1/catalog/nodes?partition=default").status == 400


@pytest.mark.parametrize("query", ["", "?source=web", "?destination=db", "?source=a/b/c/d&destination=db"])
def test_both_names_are_required(harness: HttpHarness, query: str) -> None:
    for method in ("GET", "PUT", "DELETE"):
        answer = harness.ask(f"{method} {EXACT}{query}", {"Action": "allow"} if method == "PUT" else b"")
        assert answer.status == 400, answer.text
        assert "source" in answer.text or "destination" in answer.text


@pytest.mark.parametrize(
    ("field", "value", "since"),
    [("Permissions", [{"Action": "allow"}], "1.9"), ("SourcePeer", "other", "1.14"), ("Colour", 1, "unknown")],
)
def test_what_cannot_be_honoured_is_refused_by_name(harness: HttpHarness, field: str, value: Any, since: str) -> None:
    answer = harness.ask(f"PUT {EXACT}?source=web&destination=db", {"Action": "allow", field: value})
    assert answer.status == 400
    assert field in answer.text
    assert since in answer.text
    assert by_name(harness) == {}


def test_the_entry_is_a_view_of_the_intentions(harness: HttpHarness) -> None:
    harness.ask("PUT /v1/connect/intentions/exact?source=web&destination=db", {"Action": "allow"})
    written = entry(
        {"Name": "*", "Action": "deny"}, {"Name": "api", "Action": "allow", "Description": "x", "Type": "consul"}
    )
    assert harness.ask("PUT /v1/config", written).json is True
    assert by_name(harness) == {"api db": "allow", "* db": "deny"}
    found = harness.ask(f"GET {ENTRY}/db").json
    ids = {each["SourceName"]: each["ID"] for each in harness.ask("GET /v1/connect/intentions").json}
    assert found["Sources"] == [
        {
            "Name": "api",
            "Action": "allow",
            "Precedence": 9,
            "LegacyID": ids["api"],
            "Type": "consul",
            "Description": "x",
        },
        {"Name": "*", "Action": "deny", "Precedence": 8, "LegacyID": ids["*"], "Type": "consul"},
    ]
    assert harness.ask(f"GET {ENTRY}").json == [found]
    assert harness.ask(f'GET {ENTRY}?filter=Name=="other"').json == []
    answer = harness.ask(f"GET {ENTRY}/none")
    assert (answer.status, answer.text) == (404, 'Config entry not found for "service-intentions" / "none"')


def test_what_was_read_may_be_written_back(harness: HttpHarness) -> None:
    """As Terraform and consul-k8s do: with the fields that servers set."""
    meta = {"external-source": "kubernetes"}
    harness.ask(
        "PUT /v1/config", entry({"Name": "web", "Action": "allow"}, {"Name": "api", "Action": "deny"}, Meta=meta)
    )
    found = harness.ask(f"GET {ENTRY}/db").json
    assert found["Meta"] == meta
    assert "LegacyMeta" not in found["Sources"][0]
    found["Sources"][0] |= {"LegacyCreateTime": "2026-01-01T00:00:00Z", "Permissions": None, "Namespace": "default"}
    assert harness.ask("PUT /v1/config", {**found, "Partition": "", "JWT": None}).json is True
    assert harness.ask(f"GET {ENTRY}/db").json["ModifyIndex"] == found["ModifyIndex"]


def test_conditions_hold(harness: HttpHarness) -> None:
    one, two = entry({"Name": "a", "Action": "allow"}), entry({"Name": "b", "Action": "deny"})
    assert harness.ask("PUT /v1/config?cas=7", one).json is False
    assert harness.ask("PUT /v1/config?cas=0", one).json is True
    index = harness.ask(f"GET {ENTRY}/db").json["ModifyIndex"]
    assert harness.ask("PUT /v1/config?cas=0", two).json is False
    assert harness.ask(f"DELETE {ENTRY}/db?cas={index + 1}").json is False
    assert by_name(harness) == {"a db": "allow"}
    assert harness.ask(f"PUT /v1/config?cas={index}", two).json is True
    assert by_name(harness) == {"b db": "deny"}
    assert harness.ask(f"DELETE {ENTRY}/db").json == {}
    assert by_name(harness) == {}


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ({"Name": "web"}, "Sources[1].Action must be set to 'allow' or 'deny'"),
        ({"Action": "allow"}, "Sources[1].Name is required"),
        ({"Name": "w*", "Action": "allow"}, "wildcard character"),
        ({"Name": "ok", "Action": "allow"}, 'Sources[1] defines "ok" more than once'),
        ({"Name": "web", "Action": "allow", "Type": "other"}, "Type must be set to 'consul'"),
        ({"Name": "web", "Permissions": [{"Action": "allow", "HTTP": {"PathPrefix": "/"}}]}, "Sources[1].Permissions"),
        ({"Name": "web", "Action": "allow", "Peer": "east"}, "it came with Consul 1.14"),
        ({"Name": "web", "Action": "allow", "Namespace": "team"}, "Enterprise"),
    ],
)
def test_a_bad_source_changes_nothing(harness: HttpHarness, source: dict[str, Any], text: str) -> None:
    answer = harness.ask("PUT /v1/config", entry({"Name": "ok", "Action": "allow"}, source))
    assert answer.status in (400, 500)
    assert text in answer.text
    assert by_name(harness) == {}


def test_rights_are_those_of_intentions() -> None:
    guarded = GuardedHarness()
    token = guarded.token('service "db" { policy = "write" intentions = "write" }')
    body = entry({"Name": "web", "Action": "allow"})
    assert (
        guarded.as_(
            guarded.token('service "db" { policy = "write" intentions = "read" }'), "PUT /v1/config", body
        ).status
        == 403
    )
    assert guarded.as_(token, "PUT /v1/config", body).json is True
    assert guarded.as_(token, "PUT /v1/config", entry({"Name": "web", "Action": "allow"}, name="x")).status == 403
    assert guarded.as_(guarded.token('service "x" { policy = "read" }'), f"GET {ENTRY}").json == []
    assert [each["Name"] for each in guarded.as_(MASTER, f"GET {ENTRY}").json] == ["db"]


def rpc(harness: HttpHarness, method: str, request: Any) -> Any:
    """A call from the wire, as newer agents make it."""
    replies: list[Any] = []
    serve(harness.agent.server, method, unpack(pack(request.to_wire()))).addBoth(replies.append)
    return replies[0]


def sources(*rows: dict[str, Any], **more: Any) -> EntryRequest:
    """`ConfigEntry.Apply` with sources of db as they are on the wire."""

    class Raw(ServiceIntentions):
        def to_wire(self) -> Any:
            return {**super().to_wire(), "Sources": list(rows), **more}

    return EntryRequest("dc1", "", "upsert", Raw(kind="service-intentions", name="db"))


def test_all_sources_are_written_by_one_command_of_the_log(harness: HttpHarness) -> None:
    names = [{"Name": name, "Action": "allow"} for name in ("a", "b", "c")]
    assert harness.ask("PUT /v1/config", entry(*names)).json is True
    rows = harness.ask("GET /v1/connect/intentions").json
    assert len(rows) == 3
    assert len({row["CreateIndex"] for row in rows}) == 1
    assert harness.ask("PUT /v1/config", entry(names[0], {"Name": "d", "Action": "deny"})).json is True
    index = int(harness.ask("GET /v1/connect/intentions").headers["x-consul-index"])
    assert by_name(harness) == {"a db": "allow", "d db": "deny"}
    assert harness.ask(f"DELETE {ENTRY}/db").json == {}
    assert int(harness.ask("GET /v1/connect/intentions").headers["x-consul-index"]) == index + 1


def test_a_leader_that_does_not_know_the_entry_gets_its_intentions(harness: HttpHarness) -> None:
    real, called = harness.agent.caller, []

    class Older:
        def call(self, method: str, *rest: Any) -> Any:
            called.append(method)
            if method == "ConfigEntry.DeleteCas":
                return fail(RPCError("rpc: can't find method ConfigEntry.DeleteCas"))
            if method == "Intention.Apply" and not rest[0].intention.id and rest[0].op != "create":
                return fail(RPCError("failed intention lookup: index error: UUID must be 36 characters"))
            if method.startswith("ConfigEntry."):
                return fail(RPCError("codec.decoder: invalid config entry kind: service-intentions"))
            return real.call(method, *rest)

    harness.agent.caller = Older()
    assert harness.ask("PUT /v1/config?cas=3", entry({"Name": "a", "Action": "allow"})).json is False
    assert harness.ask("PUT /v1/config", entry({"Name": "a", "Action": "allow"}, {"Name": "b", "Action": "deny"})).json
    assert by_name(harness) == {"a db": "allow", "b db": "deny"}
    assert harness.ask(f"DELETE {ENTRY}/db?cas=1").json is False
    assert harness.ask(f"DELETE {ENTRY}/db").json == {}
    assert by_name(harness) == {}
    for action in ("allow", "deny"):
        assert harness.ask(f"PUT {EXACT}?source=a&destination=db", {"Action": action}).json is True
        assert by_name(harness) == {"a db": action}
    for _ in range(2):
        assert harness.ask(f"DELETE {EXACT}?source=a&destination=db").json is True
    assert by_name(harness) == {}
    assert "ConfigEntry.Apply" in called


def test_newer_agents_write_and_read_it_by_rpc(harness: HttpHarness) -> None:
    web = {"Name": "web", "Action": "allow", "Type": "consul"}
    assert rpc(harness, "ConfigEntry.Apply", sources(web, {"Name": "api", "Action": "deny"})) is True
    assert by_name(harness) == {"web db": "allow", "api db": "deny"}
    reply = rpc(harness, "ConfigEntry.Get", EntryQuery("dc1", kind="service-intentions", name="db"))
    again = EntryReply.from_wire(reply.to_wire()).entry
    assert [each.name for each in again.sources] == ["api", "web"]
    listed = rpc(harness, "ConfigEntry.List", EntryQuery("dc1", kind="service-intentions"))
    assert [each.name for each in EntriesReply.from_wire(listed.to_wire()).entries] == ["db"]
    conditional = sources(web)
    conditional.op, conditional.entry.modify_index = "upsert-cas", again.modify_index + 1
    assert rpc(harness, "ConfigEntry.Apply", conditional) is False
    conditional.entry.modify_index = again.modify_index
    assert rpc(harness, "ConfigEntry.Apply", conditional) is True
    assert by_name(harness) == {"web db": "allow"}
    rpc(harness, "ConfigEntry.Delete", sources())
    assert by_name(harness) == {}


@pytest.mark.parametrize(
    ("field", "value"),
    [("Peer", "east"), ("SamenessGroup", "s"), ("Namespace", "team"), ("Permissions", [{"Action": "allow"}])],
)
def test_a_source_that_means_another_one_is_refused_by_rpc(harness: HttpHarness, field: str, value: Any) -> None:
    reply = rpc(harness, "ConfigEntry.Apply", sources({"Name": "web", "Action": "allow", field: value}))
    assert isinstance(reply, Failure)
    assert value in str(reply.value) if isinstance(value, str) else field in str(reply.value)
    jwt = rpc(harness, "ConfigEntry.Apply", sources({"Name": "web", "Action": "allow"}, JWT={"Providers": []}))
    assert "JWT" in str(jwt.value)
    assert by_name(harness) == {}


def test_a_clients_transaction_changes_no_intentions(harness: HttpHarness) -> None:
    """Leaders write them so; as an operation its rights would not be checked."""
    created = IntentionRequest("dc1", "", "create", Intention(id="x", source_name="a", destination_name="b"))
    reply = rpc(harness, "Txn.Apply", TxnRequest("dc1", "", [TxnOp(intention=created)]))
    assert "intentions cannot be changed" in reply.errors[0].what
    assert by_name(harness) == {}


def test_a_failed_operation_undoes_the_others() -> None:
    store = Store()
    row = Intention(id="1", source_name="a", destination_name="b", source_ns="default", destination_ns="default")
    operations = [TxnOp(intention=IntentionRequest("dc1", "", "create", row)) for _ in "ab"]
    operations[1].intention = IntentionRequest("dc1", "", "create", dataclasses.replace(row, id="2"))
    assert "duplicate intention" in Txn(TxnRequest("dc1", "", operations)).apply(store, 9).errors[0].what
    assert store.intentions.all(None) == (0, [])


def test_a_leader_writes_what_its_file_says_unless_there_is_such_an_entry(harness: HttpHarness) -> None:
    """`config_entries { bootstrap {} }` with kinds of 1.9 and later."""
    server = harness.agent.server
    mesh = {"Kind": "mesh", "TransparentProxy": {"MeshDestinationsOnly": False}}
    for raw in (entry({"Name": "web", "Action": "allow"}, {"Name": "*", "Action": "deny"}), mesh):
        for made in entries_of([raw]):
            Deferred.fromCoroutine(bootstrap(server, made))
    assert by_name(harness) == {"web db": "allow", "* db": "deny"}
    assert harness.ask("GET /v1/config/mesh/mesh").json["TransparentProxy"] == {"MeshDestinationsOnly": False}
    index = server.store.index
    for made in entries_of([entry({"Name": "other", "Action": "allow"}), mesh]):
        Deferred.fromCoroutine(bootstrap(server, made))
    assert by_name(harness) == {"web db": "allow", "* db": "deny"}
    assert server.store.index == index


@pytest.mark.parametrize(("policy", "allowed"), [("", True), ("allow", True), ("deny", False)])
def test_the_default_policy_of_intentions(harness: HttpHarness, policy: str, allowed: bool) -> None:
    """`default_intention_policy` (Consul 1.17): without it that of access control, which is off here."""
    harness.agent.server.default_intention_policy = policy
    check = "GET /v1/connect/intentions/check?source=web&destination="
    assert harness.ask(f"{check}none").json == {"Allowed": allowed}
    harness.ask("PUT /v1/config", entry({"Name": "web", "Action": "allow"}))
    assert harness.ask(f"{check}db").json == {"Allowed": True}


def test_a_field_that_cannot_be_honoured_is_seen_however_it_is_written(harness: HttpHarness) -> None:
    for body in (
        {"Kind": "mesh", "transparent_proxy": {"mesh_destinations_only": True}},
        {"Kind": "mesh", "TLS": {"incoming": {"tls_min_version": "TLSv1_3"}}},
    ):
        answer = harness.ask("PUT /v1/config", body)
        assert answer.status in (400, 500)
        assert "invalid config key" in answer.text
    assert harness.ask("GET /v1/config/mesh").json == []


def test_of_two_writes_on_one_condition_at_once_one_is_made(harness: HttpHarness) -> None:
    """The second is compared when the first is applied; an intention that is written by id meanwhile counts too."""
    log, waiting = harness.agent.log, list[Any]()
    submit = log.submit
    log.submit = lambda command, done: waiting.append((command, done))
    first = harness.begin(
        "PUT /v1/config?cas=0", entry({"Name": "a", "Action": "allow"}, {"Name": "b", "Action": "deny"})
    )
    second = harness.begin("PUT /v1/config?cas=0", entry({"Name": "c", "Action": "allow"}))
    created = {"SourceName": "a", "DestinationName": "db", "Action": "deny"}
    third = harness.begin("POST /v1/connect/intentions", created)
    assert len(waiting) == 1
    while waiting:
        submit(*waiting.pop(0))
    assert [each.answer.json for each in (first, second) if each.answer is not None] == [True, False]
    assert third.answer is not None
    assert "duplicate intention" in third.answer.text
    assert by_name(harness) == {"a db": "allow", "b db": "deny"}
