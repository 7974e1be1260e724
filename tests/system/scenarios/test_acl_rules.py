"""The texts of policies, broken at random: a real server and ours accept the same ones and grant the same by them."""

import http.client
import json
import random
from pathlib import Path
from typing import Any

import pytest

from tests.harness.effort import cases
from tests.peers.pair import Agent, agents

pytestmark = [pytest.mark.peers]

MASTER = "cf000000-0000-0000-0000-0000000000aa"
ACL = json.dumps(
    {
        "performance": {"raft_multiplier": 1},
        "acl": {"enabled": True, "default_policy": "deny", "tokens": {"master": MASTER, "agent": MASTER}},
    }
)
CASES = 1500
TEXTS = [
    'key "a" { policy = "read" }',
    'service "a" {\n  policy = "write"\n  intentions = "read"\n}\n',
    'operator = "read"\nacl = "write"\n',
    'node_prefix "" { policy = "deny" } # c\nkey_prefix "a/" { policy = "list" }',
    'session_prefix "" { policy = "read" }\nevent "b" { policy = "write" }\nquery "" { policy = "Read" }',
    'key = { "a" = { policy = "write" } }\nkeyring = <<E\nread\nE\n',
    'agent "x y" { policy = "read" }\n/* c */\nx = [1, "a", {b = 1}]\n',
    'key "a" "b" "a/b" { policy = "write" }\nkey "a" { policy = "READ" }',
    '{"key":{"a":{"policy":"read"}},"operator":"write"}',
    '{"service_prefix":{"":{"policy":"read","intentions":"deny"}},\n"node":[{"a":{"policy":"write"}}]}',
]
PIECES = [
    *("{", "}", '"', "=", ",", "[", "]", ":", "\n", "key", "operator", "policy", '"read"', '"a"', "1", "1e9", "true"),
    *("null", "#", "//", "/*", "*/", "<<E\n", "<<-E\n", "\\", "${", " ", "é", "\0", ".", "-", "0x", '"x"', "'", "\t"),
    'service_prefix "b" { policy = "write" }',
]
PROBES = [
    {"Resource": kind, "Segment": name, "Access": access}
    for kind, names in (
        *((each, ("", "a", "a/b", "b", "policy")) for each in ("key", "service", "intention")),
        *((each, ("a", "x y")) for each in ("node", "agent", "session", "event", "query")),
        *((each, ("",)) for each in ("operator", "acl", "keyring")),
    )
    for name in names
    for access in ("read", "write")
]


def broken(draw: random.Random) -> str:
    """A text with up to three changes."""
    text = draw.choice(TEXTS)
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(text) + 1)
        end = min(len(text), at + draw.randint(1, 6))
        text = draw.choice(
            (
                text[:at] + text[end:],
                text[:at] + draw.choice(PIECES) + text[at:],
                text[:at] + draw.choice(PIECES) + text[end:],
                text[:at] + text[at:end] * 2 + text[end:],
                text[:at] + draw.choice(TEXTS)[: draw.randint(1, 20)] + text[at:],
            )
        )
    return text


class Policy:
    """One policy of an agent, which is written again and again, and a token that has it."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.id = self._write("policy", {"Name": "p"})["ID"]
        self.secret = self._write("token", {"Policies": [{"ID": self.id}]})["SecretID"]

    def _write(self, path: str, body: Any) -> Any:
        answer = self.agent.ask(f"/v1/acl/{path}", "PUT", json.dumps(body).encode())
        assert answer.status == 200, answer
        return json.loads(answer.body)

    def granted(self, text: str) -> tuple[int, list[bool], str]:
        """Status of a text, what it grants, and the error."""
        try:
            answer = self.agent.ask(
                f"/v1/acl/policy/{self.id}", "PUT", json.dumps({"Name": "p", "Rules": text}).encode()
            )
        except http.client.HTTPException:
            return 500, [], ""  # Consul's parser panics at some texts, in the goroutine of the request
        if answer.status != 200:
            return answer.status, [], answer.text
        grants: list[bool] = []
        for start in range(0, len(PROBES), 64):
            body = json.dumps(PROBES[start : start + 64]).encode()
            found = self.agent.ask("/v1/internal/acl/authorize", "POST", body, X_Consul_Token=self.secret)
            grants += [each["Allow"] for each in json.loads(found.body)]
        return 200, grants, ""


def test_broken_texts_are_refused_and_accepted_as_by_consul(tmp_path: Path) -> None:
    with agents(tmp_path, "-hcl", ACL, real="127.39.14.1", ours="127.39.14.2", token=MASTER) as pair:
        real, ours = (Policy(agent) for agent in pair)
        for seed in range(cases(CASES)):
            text = broken(random.Random(seed))
            expected, found = real.granted(text), ours.granted(text)
            assert found[:2] == expected[:2], (seed, text, expected[2], found[2])
            assert found[0] == 200 or found[2].startswith(("Failed to parse ACL rules: ", "Invalid ")), (text, found)
