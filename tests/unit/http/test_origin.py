"""What a page of another site has a browser send changes nothing (real Consul 1.8.7 answers 200)."""

import pytest

from tests.harness.http import HttpHarness, InMemoryClient

REFUSED = "ui_config.allowed_hosts"
EVIL = "http://evil.example"


@pytest.fixture(scope="module")
def harness() -> HttpHarness:
    return HttpHarness(allowed_hosts=("ui.example", "https://Whole.example:8443/", "port.example:80"))


@pytest.mark.parametrize(
    ("headers", "is_taken"),
    [
        ({}, True),
        ({"Origin": EVIL}, False),
        ({"Origin": "null"}, False),
        ({"Origin": ""}, False),
        ({"Origin": "nonsense"}, False),
        ({"Origin": "http://[::1"}, False),
        ({"Origin": "http://localhost@evil.example"}, False),
        ({"Origin": "http://localhost:8500"}, True),
        ({"Origin": "HTTP://LOCALHOST"}, True),
        ({"Origin": EVIL, "Sec_Fetch_Site": "cross-site"}, False),
        ({"Sec_Fetch_Site": "cross-site"}, False),
        ({"Sec_Fetch_Site": "Cross-Site"}, False),
        ({"Sec_Fetch_Site": "same-origin", "Origin": "https://behind.a.proxy"}, True),
        ({"Sec_Fetch_Site": "same-site"}, True),
        ({"Sec_Fetch_Site": "same-site", "Origin": "null"}, False),
        ({"Sec_Fetch_Site": "same-site", "Origin": "http://localhost:3000"}, True),
        (
            {
                "Sec_Fetch_Site": "Same-Site",
                "Origin": "https://wiki.corp.example",
                "X_Forwarded_Host": "ops.corp.example",
            },
            False,
        ),
        (
            {
                "Sec_Fetch_Site": "same-site",
                "Origin": "https://ops.corp.example",
                "X_Forwarded_Host": "ops.corp.example",
            },
            True,
        ),
        ({"Sec_Fetch_Site": "same-site", "Origin": "https://ui.example"}, True),
        ({"Sec_Fetch_Site": "none"}, True),
        ({"Sec_Fetch_Site": "of-a-later-standard"}, True),
        ({"Sec_Fetch_Site": "of-a-later-standard", "Origin": EVIL}, False),
        ({"Sec_Fetch_Site": "", "Origin": EVIL}, False),
        ({"Sec_Fetch_Site": "same-origin, cross-site", "Origin": EVIL}, False),
        ({"Sec_Fetch_Site": "of-a-later-standard", "Origin": "http://localhost:8500"}, True),
        ({"Origin": "https://ui.example"}, True),
        ({"Origin": "https://ui.example:8443", "Sec_Fetch_Site": "cross-site"}, True),
        ({"Origin": "https://whole.example", "Sec_Fetch_Site": "cross-site"}, True),
        ({"Origin": "http://port.example", "Sec_Fetch_Site": "cross-site"}, True),
        ({"Origin": "https://other.ui.example", "Sec_Fetch_Site": "cross-site"}, False),
        ({"Origin": "http://10.0.0.7:8500", "X_Forwarded_Host": "10.0.0.7:8500"}, True),
        ({"Origin": "http://10.0.0.7:8500", "X_Forwarded_Host": "a, 10.0.0.7"}, True),
        ({"Origin": "http://[fd00::1]:8500", "X_Forwarded_Host": "[fd00::1]"}, True),
        ({"Origin": "http://web.service.consul", "X_Forwarded_Host": "web.service.consul."}, True),
        ({"Origin": "http://agent-one:8500", "X_Forwarded_Host": "agent-one"}, True),
        ({"Origin": "http://rebound.example", "X_Forwarded_Host": "rebound.example"}, False),
        ({"Origin": "http://notconsul", "X_Forwarded_Host": "notconsul"}, False),
        ({"Origin": "http://10.0.0.8", "X_Forwarded_Host": "10.0.0.7"}, False),
    ],
)
@pytest.mark.parametrize(
    "request_line",
    [
        "PUT /v1/kv/forged",
        "DELETE /v1/kv/forged",
        "POST /v1/query",
        "POST /v1/connect/intentions",
        "PUT /v1/agent/leave",
        "GET /v1/agent/doctor/10.0.0.1:8301",
    ],
)
def test_who_may_change_state(harness: HttpHarness, request_line: str, headers: dict[str, str], is_taken: bool) -> None:
    harness.agent.left = False
    answer = harness.ask(request_line, b"", Content_Type="text/plain", **headers)
    assert (answer.status != 403) is is_taken, answer.text
    if not is_taken:
        assert REFUSED in answer.text
        assert not harness.agent.left


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_reading_is_the_browsers_matter(harness: HttpHarness, method: str) -> None:
    asking = harness.begin(f"{method} /v1/status/leader", Origin=EVIL, Sec_Fetch_Site="cross-site")
    assert asking.raw.startswith(b"HTTP/1.1 ")
    assert b" 403 " not in asking.raw


def test_the_slow_way_refuses_the_same(harness: HttpHarness) -> None:
    """A request that Twisted reads: its body comes in chunks."""
    asking = harness.begin("GET /v1/status/leader")
    asking.send(
        b"PUT /v1/kv/forged HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nOrigin: http://evil.example\r\n\r\n"
        b"1\r\nx\r\n0\r\n\r\n"
    )
    assert b"HTTP/1.1 403 " in asking.raw
    assert harness.ask("GET /v1/kv/forged").status == 404


def test_the_origin_in_the_answer_is_printable(harness: HttpHarness) -> None:
    answer = harness.ask("PUT /v1/kv/forged", b"", Origin="http://evil.example/\x7f")
    assert answer.status in (400, 403)
    assert "\x7f" not in answer.text


@pytest.mark.parametrize(
    "name", [b"Origin", b"Host", b"X-Forwarded-Host", b"Sec-Fetch-Site", b"User-Agent", b"Accept-Encoding"]
)
@pytest.mark.parametrize("method", [b"GET", b"PUT"])
def test_a_header_of_any_bytes_is_no_fault(harness: HttpHarness, method: bytes, name: bytes, faults: list[str]) -> None:
    """Twisted decodes headers as UTF-8, and fails: that was a 500 and a traceback."""
    fields = {b"Host": b"localhost", b"Origin": b"http://evil.example", b"Content-Length": b"0", name: b"\xff\x80"}
    head = b"".join(b"%b: %b\r\n" % field for field in fields.items())
    asking = InMemoryClient(harness)
    asking.send(method + b" /v1/kv/a HTTP/1.1\r\n" + head + b"\r\n")
    assert asking.raw[9:12] in (b"403", b"404", b"200", b"400")
    assert faults == []
