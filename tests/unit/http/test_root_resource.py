"""What is answered before, around and instead of routes: paths, methods, compression, layout.

Source: answers of a real agent 1.8.7 (tests/conformance/golden/http.json and raw requests beside it).
"""

import gzip
import json
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from consulpy.http.api import app, routes
from consulpy.http.api.routing import METHODS, ROUTES
from tests.harness.http import HttpHarness, InMemoryClient

routes.load_all()


@pytest.fixture(scope="module")
def harness() -> HttpHarness:
    return HttpHarness()


@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "OPTIONS"])
def test_the_root_says_what_listens_here(harness: HttpHarness, method: str) -> None:
    answer = harness.ask(f"{method} /?a=%")
    assert (answer.status, answer.text) == (200, "Consul Agent")
    assert "vary" not in answer.headers


@pytest.mark.parametrize(
    "path", ["/foo", "/V1/status/leader", "/v1/catalog/nodes/", "/v1/agent/self/", "/v1", "/x?a=%"]
)
def test_an_unknown_path_is_an_empty_404(harness: HttpHarness, path: str) -> None:
    answer = harness.ask(f"GET {path}")
    assert (answer.status, answer.body) == (404, b"")
    assert answer.headers.keys() <= {"server", "date", "content-length"}


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/v1/catalog/service", "/v1/catalog/service/"),
        ("/v1/catalog/service?dc=x&a=b", "/v1/catalog/service/?dc=x&a=b"),
        ("/v1//status/leader", "/v1/status/leader"),
        ("//v1/status/leader", "/v1/status/leader"),
        ("/v1/./status/leader", "/v1/status/leader"),
        ("/v1/x/../status/leader?x=1", "/v1/status/leader?x=1"),
        ("/v1/catalog/node/%2F", "/v1/catalog/node/"),
        ("/v1/kv/.", "/v1/kv/"),
        ("/v1/kv/a/..?raw", "/v1/kv/?raw"),
        ("/v1/catalog/service/%2e", "/v1/catalog/service/"),
        ("/v1/agent/service/deregister/..", "/v1/agent/service/"),
        ("/v1/acl/token/.", "/v1/acl/token"),
        ("/v1/nothing/.", "/v1/nothing"),
        ("/v1/catalog//service/a%20b%3F", "/v1/catalog/service/a%20b%3F"),
    ],
)
def test_redirects(harness: HttpHarness, path: str, location: str) -> None:
    answer = harness.ask(f"GET {path}")
    assert (answer.status, answer.headers["location"]) == (301, location)
    assert answer.text == f'<a href="{location.replace("&", "&amp;")}">Moved Permanently</a>.\n\n'
    assert harness.ask(f"PUT {path}").body == b""


def test_dots_inside_a_name_stay(harness: HttpHarness) -> None:
    assert harness.ask("GET /v1/catalog/node/a..b").status == 200
    assert harness.ask("GET /v1/catalog/node/a%2e%2e").status == 200


@pytest.mark.parametrize("path", ["/v1/catalog/node/a%00b", "/v1/catalog/node/%09"])
def test_unprintable_names_are_refused_without_a_word(harness: HttpHarness, path: str) -> None:
    answer = harness.ask(f"GET {path}")
    assert (answer.status, answer.body) == (400, b"")


@pytest.mark.parametrize("path", ["/v1/catalog/node/%zz", "/v1/catalog/node/%f", "v1/status/leader"])
def test_what_is_no_path_ends_the_connection(harness: HttpHarness, path: str) -> None:
    asking = harness.begin(f"GET {path}")
    assert asking.answer is not None
    assert (asking.answer.status, asking.answer.text) == (400, "400 Bad Request")
    assert asking.raw.count(b"HTTP/1.1") == 1


def test_a_query_with_a_bad_escape_is_an_empty_500(harness: HttpHarness) -> None:
    answer = harness.ask("GET /v1/status/leader?a=%zz")
    assert (answer.status, answer.body, answer.headers["vary"]) == (500, b"", "Accept-Encoding")


def test_a_request_for_a_proxy_is_understood(harness: HttpHarness) -> None:
    assert harness.ask("GET http://elsewhere/v1/status/leader").status == 200


def test_a_host_is_wanted_since_http_1_1(harness: HttpHarness) -> None:
    asking = InMemoryClient(harness)
    asking.send(b"GET / HTTP/1.1\r\n\r\n")
    assert asking.raw.startswith(b"HTTP/1.1 400 Bad Request: missing required Host header\r\n")
    asking = InMemoryClient(harness)
    asking.send(b"GET /v1/status/leader HTTP/1.0\r\n\r\n")
    assert b"200 OK" in asking.raw


@pytest.mark.parametrize("path", sorted(ROUTES))
def test_methods_of_every_path(harness: HttpHarness, path: str) -> None:
    allowed = [method for method in METHODS if method in ROUTES[path]]
    target = f"{path}x" if path.endswith("/") else path
    if path != "/v1/query/":  # its own way, see tests/conformance/golden/query.json
        options = harness.ask(f"OPTIONS {target}")
        assert (options.status, options.headers["allow"], options.body) == (200, ",".join(["OPTIONS", *allowed]), b"")
    refused = harness.ask(f"PATCH {target}")
    assert refused.status == 405
    assert refused.headers["vary"] == "Accept-Encoding"
    assert refused.text == "method PATCH not allowed"
    head = harness.ask(f"HEAD {target}")
    assert (head.status, head.body) == (405, b"")


@pytest.mark.parametrize("method", ["HEAD", "PATCH", "TRACE", "POST", "FOO"])
@pytest.mark.parametrize(("tail", "allowed"), [("", "GET,PUT,DELETE"), ("/execute", "GET"), ("/explain", "GET")])
def test_methods_below_a_query_are_those_of_each_path(
    harness: HttpHarness, method: str, tail: str, allowed: str
) -> None:
    refused = harness.ask(f"{method} /v1/query/x{tail}")
    assert (refused.status, refused.headers["allow"]) == (405, allowed)


@pytest.mark.parametrize("accepted", ["gzip", "deflate, gzip", "GZIP", "deflate, gzip;q=0.5", "gzip;q=1.0, *"])
def test_compression(harness: HttpHarness, accepted: str) -> None:
    answer = harness.ask("GET /v1/status/leader", Accept_Encoding=accepted)
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.json == "127.35.0.1:8300"


@pytest.mark.parametrize("accepted", ["", "gzip;q=0", "gzip;q=0.0, br", "deflate", "xgzip", "gzipx"])
def test_no_compression(harness: HttpHarness, accepted: str) -> None:
    assert "content-encoding" not in harness.ask("GET /v1/status/leader", Accept_Encoding=accepted).headers


def test_an_empty_body_is_not_compressed(harness: HttpHarness) -> None:
    assert "content-encoding" not in harness.ask("OPTIONS /v1/status/leader", Accept_Encoding="gzip").headers


def test_errors_are_compressed_too(harness: HttpHarness) -> None:
    answer = harness.ask("GET /v1/catalog/nodes?filter=x", Accept_Encoding="gzip")
    assert (answer.status, answer.headers["content-encoding"]) == (500, "gzip")
    assert answer.text.startswith("Failed to create boolean expression evaluator")


def test_pretty_is_four_blanks_and_a_line_end(harness: HttpHarness) -> None:
    assert harness.ask("GET /v1/catalog/datacenters?pretty").text == '[\n    "dc1"\n]\n'
    assert harness.ask("GET /v1/catalog/datacenters").text == '["dc1"]'
    dev = HttpHarness()
    dev.agent.indents_json = True  # -dev
    assert dev.ask("GET /v1/catalog/datacenters").text == '[\n    "dc1"\n]\n'


def test_configured_headers_are_on_what_routes_answer() -> None:
    harness = HttpHarness(response_headers={"X-Ours": "yes"})
    for request in ("GET /v1/status/leader", "PATCH /v1/status/leader", "GET /v1/catalog/node/none"):
        assert harness.ask(request).headers["x-ours"] == "yes"
    for request in ("GET /", "GET /none", "GET /v1/kv", "GET //v1/status/leader"):
        assert "x-ours" not in harness.ask(request).headers


def test_a_fault_of_ours_is_one_sentence(harness: HttpHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise KeyError("secret")

    monkeypatch.setattr(harness.agent, "self_report", broken)
    answer = harness.ask("GET /v1/agent/self")
    assert (answer.status, answer.text) == (500, "internal error: KeyError")


def test_access_control_is_off(harness: HttpHarness) -> None:
    for request in ("GET /v1/acl/tokens", "PUT /v1/acl/bootstrap", "PUT /v1/agent/token/default", "GET /debug/pprof/"):
        answer = harness.ask(request)
        assert (answer.status, answer.text) == (401, "ACL support disabled")


def test_every_request_is_measured(harness: HttpHarness) -> None:
    harness.ask("GET /v1/catalog/service/web")
    harness.ask("GET /v1/status/leader")
    names = {sample["Name"] for sample in harness.ask("GET /v1/agent/metrics").json["Samples"]}
    assert {"consul.http.GET.v1.catalog.service._", "consul.http.GET.v1.status.leader"} <= names


def test_bodies_are_json_that_html_may_hold(harness: HttpHarness) -> None:
    harness.tell("PUT /v1/catalog/register", {"Node": "angles", "Address": "10.0.0.1", "NodeMeta": {"a": "<b>&c"}})
    body = harness.ask("GET /v1/catalog/node/angles").body
    assert b"\\u003cb\\u003e\\u0026c" in body
    assert json.loads(body)["Node"]["Meta"] == {"a": "<b>&c"}


@pytest.mark.parametrize("query", ["", "?pretty"])
def test_bodies_are_json_that_javascript_may_hold(harness: HttpHarness, query: str) -> None:
    """Escapes as Go's encoding/json writes them; those of two characters only where Go has them."""
    value = "\b\f\n\r\t\x01\u2028\u2029\u2027 \\b \\\\f"
    harness.tell("PUT /v1/catalog/register", {"Node": "odd", "Address": "10.0.0.1", "NodeMeta": {"a": value}})
    body = harness.ask(f"GET /v1/catalog/node/odd{query}").body
    assert '"\\u0008\\u000c\\n\\r\\t\\u0001\\u2028\\u2029\u2027 \\\\b \\\\\\\\f"'.encode() in body
    assert json.loads(body)["Node"]["Meta"] == {"a": value}


def test_the_same_answer_compresses_to_the_same_bytes(harness: HttpHarness) -> None:
    first, second = (harness.begin("GET /v1/catalog/datacenters", Accept_Encoding="gzip").raw for _ in range(2))
    assert gzip.decompress(first.partition(b"\r\n\r\n")[2]) == b'["dc1"]'
    assert first.partition(b"\r\n\r\n")[2] == second.partition(b"\r\n\r\n")[2]


def first_request(harness: HttpHarness) -> InMemoryClient:
    """One that is served by Klein."""
    harness.site.dispatcher.serve = None
    return harness.begin("GET /v1/status/leader")


@pytest.fixture
def _first_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process whose first agent it is."""
    monkeypatch.setattr(app, "is_prepared", lambda: False)


@pytest.mark.usefixtures("_first_agent")
def test_requests_wait_while_the_routes_are_loaded_in_a_thread() -> None:
    """Importing Klein and compiling its url map would stop gossip for as long."""
    jobs: list[tuple[Any, Deferred[Any]]] = []

    def in_thread(job: Any) -> Deferred[Any]:
        jobs.append((job, Deferred()))
        return jobs[-1][1]

    harness = HttpHarness(in_thread=in_thread)
    one, gone, two = (first_request(harness) for _ in range(3))
    two.send(b"GET /v1/kv/none HTTP/1.1\r\nHost: h\r\n\r\n")
    gone.hang_up()
    [(job, done)] = jobs
    assert (one.raw, two.raw) == (b"", b"")

    done.callback(job())

    assert one.raw.endswith(b':8300"')
    assert gone.raw == b""
    assert two.raw.index(b"HTTP/1.1 200 OK") < two.raw.index(b"HTTP/1.1 404 Not Found")
    assert first_request(harness).raw.endswith(b':8300"'), "later ones need not wait"


@pytest.mark.usefixtures("_first_agent")
def test_routes_that_cannot_be_loaded_are_a_500_and_tried_again() -> None:
    outcomes: list[Exception | None] = [OSError("too many open files"), None]

    def in_thread(job: Any) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()
        fault = outcomes.pop(0)
        if fault is None:
            done.callback(job())
        else:
            done.errback(fault)
        return done

    harness = HttpHarness(in_thread=in_thread)
    assert first_request(harness).raw.startswith(b"HTTP/1.1 500 ")
    assert first_request(harness).raw.startswith(b"HTTP/1.1 200 ")
