"""Commands and flags of Consul 1.10 to 2.1, as their users type them. What is not served says so."""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.x509 import SubjectAlternativeName, UniformResourceIdentifier, load_pem_x509_certificate

from consulpy import VERSION
from consulpy.cli.main import main
from consulpy.client import Client
from consulpy.codec.msgpack import pack
from consulpy.state import archive
from tests.harness.archives import written

TOKEN = {
    "AccessorID": "11111111-2222-3333-4444-555555555501",
    "SecretID": "s",
    "Description": "",
    "Policies": [{"ID": "p1", "Name": "old"}],
    "Roles": [{"ID": "r1", "Name": "reader"}],
    "CreateTime": "2026-11-29T12:00:00Z",
}
SELF = {
    "Config": {"Version": "1.8.7", "Datacenter": "dc1", "NodeName": "n1", "Server": True},
    "Member": {"Addr": "10.0.0.1"},
}


class Agent:
    """What the agent was asked for, and its answers by method and path."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[tuple[str, str, dict[str, Any], Any]] = []
        self.answers: dict[str, Any] = {}
        for method in ("get", "put", "post", "delete"):
            monkeypatch.setattr(Client, method, self._made(method.upper()))

    def _made(self, method: str) -> Any:
        def call(_client: Client, path: str, query: dict[str, Any] | None = None, body: Any = None, **_: Any) -> Any:
            given = {name: value for name, value in (query or {}).items() if value is not None}
            self.asked.append((method, path, given, body))
            return self.answers.get(f"{method} {path}")

        return call


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> Agent:
    return Agent(monkeypatch)


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ("config list -kind mesh -filter x", ("GET", "/v1/config/mesh", {"filter": "x"}, None)),
        (
            "config delete -kind mesh -name mesh -cas -modify-index 7",
            ("DELETE", "/v1/config/mesh/mesh", {"cas": 7}, None),
        ),
        ("config delete -kind mesh -name mesh", ("DELETE", "/v1/config/mesh/mesh", {}, None)),
        ("force-leave -wan n1.dc1", ("PUT", "/v1/agent/force-leave/n1.dc1", {"wan": "1"}, None)),
        ("kv delete -partition default a", ("DELETE", "/v1/kv/a", {}, None)),
    ],
)
def test_what_is_asked_of_the_agent(agent: Agent, words: str, asked: Any) -> None:
    agent.answers[f"DELETE {asked[1]}"] = True
    main(words.split())
    assert agent.asked == [asked]


def test_an_entry_that_has_changed_is_not_deleted(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    agent.answers["DELETE /v1/config/mesh/mesh"] = False
    assert main(["config", "delete", "-kind", "mesh", "-name", "mesh", "-cas", "-modify-index", "7"]) == 1
    assert capsys.readouterr().err == "Config entry not deleted: mesh/mesh\n"
    for words in ("-cas", "-modify-index 7"):
        assert main(f"config delete -kind mesh -name mesh {words}".split()) == 1
    assert len(agent.asked) == 1


def test_lists_are_filtered(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, dict[str, Any]]] = []

    def listed(_client: Client, path: str, query: Any = None) -> list[Any]:
        asked.append((path, {name: value for name, value in (query or {}).items() if value is not None}))
        return []

    monkeypatch.setattr(Client, "_list", listed)
    main(["members", "-filter", "Name == x"])
    assert asked[0][1]["filter"] == "Name == x"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("kv get -partition team a", "-partition=team: Partitions are a Consul Enterprise feature"),
        ("members -partition=team", "-partition=team: Partitions are a Consul Enterprise feature"),
        ("kv get -namespace ns1 a", "-namespace=ns1: Namespaces are a Consul Enterprise feature"),
        ("watch -type key -key a -filter x", "Invalid parameters: [filter]"),
        ("catalog services -node a -filter x", "-filter and -node cannot be combined"),
        ("troubleshoot proxy -upstream-ip 1.2.3.4", "consulpy troubleshoot: Envoy is not supported"),
        ("peering generate-token -name x", "consulpy peering: cluster peering is not supported"),
        ("peering exported-services -name x", "consulpy peering: cluster peering is not supported"),
        ("services export -name web -consumer-peers x", "consulpy services export: cluster peering is not supported"),
        ("services exported-services", "consulpy services exported-services: cluster peering"),
        ("services imported-services", "consulpy services imported-services: cluster peering"),
        ("connect redirect-traffic -proxy-uid 1", "consulpy connect redirect-traffic: Envoy"),
        ("operator feature list", "consulpy operator feature: there are no feature gates"),
        ("operator area list", "consulpy operator area: a feature of Consul Enterprise"),
        ("resource list", "consulpy resource: the resource API"),
        ("partition list", "consulpy partition: a feature of Consul Enterprise"),
        ("license get", "consulpy license: a feature of Consul Enterprise"),
        ("hcp link", "consulpy hcp: HashiCorp's cloud"),
        ("acl token create -policy-name a -var name:x", "Cannot specify variables without"),
        ("acl token create -templated-policy builtin/service -var web", 'Malformed -var argument: "web"'),
        ("acl token read", "Must specify the -id parameter"),
        ("snapshot save -append-filename month x.snap", "expected version, dc, node or status, not month"),
    ],
)
def test_what_is_not_served_says_so(agent: Agent, capsys: pytest.CaptureFixture[str], words: str, said: str) -> None:
    assert main(words.split()) == 1
    assert said in capsys.readouterr().err
    assert agent.asked == []


def test_a_tenant_of_the_environment_is_not_skipped(
    agent: Agent, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONSUL_NAMESPACE", "ns1")
    assert main(["kv", "get", "a"]) == 1
    assert "CONSUL_NAMESPACE=ns1: Namespaces are a Consul Enterprise feature" in capsys.readouterr().err
    monkeypatch.setenv("CONSUL_NAMESPACE", "default")
    main(["kv", "delete", "a"])
    assert len(agent.asked) == 1


def test_tools_read_the_version_as_consuls(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version", "-format", "json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown.pop("Consulpy") == VERSION
    assert shown == {
        "Version": "1.8.7",
        "Revision": "",
        "Prerelease": "",
        "RPC": {"Default": 2, "Min": 2, "Max": 3},
    }


USAGE = {
    "dc1": {
        "Services": 3,
        "ServiceInstances": 5,
        "BillableServiceInstances": 4,
        "ConnectServiceInstances": {"connect-proxy": 1, "connect-native": 0},
    }
}


def test_the_use_of_services_is_counted(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    agent.answers["GET /v1/operator/usage"] = {"Usage": USAGE}
    assert main(["operator", "usage", "instances", "-all-datacenters"]) == 0
    assert agent.asked[0][2] == {"global": ""}
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "Billable Service Instances Total: 4"
    assert [line.split() for line in out if line.startswith("dc1")] == [
        ["dc1", "3", "5"],
        ["dc1", "connect-native", "0"],
        ["dc1", "connect-proxy", "1"],
    ]
    assert main(["operator", "usage", "instances", "-only-connect"]) == 0
    assert "Billable" not in capsys.readouterr().out
    assert main(["operator", "usage", "instances", "-only-connect", "-only-billable"]) == 1


@pytest.mark.parametrize(
    ("flags", "policies", "roles"),
    [
        ("-id {id} -description x", [], []),
        ("-accessor-id {id} -description x", ["old"], ["reader"]),
        ("-accessor-id {id} -append-policy-name new", ["old", "new"], ["reader"]),
        ("-accessor-id {id} -policy-name new", ["new"], ["reader"]),
        ("-accessor-id {id} -append-role-name writer", ["old"], ["reader", "writer"]),
        ("-id {id} -append-policy-name old", ["old"], ["reader"]),
        ("-id {id} -policy-name new", ["new"], []),
    ],
)
def test_a_token_is_updated_as_newer_users_mean_it(
    agent: Agent, flags: str, policies: list[str], roles: list[str]
) -> None:
    path = f"/v1/acl/token/{TOKEN['AccessorID']}"
    agent.answers |= {f"GET {path}": json.loads(json.dumps(TOKEN)), f"PUT {path}": TOKEN}
    assert main(["acl", "token", "update", *flags.format(id=TOKEN["AccessorID"]).split()]) == 0
    written = agent.asked[-1][3]
    assert [each["Name"] for each in written["Policies"]] == policies
    assert [each["Name"] for each in written["Roles"]] == roles


def test_policies_are_replaced_or_added_to_not_both(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    path = f"/v1/acl/token/{TOKEN['AccessorID']}"
    agent.answers[f"GET {path}"] = dict(TOKEN)
    words = f"acl token update -id {TOKEN['AccessorID']} -policy-name a -append-policy-name b"
    assert main(words.split()) == 1
    assert "Cannot combine flags of Policies with their append- variants" in capsys.readouterr().err


def test_a_token_with_a_templated_policy(agent: Agent) -> None:
    agent.answers["PUT /v1/acl/token"] = TOKEN
    assert main(["acl", "token", "create", "-templated-policy", "builtin/service", "-var", "name:web"]) == 0
    assert agent.asked[-1][3]["TemplatedPolicies"] == [
        {"TemplateName": "builtin/service", "TemplateVariables": {"name": "web"}}
    ]


def test_templated_policies_are_shown(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    template = {"TemplateName": "builtin/service", "Schema": '{"properties":{"name":{}}}', "Template": "service"}
    agent.answers |= {
        "GET /v1/acl/templated-policies": {"builtin/service": template, "builtin/dns": {}},
        "GET /v1/acl/templated-policy/name/builtin/service": template,
        "POST /v1/acl/templated-policy/preview/builtin/service": {
            "ID": "i", "Name": "n", "Description": "d", "Rules": "r",
        },
    }  # fmt: skip
    assert main(["acl", "templated-policy", "list"]) == 0
    assert capsys.readouterr().out == "builtin/dns\nbuiltin/service\n"
    assert main(["acl", "templated-policy", "read", "-name", "builtin/service"]) == 0
    assert "Input variables: Name (required)" in capsys.readouterr().out
    assert main(["acl", "templated-policy", "preview", "-name", "builtin/service", "-var", "name:web"]) == 0
    assert agent.asked[-1][3] == {"name": "web"}
    assert capsys.readouterr().out.endswith("Rules:\nr\n")


def test_the_name_of_a_snapshot_says_whose_it_is(agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = written(7, 2, [archive.Voter("id", "127.0.0.1:8300")], [], unix_ms=5000)
    monkeypatch.setattr(Client, "snapshot", lambda _self, **_: (7, good))
    agent.answers |= {"GET /v1/agent/self": SELF, "GET /v1/status/leader": "10.0.0.1:8300"}
    flags = ["-append-filename", "version,dc,node,status"]
    assert main(["snapshot", "save", *flags, str(tmp_path / "backup.snap")]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["backup-1.8.7-dc1-n1-leader.snap"]


def test_the_keys_of_a_snapshot_are_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"Key": "vault/core/a", "Value": b"x" * 2000}, {"Key": "vault/core/b"}, {"Key": "app"}]
    data = written(7, 2, [archive.Voter("id", "127.0.0.1:8300")], [b"\x02" + pack(row) for row in rows], unix_ms=5000)
    path = tmp_path / "a.snap"
    path.write_bytes(data)
    assert main(["snapshot", "inspect", "-kvdetails", "-format", "json", str(path)]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [(each["Name"], each["Count"]) for each in shown["StatsKV"]] == [("vault/core", 2), ("app", 1)]
    assert shown["TotalSizeKV"] == sum(each["Sum"] for each in shown["StatsKV"]) > 2000
    assert main(["snapshot", "inspect", "-kvdetails", "-kvdepth", "1", "-kvfilter", "vault", str(path)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[:2] for line in lines if line and line[0] in ("vault", "app")] == [["vault", "2"]]
    assert lines[-1][0] == "Total"
    assert lines[-1][1].endswith("KB")


def test_a_role_keeps_and_gets_templated_policies(agent: Agent) -> None:
    role_id = "11111111-2222-3333-4444-5555555555aa"
    old = {"ID": role_id, "Name": "r", "TemplatedPolicies": [{"TemplateName": "builtin/dns"}], "CreateIndex": 1}
    agent.answers |= {f"GET /v1/acl/role/{role_id}": old, f"PUT /v1/acl/role/{role_id}": old | {"ModifyIndex": 1}}
    assert main(["acl", "role", "update", "-id", role_id, "-description", "x"]) == 0
    assert agent.asked[-1][3]["TemplatedPolicies"] == [{"TemplateName": "builtin/dns"}]
    assert main(["acl", "role", "update", "-id", role_id, "-templated-policy", "builtin/node", "-var", "name:n1"]) == 0
    assert [each["TemplateName"] for each in agent.asked[-1][3]["TemplatedPolicies"]] == ["builtin/dns", "builtin/node"]


def test_intentions_are_listed(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    row = {"ID": "i", "SourceName": "web", "DestinationName": "db", "Action": "allow", "Precedence": 9}
    agent.answers["GET /v1/connect/intentions"] = [row]
    assert main(["intention", "list"]) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["ID", "Source", "Action", "Destination", "Precedence"],
        ["i", "web", "allow", "db", "9"],
    ]
    agent.answers["GET /v1/connect/intentions"] = []
    assert main(["intention", "list"]) == 0
    assert capsys.readouterr().err == "There are no intentions.\n"


FILES = {
    "one.hcl": 'TemplatedPolicies "builtin/service" {\n  Name = "api"\n}\nTemplatedPolicies "builtin/dns" {}\n',
    "two.json": json.dumps({"TemplatedPolicies": {"builtin/service": [{"Name": "api"}], "builtin/dns": [{}]}}),
}
LINKS = [
    {"TemplateName": "builtin/service", "TemplateVariables": {"name": "api"}},
    {"TemplateName": "builtin/dns"},
]


@pytest.mark.parametrize("name", FILES)
def test_templated_policies_of_a_file(
    agent: Agent, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    place = tmp_path / name
    place.write_text(FILES[name])
    main(["acl", "token", "create", "-templated-policy-file", str(place), "-format", "json"])
    main(["acl", "role", "create", "-name", "r", "-templated-policy-file", str(place), "-format", "json"])
    assert [body["TemplatedPolicies"] for _, _, _, body in agent.asked] == [LINKS, LINKS]
    words = ["acl", "token", "create", "-templated-policy-file", str(place), "-templated-policy", "builtin/dns"]
    assert main(words) == 1
    assert "Cannot combine" in capsys.readouterr().err
    assert main(["acl", "templated-policy", "preview", "-file", str(place)]) == 1
    assert "single templated policy" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "Policies {}", 'TemplatedPolicies "x" { Colour = "red" }', "{"])
def test_a_file_without_templated_policies_changes_nothing(agent: Agent, tmp_path: Path, text: str) -> None:
    (tmp_path / "f").write_text(text)
    assert main(["acl", "token", "create", "-templated-policy-file", str(tmp_path / "f")]) == 1
    assert agent.asked == []


def test_one_template_of_a_file_is_previewed(agent: Agent, tmp_path: Path) -> None:
    (tmp_path / "f").write_text('TemplatedPolicies "builtin/service" { name = "api" }')
    agent.answers["POST /v1/acl/templated-policy/preview/builtin/service"] = dict.fromkeys(
        ("ID", "Name", "Description", "Rules"), "x"
    )
    assert main(["acl", "templated-policy", "preview", "-file", str(tmp_path / "f")]) == 0
    assert agent.asked[0][3] == {"name": "api"}


def test_a_binding_rule_has_variables(agent: Agent) -> None:
    words = "acl binding-rule create -method m -bind-type templated-policy -bind-name builtin/service"
    main([*words.split(), "-bind-vars", "name=k8s-${serviceaccount.name}", "-format", "json"])
    assert agent.asked[0][3]["BindVars"] == {"name": "k8s-${serviceaccount.name}"}
    assert main([*words.split(), "-bind-vars", "colour=red"]) == 1


def test_list_peers_tells_how_far_servers_trail(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [("a", True, 40), ("b", False, 39), ("c", False, 7), ("d", False, None)]
    servers = [
        {"Node": name, "ID": name, "Address": name, "Leader": leads, "Voter": True, "ProtocolVersion": "3"}
        for name, leads, _ in rows
    ]
    health = {"Servers": [{"ID": name, "LastIndex": index} for name, _, index in rows if index is not None]}
    agent.answers = {"GET /v1/operator/raft/configuration": {"Servers": servers}}
    agent.answers["GET /v1/operator/autopilot/health"] = health
    assert main(["operator", "raft", "list-peers", "-detailed"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.endswith("RaftProtocol  Commit Index  Trails Leader By")
    assert [" ".join(line.split()[6:]) for line in lines] == ["40 -", "39 1 commit", "7 33 commits", "- -"]
    assert main(["operator", "raft", "list-peers"]) == 0
    assert "Commit" not in capsys.readouterr().out


def test_an_authority_has_the_id_of_the_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["tls", "ca", "create", "-cluster-id", "3BA9c7", "-common-name", "OurCA", "-domain", "example"]) == 0
    found = load_pem_x509_certificate((tmp_path / "example-agent-ca.pem").read_bytes())
    names = found.extensions.get_extension_for_class(SubjectAlternativeName).value
    assert names.get_values_for_type(UniformResourceIdentifier) == ["spiffe://3ba9c7.example"]
    assert "CN=OurCA" in found.subject.rfc4514_string()
    assert main(["tls", "ca", "create", "-domain", "other", "-common-name", "x" * 65]) == 1
    assert not (tmp_path / "other-agent-ca.pem").exists()


def test_an_entry_is_deleted_by_its_file(agent: Agent, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "e.hcl").write_text('Kind = "service-defaults"\nName = "web"\nProtocol = "http"')
    place = str(tmp_path / "e.hcl")
    assert main(["config", "delete", "-filename", place]) == 0
    assert agent.asked == [("DELETE", "/v1/config/service-defaults/web", {}, None)]
    assert main(["config", "delete", "-filename", place, "-kind", "mesh"]) == 1
    assert main(["config", "delete", "-filename", str(tmp_path / "none")]) == 1
    assert main(["config", "delete"]) == 1
    assert len(agent.asked) == 1
    assert "filename can't be used with kind or name" in capsys.readouterr().err


def test_debug_captures_what_the_journal_has(
    agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`-since` (Consul 1.17): the lines of journald, and nothing over time."""
    stand_in = tmp_path / "journalctl"
    stand_in.write_text('#!/bin/sh\necho "asked: $*"\n')
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    agent.answers = {"GET /v1/agent/self": SELF, "GET /v1/agent/host": {}, "GET /v1/agent/members": []}
    folder = tmp_path / "out"
    words = [
        "debug",
        "-since",
        "90m",
        "-archive=false",
        "-capture",
        "agent",
        "-capture",
        "host",
        "-output",
        str(folder),
    ]
    assert main(words) == 0
    assert {place.name for place in folder.iterdir()} == {"index.json", "agent.json", "host.json", "journald.log"}
    asked = (folder / "journald.log").read_text()
    assert "--since -5400s --unit consul --unit consulpy" in asked
    stand_in.write_text("#!/bin/sh\nexit 1\n")
    assert main([*words[:-1], str(tmp_path / "again")]) == 0
    assert "the journal can't be read" in capsys.readouterr().err
    assert main(["debug", "-since", "-1s"]) == 1


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        ("-append-templated-policy builtin/service -var name:web", ["builtin/dns", "builtin/service"]),
        ("-replace-templated-policy builtin/service -var name:web", ["builtin/service"]),
        ("-append-templated-policy-file {file}", ["builtin/dns", "builtin/service"]),
        ("-replace-templated-policy-file {file}", ["builtin/service", "builtin/dns"]),
        ("-description x", ["builtin/dns"]),
        ("-append-templated-policy builtin/node -replace-templated-policy builtin/node", None),
    ],
)
@pytest.mark.parametrize("kind", ["token", "role"])
def test_templated_policies_are_added_or_replaced(
    agent: Agent, tmp_path: Path, kind: str, flags: str, names: list[str] | None
) -> None:
    """`acl token update` and `acl role update` of Consul 1.17."""
    (tmp_path / "one.hcl").write_text(FILES["one.hcl"])
    record_id = TOKEN["AccessorID"]
    path = f"/v1/acl/{kind}/{record_id}"
    old = {
        "ID": record_id,
        "AccessorID": record_id,
        "Name": "r",
        "TemplatedPolicies": [{"TemplateName": "builtin/dns"}],
    }
    agent.answers |= {f"GET {path}": old, f"PUT {path}": old}
    main(["acl", kind, "update", "-id", record_id, "-format", "json", *flags.format(file=tmp_path / "one.hcl").split()])
    written = [body for method, _, _, body in agent.asked if method == "PUT"]
    shown = [[each["TemplateName"] for each in body["TemplatedPolicies"]] for body in written]
    assert shown == ([] if names is None else [names])
