"""Fields that came after 1.8.7 into its kinds of config entries, as Terraform and the Go client write them."""

from dataclasses import is_dataclass
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail

from consulpy.codec.msgpack import pack
from consulpy.codec.record import attributes
from consulpy.errors import NoSuchMethod, RPCError
from consulpy.http.api.config_entry_body import weakly_decoded
from consulpy.rpc.dispatch import serve
from consulpy.state.commands import COMMANDS
from consulpy.state.store import Store
from consulpy.structs import config_entry, newer_config_fields
from consulpy.structs.config_entry_requests import EntryReply
from consulpy.structs.newer_config_fields import newer_attributes
from tests.fakes.quorum import FakeQuorum
from tests.harness.http import FakeAgent, HttpHarness

LIMITS = {"MaxConnections": 0, "MaxPendingRequests": 512}
FAILING = {"Interval": "10s", "MaxFailures": 5, "EnforcingConsecutive5xx": 0, "BaseEjectionTime": "30s"}
HEADERS = {"Add": {"x-a": "1"}, "Set": {"x-b": "2"}, "Remove": ["x-c"]}
EXTENSION = {"Name": "builtin/lua", "Required": True, "Arguments": {"Script": "x", "Listener": "inbound", "Deep": [1]}}
#: By what they show.
ENTRIES: dict[str, dict[str, Any]] = {
    "service-defaults": {
        "Name": "web",
        "Protocol": "http",
        "Mode": "transparent",
        "TransparentProxy": {"OutboundListenerPort": 15001, "DialedDirectly": True},
        "UpstreamConfig": {
            "Overrides": [{"Name": "db", "Protocol": "tcp", "Limits": LIMITS, "PassiveHealthCheck": FAILING}],
            "Defaults": {"ConnectTimeoutMs": 500, "MeshGateway": {"Mode": "local"}, "EnvoyClusterJSON": "{}"},
        },
        "Destination": {"Addresses": ["a.example"], "Port": 443},
        "MaxInboundConnections": 7,
        "LocalConnectTimeoutMs": 8,
        "LocalRequestTimeoutMs": 9,
        "BalanceInboundConnections": "exact_balance",
        "EnvoyExtensions": [EXTENSION],
    },
    "proxy-defaults": {
        "Name": "global",
        "Config": {"a": 1},
        "Mode": "direct",
        "TransparentProxy": {"OutboundListenerPort": 15002},
        "AccessLogs": {"Enabled": True, "Type": "file", "Path": "/x", "JSONFormat": "{}"},
        "EnvoyExtensions": [EXTENSION],
    },
    "service-router": {
        "Name": "web",
        "Routes": [
            {
                "Match": {"HTTP": {"PathPrefix": "/a", "CaseInsensitive": True}},
                "Destination": {
                    "RequestTimeout": "5s",
                    "IdleTimeout": "1m0s",
                    "RetryOn": ["5xx"],
                    "RequestHeaders": HEADERS,
                    "ResponseHeaders": {"Remove": ["x"]},
                },
            }
        ],
    },
    "service-splitter": {"Name": "web", "Splits": [{"Weight": 100, "RequestHeaders": HEADERS}]},
    "service-resolver": {
        "Name": "web",
        "ConnectTimeout": "1s",
        "RequestTimeout": "15s",
        "LoadBalancer": {
            "Policy": "ring_hash",
            "RingHashConfig": {"MinimumRingSize": 10, "MaximumRingSize": 100},
            "HashPolicies": [{"Field": "cookie", "CookieConfig": {"TTL": "1m0s"}}, {"SourceIP": True}],
        },
    },
    "ingress-gateway": {
        "Name": "in",
        "TLS": {"Enabled": False, "SDS": {"ClusterName": "s", "CertResource": "c"}, "TLSMinVersion": "TLSv1_3"},
        "Listeners": [
            {
                "Port": 80,
                "Protocol": "http",
                "TLS": {"Enabled": True, "CipherSuites": ["X"]},
                "Services": [
                    {
                        "Name": "web",
                        "Hosts": ["a.example"],
                        "TLS": {"SDS": {"CertResource": "d"}},
                        "RequestHeaders": HEADERS,
                        "MaxConnections": 3,
                        "PassiveHealthCheck": FAILING,
                    }
                ],
            }
        ],
        "Defaults": {"MaxConnections": 5, "PassiveHealthCheck": {"MaxFailures": 2}},
    },
    "terminating-gateway": {"Name": "out", "Services": [{"Name": "web", "DisableAutoHostRewrite": True}]},
}  # fmt: skip
HTTP_DEFAULT = {"Kind": "proxy-defaults", "Name": "global", "Config": {"protocol": "http"}}


@pytest.fixture
def harness() -> HttpHarness:
    return HttpHarness(FakeAgent().start())


def written(harness: HttpHarness, kind: str) -> dict[str, Any]:
    """Write the entry of a kind, and what is shown of it."""
    entry = ENTRIES[kind]
    if kind != "proxy-defaults":
        assert harness.ask("PUT /v1/config", HTTP_DEFAULT).json is True
    answer = harness.ask("PUT /v1/config", {"Kind": kind, **entry})
    assert answer.json is True, answer.text
    return harness.ask(f"GET /v1/config/{kind}/{entry['Name']}").json


def holds(shown: Any, wanted: Any) -> bool:
    """Whether all that is wanted is shown."""
    if isinstance(wanted, dict):
        return isinstance(shown, dict) and all(holds(shown.get(name), value) for name, value in wanted.items())
    if isinstance(wanted, list):
        return len(shown) == len(wanted) and all(map(holds, shown, wanted))
    return bool(shown == wanted)


@pytest.mark.parametrize("kind", ENTRIES)
def test_they_are_given_back_as_they_were_written(harness: HttpHarness, kind: str) -> None:
    shown = written(harness, kind)
    assert holds(shown, ENTRIES[kind]), shown
    assert harness.ask(f"GET /v1/config/{kind}").json == [shown]
    assert shown in harness.ask("GET /v1/config/").json
    assert harness.ask("PUT /v1/config", shown).json is True, "what was read can be written"
    changed = harness.ask(f"GET /v1/config/{kind}/{shown['Name']}").json
    indexes = {"ModifyIndex": 0}
    assert {**changed, **indexes} == {**shown, **indexes}
    assert harness.ask(f"PUT /v1/config?cas={shown['ModifyIndex']}", shown).json is False


@pytest.mark.parametrize("kind", ENTRIES)
def test_the_log_the_state_and_replies_hold_them(harness: HttpHarness, kind: str) -> None:
    commands: list[bytes] = []
    submit = harness.agent.log.submit

    def noted(command: Any, done: Any) -> None:
        commands.append(command.encode(sparse=True))
        submit(command, done)

    harness.agent.log.submit = noted  # type: ignore[method-assign]
    shown = written(harness, kind)
    entry = COMMANDS[22].decode(memoryview(commands[-1])[1:]).body.entry
    indexes = {"CreateIndex": 0, "ModifyIndex": 0}
    assert {**entry.to_json(), **indexes} == {**shown, **indexes}
    reply = EntryReply.unpack(pack(EntryReply(entry=entry).to_wire()))
    assert reply.entry.to_json() == entry.to_json()


USUAL: list[dict[str, Any]] = [
    {"Kind": "service-defaults", "Name": "web", "MutualTLSMode": "strict", "Mode": "direct"},
    {"Kind": "proxy-defaults", "Name": "global", "MutualTLSMode": "strict", "PrioritizeByLocality": {"Mode": "none"}},
    {"Kind": "proxy-defaults", "Name": "global", "FailoverPolicy": {"Mode": "sequential"}},
    {"Kind": "service-resolver", "Name": "web", "PrioritizeByLocality": {"Mode": "none"}},
    {
        "Kind": "service-resolver",
        "Name": "web",
        "Failover": {"*": {"Datacenters": ["dc2"], "Policy": {"Mode": "sequential"}}},
    },
]


@pytest.mark.parametrize("entry", USUAL)
def test_what_is_so_anyway_is_given_back_and_taken_beside_servers_of_1_8_7(
    harness: HttpHarness, entry: dict[str, Any]
) -> None:
    """Terraform compares what it wrote and what it reads."""
    harness.agent.server.quorum = FakeQuorum()  # type: ignore[assignment]
    assert harness.ask("PUT /v1/config", entry).json is True
    harness.agent.server.quorum = None
    assert holds(harness.ask(f"GET /v1/config/{entry['Kind']}/{entry['Name']}").json, entry)
    assert harness.agent.log.store.config_entries.with_newer_fields() == ""


#: The structs that have newer fields.
STRUCTS = [
    each
    for module in (config_entry, newer_config_fields)
    for each in vars(module).values()
    if is_dataclass(each) and each.__module__ == module.__name__ and newer_attributes(each)
]


@pytest.mark.parametrize("struct", STRUCTS)
@pytest.mark.parametrize("value", [None, "", 0, False, [], {}])
def test_each_takes_every_value_that_says_nothing(struct: Any, value: Any) -> None:
    """Clients of other languages write what is empty there, whatever its type; 0 is also a limit."""
    names = {name: attribute for name, attribute in attributes(struct).items() if attribute in newer_attributes(struct)}
    found = weakly_decoded(struct, dict.fromkeys(names, value))
    kept = {attribute: getattr(found, attribute) for attribute in names.values()}
    nothing = {attribute: getattr(struct(), attribute) for attribute in names.values()}
    is_number = type(value) is int
    assert kept == {name: 0 if is_number and kept[name] == 0 else default for name, default in nothing.items()}


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"TransparentProxy": "x"}, "'TransparentProxy' expected a map"),
        ({"MaxInboundConnections": "x"}, "cannot parse 'MaxInboundConnections' as int"),
        ({"UpstreamConfig": {"Defaults": {"Limits": True}}}, "'UpstreamConfig.Defaults.Limits' expected a map"),
        ({"EnvoyExtensions": [{"Name": "a", "Arguments": "x"}]}, "'EnvoyExtensions[0].Arguments' expected a map"),
    ],
)
def test_a_value_of_another_type_that_says_something_is_refused(
    harness: HttpHarness, entry: dict[str, Any], words: str
) -> None:
    answer = harness.ask("PUT /v1/config", {"Kind": "service-defaults", "Name": "web", **entry})
    assert answer.status == 400
    assert words in answer.text


def test_a_limit_of_0_is_kept(harness: HttpHarness) -> None:
    limits = {"MaxConnections": 0, "MaxPendingRequests": "", "MaxConcurrentRequests": False}
    entry = {"Kind": "service-defaults", "Name": "web", "UpstreamConfig": {"Defaults": {"Limits": limits}}}
    assert harness.ask("PUT /v1/config", entry).json is True
    shown = harness.ask("GET /v1/config/service-defaults/web").json
    assert shown["UpstreamConfig"]["Defaults"]["Limits"] == {"MaxConnections": 0}


def test_without_them_nothing_is_on_the_wire_that_1_8_7_does_not_know(harness: HttpHarness) -> None:
    """A struct of a newer agent has all fields, most of them empty."""
    empty = {
        "Kind": "service-defaults",
        "Name": "web",
        "Mode": "",
        "TransparentProxy": {"OutboundListenerPort": 0, "DialedDirectly": False},
        "MutualTLSMode": "",
        "UpstreamConfig": None,
        "Destination": None,
        "MaxInboundConnections": 0,
        "EnvoyExtensions": [],
        "RateLimits": None,
        "Hash": 17,
        "Partition": "default",
    }
    assert harness.ask("PUT /v1/config", empty).json is True
    entry = harness.agent.log.store.config_entries.get(None, "service-defaults", "web")[1]
    names = {"CreateIndex", "Expose", "ExternalSNI", "Kind", "MeshGateway", "Meta", "ModifyIndex", "Name", "Protocol"}
    assert set(entry.to_wire()) == names
    assert "TransparentProxy" not in entry.to_json()


@pytest.mark.parametrize(
    ("kind", "fields", "text"),
    [
        ("service-defaults", {"MutualTLSMode": "permissive"}, '"MutualTLSMode" - it came with Consul 1.16'),
        ("service-defaults", {"RateLimits": {"InstanceLevel": {"RequestsPerSecond": 5}}}, "RateLimits"),
        ("service-defaults", {"UpstreamConfig": {"Colour": 1}}, '"UpstreamConfig.Colour"'),
        ("service-defaults", {"UpstreamConfig": {"Overrides": [{"Protocol": "http"}]}}, "Name is required"),
        ("service-defaults", {"Mode": "sideways"}, "invalid proxy mode"),
        ("service-defaults", {"Destination": {"Port": 443}}, "no addresses"),
        ("service-defaults", {"EnvoyExtensions": [{"Required": True}]}, "EnvoyExtensions[0]: Name is required"),
        ("proxy-defaults", {"FailoverPolicy": {"Mode": "order-by-locality"}}, '"FailoverPolicy" - it came with'),
        ("service-resolver", {"Failover": {"*": {"Datacenters": ["b"], "Policy": {"Regions": ["a"]}}}}, "[*].Policy"),
        ("proxy-defaults", {"PrioritizeByLocality": {"Mode": "failover"}}, "PrioritizeByLocality"),
        ("service-resolver", {"PrioritizeByLocality": {"Mode": "failover"}}, "PrioritizeByLocality"),
        ("service-resolver", {"Failover": {"*": {"Targets": [{"Peer": "x"}]}}}, "Failover[*].Targets"),
        ("service-resolver", {"Failover": {"*": {"SamenessGroup": "x"}}}, "SamenessGroup"),
        ("service-resolver", {"Redirect": {"Service": "b", "Peer": "x"}}, "Redirect.Peer"),
        ("service-resolver", {"RequestTimeout": "-1s"}, "Bad RequestTimeout '-1s'"),
        ("service-resolver", {"LoadBalancer": {"Policy": "best"}}, "LoadBalancer"),
    ],
)
def test_what_would_change_who_answers_is_refused_by_name(
    harness: HttpHarness, kind: str, fields: dict[str, Any], text: str
) -> None:
    name = "global" if kind == "proxy-defaults" else "web"
    answer = harness.ask("PUT /v1/config", {"Kind": kind, "Name": name, **fields})
    assert answer.status in (400, 500)
    assert text in answer.text
    assert not harness.agent.log.store.config_entries.table.all()
    if not text.startswith(("Bad", "invalid proxy", "no addr", "LoadB", "Envoy", "Name", '"Upstream')):
        refused = applied(harness, kind, {"Name": name, **fields})
        assert isinstance(refused, RPCError), "newer agents write by RPC"
        assert text in str(refused)


def applied(harness: HttpHarness, kind: str, fields: dict[str, Any]) -> Any:
    """`ConfigEntry.Apply` as a newer agent calls it."""
    body = pack(kind) + pack({"Datacenter": "dc1", "Op": "upsert", "Entry": {"Kind": kind, **fields}, "Token": ""})
    found: list[Any] = []
    serve(harness.agent.server, "ConfigEntry.Apply", body).addCallbacks(
        found.append, lambda why: found.append(why.value)
    )
    return found[0]


def test_newer_agents_write_them_by_rpc(harness: HttpHarness) -> None:
    timeout = {"Name": "web", "RequestTimeout": 15 * 10**9, "LoadBalancer": {"Policy": "maglev", "HashPolicies": None}}
    assert applied(harness, "service-resolver", timeout) is True
    shown = harness.ask("GET /v1/config/service-resolver/web").json
    assert (shown["RequestTimeout"], shown["LoadBalancer"]) == ("15s", {"Policy": "maglev"})


def test_beside_a_server_that_would_drop_them_they_are_refused(harness: HttpHarness) -> None:
    harness.agent.server.quorum = FakeQuorum()  # type: ignore[assignment]
    entry = {"Kind": "service-defaults", "Name": "web", "MaxInboundConnections": 3}
    answer = harness.ask("PUT /v1/config", entry)
    assert answer.status == 500
    assert "MaxInboundConnections came after Consul 1.8" in answer.text
    assert "127.0.0.2:8300" in answer.text
    assert not harness.agent.log.store.config_entries.table.all()
    assert harness.ask("PUT /v1/config", {**entry, "MaxInboundConnections": 0}).json is True


def test_a_leader_of_1_8_7_is_not_asked_to_write_them(harness: HttpHarness) -> None:
    """It would drop them and say that all is written."""
    called: list[str] = []

    def call(method: str, request: Any, dependencies: Any = None) -> "Deferred[Any]":
        called.append(method)
        return fail(RPCError(str(NoSuchMethod(method, True))))

    harness.agent.caller.call = call  # type: ignore[method-assign]
    answer = harness.ask("PUT /v1/config", {"Kind": "service-defaults", "Name": "web", "Mode": "transparent"})
    assert answer.status == 500
    assert "Mode came after Consul 1.8" in answer.text
    assert called == ["ConfigEntry.ApplyNewer"]


def test_the_state_says_which_entry_a_server_of_1_8_7_would_drop_fields_of(harness: HttpHarness) -> None:
    store: Store = harness.agent.log.store
    assert store.config_entries.with_newer_fields() == ""
    written(harness, "terminating-gateway")
    expected = "terminating-gateway/out: Services[0].DisableAutoHostRewrite"
    assert store.config_entries.with_newer_fields() == expected
