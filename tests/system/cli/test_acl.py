"""`consulpy acl ...`, `login`, `logout` at one of our servers: the real command prints the same."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.peers.programs import Host, environment, eventually, hosts

pytestmark = [pytest.mark.peers]

MASTER = "cf000000-0000-0000-0000-0000000000aa"
ADDRESS = "127.76.1.1"
SETTINGS = {"acl": {"enabled": True, "default_policy": "deny", "tokens": {"master": MASTER, "agent": MASTER}}}
PREPARED = [
    ["policy", "create", "-name=p1", "-description=d", "-valid-datacenter=dc1", '-rules=key "a" { policy = "read" }'],
    ["policy", "create", "-name=p2", '-rules=key_prefix "" { policy = "write" }\nacl = "read"'],
    ["role", "create", "-name=r1", "-policy-name=p1", "-service-identity=web:dc1,dc2", "-node-identity=n:dc1"],
    ["token", "create", "-description=one", "-role-name=r1", "-policy-name=p2", "-expires-ttl=1h"],
    ["token", "create", "-service-identity=web", "-local"],
    ["auth-method", "create", "-name=m", "-type=jwt", "-config=@config.json", "-max-token-ttl=5m"],
    ["binding-rule", "create", "-method=m", "-bind-type=service", "-bind-name=web", "-selector=value.a == b"],
]
SAME = """
token list
token list -meta
token list -format json
token read -self
token read -self -format=json -meta
token read -id TOKEN
token read -id TOKEN -meta
token read -id
token read -id zzz
token read
token delete
token update
token clone
policy list
policy list -meta
policy list -format json
policy read -name p1
policy read -name p1 -meta
policy read -name p1 -format json
policy read -name nope
policy read -id 00000000-0000-0000-0000-000000000001
policy update
policy delete -name nope
role list
role list -meta
role list -format json
role read -name r1 -meta
role read -name r1 -format json
role read -name nope
role read
role update
auth-method list
auth-method list -meta
auth-method list -format json
auth-method read -name m -meta
auth-method read -name nope
binding-rule list
binding-rule list -meta
binding-rule list -format json
binding-rule list -method m
binding-rule list -method nope
binding-rule read -id zzz
binding-rule delete
binding-rule update
binding-rule read -id RULE
binding-rule read -id RULE -meta
auth-method read -name m -format json
auth-method update -name M -kubernetes-host x
policy create -name new -from-token zzz
policy create -name new -from-token TOKEN
policy create -name new -rules x -from-token x
translate-rules -token-secret -token-accessor x
role update -id ffffffff-0000-0000-0000-000000000000
token create -role-id zzz
binding-rule update -id ffffffff-0000-0000-0000-000000000000
set-agent-token
set-agent-token agent
set-agent-token agent cf000000-0000-0000-0000-0000000000aa
bootstrap
""".strip().splitlines()
KEY = """-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEn+1CquJF9GYlnUKbgKe8eL7jWlB9
QZbzW09pkIowF84J3K/LzudagnnhScnfkQIukuBstbtDmWYqo+9Nqv8ONw==
-----END PUBLIC KEY-----
"""


class Prompt:
    """Runs commands at a server."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def __call__(self, program: str, words: list[str], token: str = MASTER) -> tuple[int, str, str]:
        done = subprocess.run(
            [program, *words],
            cwd=self._host.directory,
            env={**environment(), "CONSUL_HTTP_ADDR": f"{ADDRESS}:8500", "CONSUL_HTTP_TOKEN": token},
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def prompt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prompt]:
    with hosts(tmp_path_factory.mktemp("acl"), None) as (host,):
        place = ["-node", "n1", "-bind", ADDRESS, "-client", ADDRESS, "-data-dir", "data"]
        host.start("n1", "consulpy", "agent", "-server", "-bootstrap-expect", "1", *place, "-hcl", json.dumps(SETTINGS))
        made = Prompt(host)
        eventually(lambda: made("consulpy", ["acl", "token", "read", "-self"])[0] == 0, "the master token exists")
        Path(host.directory, "config.json").write_text(json.dumps({"JWTValidationPubKeys": [KEY]}))
        for words in PREPARED:
            status, _, err = made("consulpy", ["acl", *words])
            assert status == 0, err
        yield made


def words_of(line: str, prompt: Prompt) -> list[str]:
    tokens = json.loads(prompt("consulpy", ["acl", "token", "list", "-format", "json"])[1])
    accessor = next(row["AccessorID"] for row in tokens if row["Description"] == "one")
    [rule] = json.loads(prompt("consulpy", ["acl", "binding-rule", "list", "-format", "json"])[1])
    return ["acl", *line.replace("TOKEN", accessor).replace("RULE", rule["ID"]).split()]


@pytest.mark.parametrize("line", SAME)
def test_both_commands_say_the_same(line: str, prompt: Prompt) -> None:
    words = words_of(line, prompt)
    theirs, ours = prompt("consul", words), prompt("consulpy", words)
    assert ours[0] == theirs[0], ours
    if "json" in line:
        assert json.loads(ours[1]) == json.loads(theirs[1])
        assert [*_names(ours[1])] == [*_names(theirs[1])]
    else:
        assert ours[1] == theirs[1]
    if theirs[0] == 0 or "Usage" not in theirs[2]:
        assert _first(ours[2]) == _first(theirs[2])


def _first(text: str) -> str:
    return text.splitlines()[0] if text else ""


def _names(text: str) -> list[str]:
    return re.findall(r'^ *"(\w+)": ', text, re.MULTILINE)


def test_a_token_is_explained(prompt: Prompt) -> None:
    def explained(*words: str) -> tuple[int, list[str]]:
        status, out, err = prompt("consulpy", words_of("explain TOKEN", prompt) + list(words))
        return status, (out + err).splitlines()

    assert explained("key", "write", "a") == (
        1,
        ["denied: write key 'a'", 'by key "a" { policy = "read" }', "of policy p1 of role r1"],
    )
    assert explained("key", "write", "b")[0] == 0
    assert explained("service", "write", "web")[1][-1] == "of service identity web of role r1"
    assert explained("operator", "read") == (
        1,
        ["denied: read operator", "no rule names it; the default policy is deny"],
    )
    assert explained("nonsense", "read")[0] == 1


def test_a_refusal_says_what_is_missing(prompt: Prompt) -> None:
    status, _, err = prompt("consulpy", ["acl", "token", "list"], token="")
    assert status == 1
    assert "acl:read" in err


@pytest.mark.parametrize("program", ["consul", "consulpy"])
def test_updates_do_the_same(program: str, prompt: Prompt) -> None:
    def run(*words: str) -> Any:
        status, out, err = prompt(program, ["acl", *words, "-format", "json"])
        assert status == 0, err
        return json.loads(out)

    name = f"up-{program}"
    policy = run("policy", "create", "-name", name, "-description", "x", "-rules", 'key "a" { policy = "read" }')
    run("policy", "update", "-name", name, "-description", "y")
    policy = run("policy", "read", "-name", name)
    assert (policy["Description"], policy["Rules"]) == ("y", 'key "a" { policy = "read" }')
    token = run("token", "create", "-policy-name", name)
    token = run("token", "update", "-id", token["AccessorID"], "-policy-name", "p1", "-merge-policies")
    assert [link["Name"] for link in token["Policies"]] == [name, "p1"]
    token = run("token", "update", "-id", token["AccessorID"], "-description", "z")
    assert (token.get("Policies"), token["Description"]) == (None, "z")
    role = run("role", "create", "-name", name, "-policy-name", name)
    role = run("role", "update", "-id", role["ID"], "-service-identity", "web")
    assert (len(role["Policies"]), len(role["ServiceIdentities"])) == (1, 1)
    rule = run("binding-rule", "create", "-method", "m", "-bind-type", "service", "-bind-name", "a")
    rule = run("binding-rule", "update", "-id", rule["ID"], "-description", "b")
    assert (rule["BindName"], rule["Description"]) == ("a", "b")
    method = run("auth-method", "update", "-name", "m", "-description", program)
    assert (method["Description"], method["MaxTokenTTL"]) == (program, "5m0s")
