"""Answers of all kinds to HTTP checks, over real sockets; outputs as a real agent gave them to the same server."""

import gzip
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor as _reactor
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater

from consulpy.checks import http_body
from consulpy.checks.dial import Dialer
from consulpy.checks.http import HttpProbe
from consulpy.checks.http_body import BodyTail
from consulpy.checks.result import CheckFailed, Result, Tail
from consulpy.structs.definition import CheckType

reactor: Any = _reactor
HOST = "127.37.0.4"
BROKEN = "net/http: HTTP/1.x transport connection broken: "


class Says(Protocol):
    """Answers every request with the same bytes."""

    def __init__(self, answer: bytes, *, close: bool) -> None:
        self.answer = answer
        self.close = close
        self.asked = b""

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.asked += data
        if b"\r\n\r\n" in self.asked:
            self.asked = b""
            self.transport.write(self.answer)
            if self.close:
                self.transport.loseConnection()


@pytest.fixture
def server() -> Iterator[Callable[..., str]]:
    """Start a server that says `answer`; the result is its URL."""
    ports = []

    def start(answer: bytes, close: bool = True) -> str:
        factory = Factory.forProtocol(lambda: Says(answer, close=close))  # type: ignore[arg-type]
        ports.append(reactor.listenTCP(0, factory, interface=HOST))
        return f"http://{HOST}:{ports[-1].getHost().port}/"

    yield start
    for port in ports:
        pytest_twisted.blockon(port.stopListening())


async def outcome(url: str, **fields: Any) -> Result:
    try:
        return await HttpProbe(reactor, Dialer(reactor), CheckType(http=url, **fields), 5.0).run()
    except CheckFailed as error:
        return error.result()


@pytest.mark.parametrize(
    ("answer", "status", "output"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", "passing", "200 OK Output: short"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "passing", "200 OK Output: ab"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n", "passing", "200 OK Output: "),
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 9\r\n\r\nbad", "critical", "500 Oh Output: bad"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "passing", "204 No Content Output: "),
        (b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\n\r\nx", "passing", "200 OK Output: x"),
        (b"HTTP/1.1 200 OK\r\n\r\n\xe9t\xe9", "passing", "200 OK Output: \ufffdt\ufffd"),
        (b"HTTP/1.1 200 \xc3\xa9\r\n\r\n", "passing", "200 é Output: "),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nnone", "passing", "200 OK Output: "),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b"packed", mtime=0),
            "passing",
            "200 OK Output: packed",
        ),
    ],
)
@pytest_twisted.ensureDeferred
async def test_the_status_counts_whatever_is_wrong_with_the_body(
    server: Callable[..., str], answer: bytes, status: str, output: str
) -> None:
    url = server(answer)
    assert await outcome(url) == Result(status, f"HTTP GET {url}: {output}")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", BROKEN + 'malformed HTTP response "SSH-2.0-OpenSSH_9.2"'),
        (b"220 smtp.example ESMTP\r\n", BROKEN + 'malformed HTTP status code "smtp.example"'),
        (b"HTTP/1.1 abc OK\r\n\r\n", BROKEN + 'malformed HTTP status code "abc"'),
        (b"HTTP/1.1 99 OK\r\n\r\n", BROKEN + 'malformed HTTP status code "99"'),
        (b"HTTP/1.1 1000 OK\r\n\r\n", BROKEN + 'malformed HTTP status code "1000"'),
        (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", BROKEN + 'malformed MIME header: missing colon: "no colon"'),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", BROKEN + 'bad Content-Length "x"'),
        (b"\x00\x01\xff\r\n", BROKEN + 'malformed HTTP response "\\x00\\x01\\xff"'),
        (b"no line", BROKEN + 'malformed HTTP status code "line"'),
        (b"", "EOF"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_malformed_response_has_gos_error_text(server: Callable[..., str], answer: bytes, reason: str) -> None:
    url = server(answer)
    assert await outcome(url) == Result("critical", f'Get "{url}": {reason}')


@pytest.mark.parametrize(("code", "status"), [(200, "passing"), (429, "warning"), (500, "critical")])
@pytest_twisted.ensureDeferred
async def test_a_body_that_does_not_end_counts_by_its_status(
    server: Callable[..., str], code: int, status: str
) -> None:
    """As at the timeout: the run is cancelled, then `timed_out` is called."""
    url = server(b"HTTP/1.1 %d Oh\r\n\r\nso far" % code, close=False)
    probe = HttpProbe(reactor, Dialer(reactor), CheckType(http=url), 5.0)
    run = probe.run()
    run.addErrback(lambda _: None)
    while "so far" not in probe.timed_out().output:
        await deferLater(reactor, 0.01)
    run.cancel()
    assert probe.timed_out() == Result(status, f"HTTP GET {url}: {code} Oh Output: so far")


@pytest_twisted.ensureDeferred
async def test_an_endless_body_is_read_up_to_the_limit(
    server: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_body, "BODY_MAX_BYTES", 1000)
    url = server(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 5000, close=False)
    assert (await outcome(url, output_max_size=3)) == Result("passing", f"HTTP GET {url}: 200 OK Output: xxx")


def test_a_decompression_bomb_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_body, "BODY_MAX_BYTES", 1 << 20)
    tail = Tail(10)
    assert BodyTail(tail, gzip=True).write(gzip.compress(bytes(100 << 20))) is False
    assert tail.total <= (1 << 20) + http_body._STEP_BYTES


@pytest_twisted.ensureDeferred
async def test_redirects_end_after_ten_requests(server: Callable[..., str]) -> None:
    url = server(b"HTTP/1.1 302 Found\r\nLocation: /again\r\n\r\n")
    assert (await outcome(url)).output == 'Get "/again": stopped after 10 redirects'


@pytest.mark.parametrize(
    ("location", "output"),
    [
        (b"ftp://x/", 'Get "ftp://x/": unsupported protocol scheme "ftp"'),
        (b"http:///x", 'Get "http:///x": http: no Host in request URL'),
        (b"http://u:secret@127.37.0.4:1/", 'Get "http://u:***@127.37.0.4:1/": dial tcp 127.37.0.4:1: connect: '),
    ],
)
@pytest_twisted.ensureDeferred
async def test_an_error_names_the_requested_url(server: Callable[..., str], location: bytes, output: str) -> None:
    url = server(b"HTTP/1.1 302 Found\r\nLocation: %s\r\n\r\n" % location)
    assert (await outcome(url)).output.startswith(output)


@pytest_twisted.ensureDeferred
async def test_no_outcome_shows_the_password_of_the_url(server: Callable[..., str]) -> None:
    """Better than real Consul, whose output of a good answer does."""
    url = server(b"HTTP/1.1 200 OK\r\n\r\nx")
    good = await outcome(url.replace("http://", "http://u:s3kret@"))
    assert good.output == f"HTTP GET {url.replace('http://', 'http://u:***@')}: 200 OK Output: x"
    for wrong in ("http://u:s3 kret@h/", "ftp://u:s3kret@h/", f"http://u:s3kret@{HOST}:1/"):
        assert "kret" not in (await outcome(wrong)).output
