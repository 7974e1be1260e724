"""Kinds of config entries after 1.8.7, as Terraform, consul-k8s and the Go client write them: kept, never run."""

from typing import Any

import pytest

from consulpy.rpc.endpoints.status import config_entry_kinds
from consulpy.state.commands import COMMANDS
from consulpy.structs.config_entry import KINDS
from consulpy.structs.config_entry_requests import AllEntriesQuery
from consulpy.structs.newer_config_entry import NEWER_KINDS, NewerEntry
from consulpy.structs.requests import Empty
from tests.fakes.quorum import FakeQuorum
from tests.harness.guarded import GuardedHarness
from tests.harness.http import FakeAgent, HttpHarness

KEY_SET = {"Local": {"JWKS": "eyJrZXlzIjpbXX0="}}
#: What is written, by the version that it stands for.
ENTRIES: dict[str, dict[str, Any]] = {
    "1.10": {"Kind": "mesh", "TransparentProxy": {"MeshDestinationsOnly": False}, "Meta": {"a": "b"}},
    "1.11": {
        "Kind": "exported-services",
        "Name": "default",
        "Services": [{"Name": "web", "Consumers": [{"Peer": "x"}]}],
    },
    "1.15 gateway": {
        "Kind": "api-gateway",
        "Name": "gw",
        "Listeners": [{"Name": "l", "Port": 8443, "Protocol": "http"}],
    },
    "1.15 http": {
        "Kind": "http-route",
        "Name": "r",
        "Parents": [{"Kind": "api-gateway", "Name": "gw"}],
        "Rules": [{"Services": [{"Name": "web", "Weight": 1}]}],
        "Hostnames": ["a.example"],
    },
    "1.15 tcp": {"Kind": "tcp-route", "Name": "t", "Services": [{"Name": "db"}]},
    "1.15 cert": {"Kind": "inline-certificate", "Name": "c", "Certificate": "PEM", "PrivateKey": "PEM"},
    "1.16": {"Kind": "jwt-provider", "Name": "okta", "JSONWebKeySet": KEY_SET, "Issuer": "x", "ClockSkewSeconds": 30},
    "1.19": {"Kind": "file-system-certificate", "Name": "f", "Certificate": "/c", "PrivateKey": "/k"},
}


@pytest.fixture
def harness() -> HttpHarness:
    return HttpHarness(FakeAgent().start())


def without_indexes(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if name not in ("CreateIndex", "ModifyIndex")}


@pytest.mark.parametrize("version", ENTRIES)
def test_an_entry_is_kept_as_it_was_written(harness: HttpHarness, version: str) -> None:
    entry = ENTRIES[version]
    kind, name = entry["Kind"], entry.get("Name", "mesh")
    assert harness.ask(f"GET /v1/config/{kind}").json == []
    assert harness.ask(f"GET /v1/config/{kind}/{name}").status == 404
    assert harness.ask("PUT /v1/config", entry).json is True
    found = harness.ask(f"GET /v1/config/{kind}/{name}").json
    assert without_indexes(found) == entry
    assert harness.ask(f"GET /v1/config/{kind}").json == [found]
    assert harness.ask("PUT /v1/config", found).json is True
    index = harness.ask(f"GET /v1/config/{kind}/{name}").json["ModifyIndex"]
    assert harness.ask(f"PUT /v1/config?cas={index + 9}", entry).json is False
    assert harness.ask(f"DELETE /v1/config/{kind}/{name}?cas={index + 9}").json is False
    assert harness.ask(f"DELETE /v1/config/{kind}/{name}").json == {}
    assert harness.ask(f"GET /v1/config/{kind}").json == []


def test_the_log_holds_all_of_it(harness: HttpHarness) -> None:
    commands: list[bytes] = []
    submit = harness.agent.log.submit

    def noted(command: Any, done: Any) -> None:
        commands.append(command.encode(sparse=True))
        submit(command, done)

    harness.agent.log.submit = noted  # type: ignore[method-assign]
    for entry in ENTRIES.values():
        harness.ask("PUT /v1/config", entry)
    decoded = [COMMANDS[22].decode(memoryview(data)[1:]).body.entry for data in commands]
    assert [without_indexes(each.to_json()) for each in decoded] == list(ENTRIES.values())


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ({"Kind": "mesh", "Colour": 1}, 'invalid config key "Colour"'),
        ({"Kind": "mesh", "Name": "other"}, '"Name"'),
        ({"Kind": "mesh", "TransparentProxy": {"MeshDestinationsOnly": True}}, "TransparentProxy.MeshDestinationsOnly"),
        ({"Kind": "mesh", "TLS": {"Incoming": {"TLSMinVersion": "TLSv1_3"}}}, "TLS.Incoming.TLSMinVersion"),
        ({"Kind": "mesh", "Partition": "team"}, "Enterprise"),
        ({"Kind": "jwt-provider", "Name": "x"}, "JSONWebKeySet is required"),
        ({"Kind": "inline-certificate", "Name": "x", "Certificate": "PEM"}, "PrivateKey is required"),
        ({"Kind": "http-route"}, "Name is required"),
        ({"Kind": "sameness-group", "Name": "x"}, "invalid config entry kind: sameness-group"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(harness: HttpHarness, entry: dict[str, Any], text: str) -> None:
    answer = harness.ask("PUT /v1/config", entry)
    assert answer.status in (400, 500)
    assert text in answer.text
    assert not harness.agent.log.store.config_entries.table.all()


def test_values_that_say_nothing_are_taken(harness: HttpHarness) -> None:
    entry = {"Kind": "mesh", "TLS": None, "HTTP": {"SanitizeXForwardedClientCert": False}, "Partition": "default"}
    assert harness.ask("PUT /v1/config", entry).json is True
    assert "TLS" not in harness.ask("GET /v1/config/mesh/mesh").json


def test_durations_are_texts_here_and_numbers_for_newer_agents(harness: HttpHarness) -> None:
    """Go's decoder takes no text for a duration: an agent could not read the entry."""
    remote = {"URI": "https://x", "CacheDuration": "1h0m0s", "JWKSCluster": {"ConnectTimeout": "5s"}}
    entry = {"Kind": "jwt-provider", "Name": "okta", "JSONWebKeySet": {"Remote": remote}}
    assert harness.ask("PUT /v1/config", entry).json is True
    assert without_indexes(harness.ask("GET /v1/config/jwt-provider/okta").json) == entry
    stored = harness.agent.log.store.config_entries.get(None, "jwt-provider", "okta")[1]
    assert stored.to_wire()["JSONWebKeySet"]["Remote"]["CacheDuration"] == 3600 * 10**9
    remote["CacheDuration"] = "soon"
    assert "JSONWebKeySet.Remote.CacheDuration" in harness.ask("PUT /v1/config", entry).text


def test_what_only_newer_servers_write_is_never_there(harness: HttpHarness) -> None:
    """bound-api-gateway (Consul 1.15)."""
    assert harness.ask("GET /v1/config/bound-api-gateway").json == []
    assert harness.ask("GET /v1/config/bound-api-gateway/gw").status == 404
    assert harness.ask("PUT /v1/config", {"Kind": "bound-api-gateway", "Name": "gw"}).status == 400


def test_nothing_is_written_that_would_end_another_server(harness: HttpHarness) -> None:
    harness.agent.server.quorum = FakeQuorum()  # type: ignore[assignment]
    answer = harness.ask("PUT /v1/config", ENTRIES["1.10"])
    assert answer.status == 500
    assert "config entry kind mesh came with Consul 1.10" in answer.text
    assert "127.0.0.2:8300" in answer.text
    assert harness.ask("DELETE /v1/config/mesh/mesh").json == {}
    assert not harness.agent.log.store.config_entries.table.all()
    harness.agent.server.quorum = FakeQuorum([])  # type: ignore[assignment]
    assert harness.ask("PUT /v1/config", ENTRIES["1.10"]).json is True


def test_other_datacenters_of_1_8_7_are_not_told_of_them(harness: HttpHarness) -> None:
    harness.ask("PUT /v1/config", ENTRIES["1.10"])
    harness.ask("PUT /v1/config", {"Kind": "service-defaults", "Name": "web"})

    def kinds(query: AllEntriesQuery) -> list[str]:
        found: list[Any] = []
        harness.agent.caller.call("ConfigEntry.ListAll", query).addCallback(lambda reply: found.extend(reply.entries))
        return [each.kind for each in found]

    assert kinds(AllEntriesQuery(datacenter="dc1")) == ["service-defaults"]
    assert kinds(AllEntriesQuery(datacenter="dc1", kinds=["mesh"])) == ["mesh"]
    assert b"Kinds" not in AllEntriesQuery(datacenter="dc1").pack()


def test_this_program_says_which_kinds_it_knows() -> None:
    assert config_entry_kinds(None, Empty()) == list(NEWER_KINDS)  # type: ignore[arg-type]
    assert not NEWER_KINDS.keys() & KINDS.keys()


def test_they_are_operators(harness: HttpHarness) -> None:
    guarded = GuardedHarness()
    operator = guarded.token('operator = "write"')
    reader = guarded.token('operator = "read" service_prefix "" { policy = "write" }')
    assert guarded.as_(reader, "PUT /v1/config", ENTRIES["1.10"]).status == 403
    assert guarded.as_(operator, "PUT /v1/config", ENTRIES["1.10"]).json is True
    assert len(guarded.as_(reader, "GET /v1/config/mesh").json) == 1
    nobody = guarded.token('service_prefix "" { policy = "write" }')
    assert guarded.as_(nobody, "GET /v1/config/mesh").json == []
    assert guarded.as_(nobody, "GET /v1/config/mesh/mesh").status == 403


SPELLINGS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (
        {"kind": "mesh", "tls": {"incoming": {"tls_min_version": "TLSv1_2"}},
         "peering": {"peer_through_mesh_gateways": True}},
        {"TLS": {"Incoming": {"TLSMinVersion": "TLSv1_2"}}, "Peering": {"PeerThroughMeshGateways": True}},
    ),
    (
        {"kind": "http-route", "name": "r", "rules": [{
            "filters": {"headers": [{"add": {"name": "1", "retry_on": "2"}}], "timeout_filter": {"idle_timeout": "5s"}},
            "matches": [{"path": {"match": "exact", "VALUE": "/x"}}],
            "services": [{"name": "web", "weight": 1, "custom_key": 7}]}]},
        {"Rules": [{
            "Filters": {"Headers": [{"Add": {"name": "1", "retry_on": "2"}}], "TimeoutFilter": {"IdleTimeout": "5s"}},
            "Matches": [{"Path": {"Match": "exact", "Value": "/x"}}],
            "Services": [{"Name": "web", "Weight": 1, "custom_key": 7}]}]},
    ),
    (
        {"kind": "jwt-provider", "name": "okta", "json_web_key_set": {"remote": {
            "uri": "https://x", "cache_duration": "1m", "CacheDuration": "2m",
            "retry_policy": {"num_retries": 1, "retry_policy_back_off": {"base_interval": "1s"}}}}},
        {"JSONWebKeySet": {"Remote": {
            "URI": "https://x", "CacheDuration": "2m0s",
            "RetryPolicy": {"NumRetries": 1, "RetryPolicyBackOff": {"BaseInterval": "1s"}}}}},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("written", "kept"), SPELLINGS)
def test_fields_inside_have_their_go_names(harness: HttpHarness, written: dict[str, Any], kept: dict[str, Any]) -> None:
    """Newer servers read these alone, and durations as numbers; names of headers are those that users chose."""
    assert harness.ask("PUT /v1/config", written).json is True
    name = written.get("name", "mesh")
    shown = without_indexes(harness.ask(f"GET /v1/config/{written['kind']}/{name}").json)
    assert {key: value for key, value in shown.items() if key not in ("Kind", "Name")} == kept
    stored = harness.agent.server.store.config_entries.find(written["kind"], name)
    assert isinstance(stored, NewerEntry)
    wire = stored.to_wire()
    if "Rules" in wire:
        assert wire["Rules"][0]["Filters"]["TimeoutFilter"] == {"IdleTimeout": 5 * 10**9}
