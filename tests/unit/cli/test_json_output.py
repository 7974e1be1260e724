"""`-format json`: every command that prints a table, a list or a decision has it."""

import json
from typing import Any

import pytest

from consulpy.cli.command import COMMANDS
from consulpy.cli.loader import load_all
from consulpy.cli.main import main
from consulpy.client import Client

#: Commands without it, by why.
MESSAGES = {
    *(f"acl {kind} delete" for kind in ("auth-method", "binding-rule", "policy", "role", "token")),
    *("acl set-agent-token", "config delete", "config write", "connect ca set-config", "force-leave"),
    *("intention create", "intention delete", "join", "kv delete", "kv import", "kv put", "leave", "login", "logout"),
    *("reload", "services deregister", "services register", "session destroy", "snapshot restore", "snapshot save"),
    *("tls ca create", "tls cert create", "validate", "debug"),
}
ONE_TEXT = {"acl translate-rules", "keygen"}
JSON_ALREADY = {"config read", "connect ca get-config", "kv export", "watch"}
STREAMS = {"agent", "connect proxy", "exec", "lock", "monitor"}
REFUSED = {"connect envoy", "connect expose", "snapshot agent"}

TOKEN = {
    "AccessorID": "11111111-2222-3333-4444-555555555501",
    "Policies": [{"ID": "p1", "Name": "reader"}],
    "TemplatedPolicies": [
        {"TemplateName": "builtin/service", "TemplateVariables": {"Name": "web"}},
        {"TemplateName": "builtin/dns", "Datacenters": ["dc2"]},
    ],
}
ANSWERS = {
    "/v1/acl/token/self": TOKEN,
    "/v1/acl/policy/p1": {"Name": "reader", "Rules": 'key "a" { policy = "read" }'},
    "/v1/agent/self": {"Config": {"Datacenter": "dc1"}, "DebugConfig": {"ACLDefaultPolicy": "deny"}},
    "/v1/operator/usage": {
        "Usage": {
            "dc1": {
                "Services": 2,
                "ServiceInstances": 3,
                "BillableServiceInstances": 2,
                "ConnectServiceInstances": {"connect-proxy": 1},
            }
        }
    },
}


@pytest.fixture(autouse=True)
def agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Client, "get", lambda _self, path, *_, **__: ANSWERS[path])


def run(capsys: pytest.CaptureFixture[str], words: str) -> tuple[int, Any]:
    status = main(words.split())
    return status, json.loads(capsys.readouterr().out)


def test_every_command_has_it_or_has_nothing_to_format() -> None:
    load_all()
    without = {name for name, each in COMMANDS.items() if "format" not in each.flag_set().flags}
    assert without == MESSAGES | ONE_TEXT | JSON_ALREADY | STREAMS | REFUSED


def test_a_decision(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "acl explain -format json self key write a") == (
        1,
        {
            "Allowed": False,
            "Kind": "key",
            "Name": "a",
            "Access": "write",
            "Rule": 'key "a" { policy = "read" }',
            "Policy": "policy reader of the token",
            "DefaultPolicy": "deny",
        },
    )
    status, found = run(capsys, "acl explain -format json self operator read")
    assert (status, found["Rule"], found["Policy"]) == (1, "", "")


def test_templated_policies_decide_too(capsys: pytest.CaptureFixture[str]) -> None:
    status, found = run(capsys, "acl explain -format json self service write web")
    assert (status, found["Policy"]) == (0, "templated policy builtin/service of the token")
    assert run(capsys, "acl explain -format json self query read x")[0] == 1, "of another datacenter"


def test_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "operator usage instances -format json") == (0, ANSWERS["/v1/operator/usage"]["Usage"])
