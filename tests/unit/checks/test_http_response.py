"""Responses that servers of all kinds send to checks; statuses, bodies and errors as a real agent gave them."""

import pytest

from consulpy.checks import http_response
from consulpy.checks.http_response import ResponseParser
from consulpy.checks.result import CheckFailed

OK = b"HTTP/1.1 200 OK\r\n"
TWO = b"Content-Length: 2\r\n\r\nhi"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
BROKEN = "net/http: HTTP/1.x transport connection broken: "


def outcome(answer: bytes, method: str = "GET", size: int = 1 << 20) -> tuple[str, bytes]:
    """Status and body, or the error's text; the answer comes in pieces of `size` bytes."""
    parser, body = ResponseParser(method), b""
    try:
        for at in range(0, len(answer), size):
            part = answer[at : at + size]
            if parser.response is None:
                parser.feed(part)
                part = parser.rest
            if parser.response is not None and not parser.response.body.is_complete:
                body += parser.response.body.decode(part)
        if parser.response is None:
            parser.end()
    except CheckFailed as error:
        return str(error).removeprefix(BROKEN), b""
    assert parser.response is not None
    return parser.response.status, body


@pytest.mark.parametrize("size", [1, 3, 1 << 20])
@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (OK + b"X Y: 1\r\n" + TWO, "200 OK", b"hi"),
        (OK + b"X-Y : 1\r\n" + TWO, "200 OK", b"hi"),
        (OK + b": 1\r\n:\r\n" + TWO, "200 OK", b"hi"),
        (OK + b"A(b)/\x01\xc3\xa9: \x00\x02\xff\r\n" + TWO, "200 OK", b"hi"),
        (OK + b"A: b\r\n folded\r\n\t\r\n" + TWO, "200 OK", b"hi"),
        (OK + b"A: b\rc\r\n" + TWO, "200 OK", b"hi"),
        (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi", "200 OK", b"hi"),
        (OK + b"Content-Length : 1\r\n\r\nhi", "200 OK", b"hi"),
        (OK + b"A: " + b"x" * 70000 + b"\r\n" + TWO, "200 OK", b"hi"),
        (b"HTTP/1.1 200\r\n" + TWO, "200", b"hi"),
        (b"HTTP/1.1 200 \r\n" + TWO, "200 ", b"hi"),
        (b"HTTP/1.1   200 OK\r\n" + TWO, "200 OK", b"hi"),
        (b"HTTP/1.1 099 X\r\n" + TWO, "099 X", b"hi"),
        (b"HTTP/1.1 +20 OK\r\n" + TWO, "+20 OK", b"hi"),
        (b"HTTP/9.9 999 X\r\n" + TWO, "999 X", b"hi"),
        (b"HTTP/1.0 200 OK\r\n\r\nhi", "200 OK", b"hi"),
        (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", "200 OK", b"2\r\nhi\r\n"),
        (CONTINUE * 5 + OK + TWO, "200 OK", b"hi"),
        (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK + TWO, "200 OK", b"hi"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\nhi", "101 Switching Protocols", b""),
        (b"HTTP/1.1 204 No Content\r\n" + TWO, "204 No Content", b""),
        (OK + b"Content-Length:\r\n\r\nhi", "200 OK", b"hi"),
        (OK + b"Content-Length: 2\r\n" + TWO, "200 OK", b"hi"),
        (OK + b"Content-Length: 1\r\n\r\nhi", "200 OK", b"h"),
        (CHUNKED + b"2;a=b\r\nhi\r\n0;x\r\n\r\n", "200 OK", b"hi"),
        (CHUNKED + b"2  \r\nhi\r\n00\r\n\r\n", "200 OK", b"hi"),
        (CHUNKED + b"2\nhi\n0\n\n", "200 OK", b"hi"),
        (CHUNKED + b"1\r\nh\r\n1\r\ni\r\n\r\nxx", "200 OK", b"hi"),
        (CHUNKED + b"2 ;x\r\nhi\r\n", "200 OK", b""),
        (CHUNKED + b"2;" + b"x" * 5000 + b"\r\nhi\r\n", "200 OK", b""),
        (OK + b"Transfer-Encoding: Chunked\r\nContent-Length: 50\r\n\r\n2\r\nhi\r\n0\r\n\r\n", "200 OK", b"hi"),
    ],
)  # fmt: skip
def test_what_goes_through(answer: bytes, status: str, body: bytes, size: int) -> None:
    assert outcome(answer, size=size) == (status, body)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (OK + b"nocolon\r\n" + TWO, 'malformed MIME header: missing colon: "nocolon"'),
        (OK + b" first: x\r\n" + TWO, "malformed MIME header initial line:  first: x"),
        (CONTINUE * 6 + OK + TWO, "net/http: too many 1xx informational responses"),
        (CONTINUE, "unexpected EOF"),
        (OK, "unexpected EOF"),
        (OK + b"A: b", "unexpected EOF"),
        (OK + b"\r", 'malformed MIME header: missing colon: "\\r"'),
        (b"", "EOF"),
        (b"\r\n" + OK + TWO, 'malformed HTTP response ""'),
        (b"<html>hi</html>", 'malformed HTTP response "<html>hi</html>"'),
        (b"http/1.1 200 OK\r\n" + TWO, 'malformed HTTP version "http/1.1"'),
        (b"HTTP/1 200 OK\r\n" + TWO, 'malformed HTTP version "HTTP/1"'),
        (b"HTTP/1.1000001 200 OK\r\n" + TWO, 'malformed HTTP version "HTTP/1.1000001"'),
        (b"HTTP/1.1 2000 X\r\n" + TWO, 'malformed HTTP status code "2000"'),
        (b"HTTP/1.1 -20 X\r\n" + TWO, 'malformed HTTP status code "-20"'),
        (b"HTTP/1.1 2\xff0 X\r\n" + TWO, 'malformed HTTP status code "2\\xff0"'),
        (OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 'unsupported transfer encoding: "gzip, chunked"'),
        (
            OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n",
            'too many transfer encodings: ["chunked" "x"]',
        ),
        (OK + b"Transfer-Encoding: chunked\r\nTrailer: x, content-length\r\n\r\n", 'bad trailer key "Content-Length"'),
        (OK + b"Content-Length: -2\r\n\r\nhi", 'bad Content-Length "-2"'),
        (OK + b"Content-Length: 2, 2\r\n\r\nhi", 'bad Content-Length "2, 2"'),
        (OK + b"Content-Length: 9223372036854775808\r\n\r\nhi", 'bad Content-Length "9223372036854775808"'),
        (
            OK + b"Content-Length: 3\r\n" + TWO,
            'http: message cannot contain multiple Content-Length headers; got ["3" "2"]',
        ),
    ],
)  # fmt: skip
def test_what_is_refused(answer: bytes, why: str, method: str) -> None:
    assert outcome(answer, method) == (why, b"")
    assert outcome(answer, method, size=1) == (why, b"")


def test_a_head_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_response, "HEAD_MAX_BYTES", 1000)
    too_long = outcome(OK + b"A: b\r\n" * 500 + TWO, size=100)[0]
    assert too_long == "net/http: server response headers exceeded 1000 bytes; aborted"


def test_an_endless_line_is_searched_once() -> None:
    """Ten megabytes in small pieces take no time that grows with their square."""
    parser = ResponseParser("GET")
    for _ in range(10_000):
        parser.feed(b"x" * 1000)
    assert parser.response is None
