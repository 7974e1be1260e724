"""`-format json`: every command that prints a table, a list or a decision has it."""

import json
from typing import Any

import pytest

from consulpy.cli.command import COMMANDS
from consulpy.cli.format import as_json
from consulpy.cli.loader import load_all
from consulpy.cli.main import main
from consulpy.client import AnswerError, Client

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


@pytest.mark.parametrize("words", ["self key write a", "self key:write a", "key:write a"])
def test_a_question_about_the_token_of_the_request(capsys: pytest.CaptureFixture[str], words: str) -> None:
    status, found = run(capsys, f"acl explain -format json {words}")
    assert (status, found["Rule"]) == (1, 'key "a" { policy = "read" }')
    assert run(capsys, f"acl explain -format json {words.replace('write', 'read')}")[0] == 0


@pytest.mark.parametrize("words", ["", "key:write a b", "self key", "nope:read a", "key:nope a", "self key nope a"])
def test_questions_that_are_none(capsys: pytest.CaptureFixture[str], words: str) -> None:
    assert main(f"acl explain {words}".split()) == 1
    assert capsys.readouterr().err.startswith("Error! ")


def test_policies_are_read_with_the_token_of_the_environment(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token of -token is asked about; it need not have the right to read its own policies."""
    read: list[tuple[str, str]] = []

    def get(client: Client, path: str, *_: Any, **__: Any) -> Any:
        read.append((client._connection.settings.token, path))
        if path.startswith("/v1/acl/policy/") and client._connection.settings.token != "manager":
            raise AnswerError(403, "Permission denied")
        return ANSWERS[path]

    monkeypatch.setattr(Client, "get", get)
    monkeypatch.setattr(Client, "post", lambda *_, **__: [{"Allow": True}])
    monkeypatch.setenv("CONSUL_HTTP_TOKEN", "manager")
    status, found = run(capsys, "acl explain -format json -token its key:read a")
    assert (status, found["Rule"]) == (0, 'key "a" { policy = "read" }')
    assert ("its", "/v1/acl/token/self") in read
    assert [token for token, path in read if path.startswith("/v1/acl/policy/")] == ["manager"]
    monkeypatch.delenv("CONSUL_HTTP_TOKEN")
    assert main(["acl", "explain", "-token", "its", "key:read", "a"]) == 0
    assert "may not read policies (acl:read)" in capsys.readouterr().out


def test_templated_policies_decide_too(capsys: pytest.CaptureFixture[str]) -> None:
    status, found = run(capsys, "acl explain -format json self service write web")
    assert (status, found["Policy"]) == (0, "templated policy builtin/service of the token")
    assert run(capsys, "acl explain -format json self query read x")[0] == 1, "of another datacenter"


def test_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "operator usage instances -format json") == (0, ANSWERS["/v1/operator/usage"]["Usage"])


def test_json_is_as_go_writes_it_and_moves_no_cursor() -> None:
    assert as_json({"A": "\u00e9<&>", "B": "\x9b1A\u202e"}).splitlines() == [
        "{",
        '    "A": "\u00e9\\u003c\\u0026\\u003e",',
        '    "B": "\\u009b1A\\u202e"',
        "}",
    ]
