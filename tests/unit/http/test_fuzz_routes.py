"""Whatever is asked of whichever route: an answer, and never our own fault."""

import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consulpy.http.api import routes
from consulpy.http.api.routing import ROUTES
from tests.harness.effort import cases
from tests.harness.http import HttpHarness, InMemoryClient

routes.load_all()

#: Requests of each route.
EXAMPLES = cases(20)
#: The longest wait that a request may ask for, and some more, in seconds of the agent's clock.
LONG_S = 700.0

_NAMES = [
    "index",
    "wait",
    "dc",
    "stale",
    "consistent",
    "cached",
    "passing",
    "tag",
    "near",
    "node-meta",
    "filter",
    "pretty",
    "format",
    "keys",
    "raw",
    "recurse",
    "separator",
    "cas",
    "flags",
    "acquire",
    "release",
    "dc",
    "token",
    "ns",
    "wan",
    "prune",
    "reason",
    "enable",
    "note",
    "state",
    "name",
    "node",
    "service",
    "cached",
    "max-age",
    "seconds",
]
_values = st.one_of(
    st.sampled_from(
        ["", "0", "1", "-1", "10s", "1ms", "dc1", "dc9", "true", "agent-one", "_agent", "a:b", "Node==x", "((("]
    ),
    st.text(max_size=8),
)
_scalars = st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=6))
_keys = st.sampled_from(
    [
        "ID",
        "Name",
        "Node",
        "Address",
        "Port",
        "Tags",
        "Meta",
        "Service",
        "Check",
        "Checks",
        "CheckID",
        "TTL",
        "HTTP",
        "TCP",
        "Interval",
        "Args",
        "Weights",
        "Kind",
        "Proxy",
        "Datacenter",
        "Status",
        "ServiceID",
        "Key",
        "Value",
        "KV",
        "Verb",
        "Session",
        "LockDelay",
        "Behavior",
        "Query",
        "Template",
        "Payload",
        "Definition",
        "Connect",
        "Token",
    ]
)
_json = st.recursive(
    _scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_keys, inner, max_size=5)),
    max_leaves=8,
)
_bodies = st.one_of(st.just(b""), st.binary(max_size=40), _json.map(lambda value: json.dumps(value).encode()))


#: The first answers as long as somebody listens; the stand-in has nothing for the second, which needs whole servers.
ELSEWHERE = {"/v1/agent/monitor", "/v1/agent/metrics/stream", "/v1/snapshot"}


@pytest.mark.parametrize("path", sorted(ROUTES.keys() - ELSEWHERE))
def test_any_request_is_answered(path: str, faults: list[Any]) -> None:
    harness = HttpHarness()

    @settings(
        max_examples=EXAMPLES, deadline=None, derandomize=True, database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )  # fmt: skip
    @given(
        st.sampled_from([*sorted(ROUTES[path]), "DELETE", "HEAD"]),
        st.one_of(st.just("agent-one"), st.text(max_size=6)) if path.endswith("/") else st.just(""),
        st.lists(st.tuples(st.sampled_from(_NAMES), _values), max_size=4),
        _bodies,
    )
    def ask(method: str, tail: str, query: list[tuple[str, str]], body: bytes) -> None:
        words = "&".join(f"{name}={quote(value, safe='', errors='replace')}" for name, value in query)
        target = f"{path}{quote(tail, safe='', errors='replace')}?{words}"
        asking = InMemoryClient(harness)
        head = f"{method} {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
        asking.send(head.encode() + body)
        if asking.answer is None:
            harness.agent.clock.advance(LONG_S)
        assert faults == [], target
        assert asking.answer is not None or (method == "HEAD" and b" 200 " in asking.raw), (
            f"no answer: {method} {target}"
        )
        if asking.answer is not None and asking.answer.status == 500:
            assert asking.answer.body, f"a 500 without a reason: {method} {target} {body!r}"
            assert "Traceback" not in asking.answer.text

    ask()
