"""Random faults in bodies, parameters and request lines: an answer each time, never our own fault, never half a write.

The bodies are those of record_decoding.py with random values and unknown fields at random levels.
"""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote_from_bytes

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.logger import LogEvent, globalLogPublisher

from tests.harness.effort import cases
from tests.harness.http import HttpHarness, InMemoryClient
from tests.unit.http.record_decoding import BODIES
from tests.unit.http.record_parameters import QUERIES, READS, WRITES

_few = settings(
    max_examples=cases(25), deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
_scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=6), st.sampled_from(["5s", "default", "é", "\udce9", "2001-01-01T00:00:00Z"]),
)  # fmt: skip
_json = st.recursive(
    _scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=6,
)
_names = sorted({name for *_, names in BODIES for name in names.split()})


@pytest.fixture(autouse=True)
def _no_faults_of_ours() -> Iterator[None]:
    found: list[str] = []

    def observe(event: LogEvent) -> None:
        if event.get("log_failure") is not None:
            found.append(event["log_failure"].getTraceback())

    globalLogPublisher.addObserver(observe)
    yield
    globalLogPublisher.removeObserver(observe)
    assert not found, found[0]


def state(harness: HttpHarness) -> list[bytes]:
    """All that writes may change."""
    reads = (
        "internal/ui/nodes", "kv/?recurse", "session/list", "query", "connect/intentions", "config/", "agent/services",
        "agent/checks", "operator/autopilot/configuration", "coordinate/nodes",
    )  # fmt: skip
    return [harness.ask(f"GET /v1/{path}").body for path in reads]


@pytest.mark.parametrize("at", range(len(BODIES)))
def test_any_body_is_answered_and_a_refused_one_writes_nothing(at: int) -> None:
    method, path, build, names = BODIES[at]
    harness = HttpHarness()

    @_few
    @given(
        st.dictionaries(
            st.one_of(st.sampled_from(names.split()), st.sampled_from(_names), st.text(max_size=6)), _json, max_size=4
        )
    )
    def ask(fields: dict[str, Any]) -> None:
        index, before = harness.agent.server.store.index, state(harness)
        answer = harness.ask(f"{method} {path}", json.dumps(build(fields)))
        assert answer.status in (200, 400, 409, 500)
        assert answer.status != 400 or harness.agent.server.store.index == index, "refused before it was proposed"
        assert answer.status == 200 or state(harness) == before, answer.text

    ask()


@pytest.mark.parametrize("method_path_body", [(method, path, body) for method, path, body, _ in WRITES])
def test_any_parameters_of_a_write_are_answered(method_path_body: tuple[str, str, str]) -> None:
    method, path, body = method_path_body
    harness = HttpHarness()

    @_few
    @given(st.lists(st.one_of(st.sampled_from(QUERIES), st.binary(max_size=6).map(quote_from_bytes)), max_size=3))
    def ask(queries: list[str]) -> None:
        asking = harness.begin(f"{method} {path}?{'&'.join(queries)}", body)
        harness.agent.clock.advance(700.0)
        assert asking.answer is not None
        assert asking.answer.status < 600

    ask()


_bytes = st.binary(max_size=12).filter(lambda raw: not set(raw) & set(b" \r\n?#\x00\t\x0b\x0c\x1c\x1d\x1e\x1f\x85"))


@_few
@given(st.sampled_from([path for path in READS if path.endswith("/")]), _bytes, _bytes)
def test_any_bytes_of_a_request_line_are_answered(path: str, tail: bytes, query: bytes) -> None:
    harness = HttpHarness()
    for method in (b"GET", b"DELETE"):
        asking = InMemoryClient(harness)
        target = path.encode() + tail + b"?" + query
        asking.send(b"%b %b HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n" % (method, target))
        harness.agent.clock.advance(700.0)
        assert asking.answer is not None, target


@_few
@given(st.binary(min_size=1, max_size=20).filter(lambda key: key.decode("utf-8", "replace").isprintable()))
def test_any_key_that_can_be_printed_is_put_read_listed_and_deleted(key: bytes) -> None:
    harness = HttpHarness()
    if b"//" in b"/" + key or b"/./" in b"/" + key + b"/" or b"/../" in b"/" + key + b"/":
        return  # no path names it
    target = f"/v1/kv/{quote_from_bytes(key, safe='/')}"
    harness.tell(f"PUT {target}", key)
    assert harness.ask(f"GET {target}?raw").body == key
    assert len(harness.ask("GET /v1/kv/?keys").json) == 1
    assert [row["Key"] for row in harness.ask(f"GET {target}?recurse").json] == [
        "".join("\ufffd" if "\udc80" <= char <= "\udcff" else char for char in key.decode("utf-8", "surrogateescape"))
    ]
    harness.tell(f"DELETE {target}")
    assert harness.ask("GET /v1/kv/?keys").json == []
