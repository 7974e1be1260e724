"""Access control: reads and DNS with tokens, in a datacenter that denies by default."""

import json
import statistics
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import load_generators
from processes import Running, fill, server
from report import Row, Sample
from task import Group, Settings, Task, task

MASTER = "cf000000-0000-0000-0000-0000000000aa"
ACL = {"enabled": True, "default_policy": "deny", "tokens": {"master": MASTER, "agent": MASTER, "default": MASTER}}
RULES = (
    'key_prefix "bench" { policy = "read" } node_prefix "" { policy = "read" } service_prefix "" { policy = "read" }'
)
#: Tokens of the same content, and of how many policies and rules the large one has.
TOKENS = 1000
POLICIES, POLICY_RULES = 100, 100
#: How often the large token is resolved anew.
RESOLUTIONS = 20


def groups(settings: Settings, directory: Path) -> list[Group]:
    @contextmanager
    def setup(program: str, place: Path) -> Iterator[Running]:
        agent = server(program, place, "-hcl", json.dumps({"acl": ACL, "performance": {"raft_multiplier": 1}}))
        try:
            fill(agent, 100, 0, {"three": 3, "hundred": 100})
            agent.put("/v1/kv/benchmark", b"a value of some thirty bytes")
            policy = ask(agent, "PUT", "/v1/acl/policy", {"Name": "reader", "Rules": RULES})
            tokens = [token_of(agent, policy["ID"]) for _ in range(TOKENS)]
            (directory / f"{program}-tokens.lua").write_text(script(tokens))
            (directory / f"{program}-token").write_text(tokens[0])
            ask(agent, "PUT", "/v1/agent/token/default", {"Token": tokens[1]})
            agent.wait_idle()
            yield agent
        finally:
            agent.close()

    return [Group("access control", setup, tasks(settings, directory))]


def tasks(settings: Settings, directory: Path) -> list[Task]:
    def read(path: str, *flags: str) -> Any:
        def measure(agent: Running) -> Sample:
            token = (directory / f"{agent.program}-token").read_text()
            given = flags or ("-H", f"X-Consul-Token: {token}")
            named = [flag.replace("PROGRAM", agent.program) for flag in given]
            return load_generators.http(agent, path, settings.seconds, 16, *named)

        return measure

    questions = directory / "acl-questions"
    questions.write_text("three.service.consul A\n")
    health = "/v1/health/service/hundred?passing"
    in_turn = ("-s", str(directory / "PROGRAM-tokens.lua"))
    named = [
        ("GET kv, one key, a token", read("/v1/kv/benchmark")),
        ("GET health/service?passing, 3 instances, a token", read("/v1/health/service/three?passing")),
        ("GET health/service?passing, 100 instances, a token", read(health)),
        (f"GET health/service?passing, 100 instances, {TOKENS} tokens in turn", read(health, *in_turn)),
    ]
    found = [task(Row(name, "requests/s", ">= 2"), measure) for name, measure in named]
    dns = Row("DNS service 3 A, a default token", "queries/s", ">= 2")
    found.append(task(dns, lambda agent: load_generators.dns(agent, questions, settings.seconds)))
    row = Row(f"a token of {POLICIES} policies of {POLICY_RULES} rules, one changed: first read", "ms", "<= 1.0", 2)
    return [*found, task(row, first_read, rounds_max=1)]


def first_read(agent: Running) -> Sample:
    """The median time of a read with a large token, one of whose policies has just changed."""
    policies = [
        ask(agent, "PUT", "/v1/acl/policy", {"Name": f"large-{number}", "Rules": large(number, 0)})["ID"]
        for number in range(POLICIES)
    ]
    token = token_of(agent, *policies)
    took_s = []
    for number in range(RESOLUTIONS):
        changed = {"ID": policies[number], "Name": f"large-{number}", "Rules": large(number, 1)}
        ask(agent, "PUT", f"/v1/acl/policy/{policies[number]}", changed)
        began_s = time.monotonic()
        ask(agent, "GET", "/v1/kv/large-7-7", token=token, raw=True)
        took_s.append(time.monotonic() - began_s)
    return Sample(1000 * statistics.median(took_s))


def large(number: int, version: int) -> str:
    words = ("read", "write")
    rules = [
        f'key_prefix "large-{number}-{at}" {{ policy = "{words[(at + version) % 2]}" }}' for at in range(POLICY_RULES)
    ]
    return "\n".join(rules)


def token_of(agent: Running, *policies: str) -> str:
    """The secret of a new token with these policies."""
    made = ask(agent, "PUT", "/v1/acl/token", {"Policies": [{"ID": policy} for policy in policies], "Local": True})
    return str(made["SecretID"])


def script(tokens: list[str]) -> str:
    """wrk's script that takes the tokens in turn."""
    listed = ", ".join(f'"{token}"' for token in tokens)
    return (
        f"local tokens = {{{listed}}}\nlocal n = 0\nrequest = function()\n  n = n % {len(tokens)} + 1\n"
        '  return wrk.format("GET", nil, {["X-Consul-Token"] = tokens[n]})\nend\n'
    )


def ask(agent: Running, method: str, path: str, body: Any = None, token: str = MASTER, *, raw: bool = False) -> Any:
    """The answer, parsed; `raw`: only that there is one, be it 404."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        f"http://{agent.address}:8500{path}", data, {"X-Consul-Token": token}, method=method
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            found = answer.read()
    except urllib.error.HTTPError as error:
        if raw and error.code == 404:
            return None
        raise
    return None if raw or not found else json.loads(found)
