"""Requests and redirects of HTTP checks: the rules of Go's HTTP client, as seen of a real agent."""

from typing import Any

import pytest

from consulpy.checks.http_request import HttpRequest
from consulpy.checks.result import CheckFailed
from consulpy.structs.definition import CheckType

URL = "http://h:1/a"


def request(url: str = URL, **fields: Any) -> HttpRequest:
    return HttpRequest.of(CheckType(http=url, **fields))


def sent(url: str = URL, **fields: Any) -> list[tuple[str, str]]:
    return list(request(url, **fields).fields())


DEFAULTS = [
    ("Host", "h:1"),
    ("User-Agent", "Consul Health Check"),
    ("Accept", "text/plain, text/*, */*"),
    ("Accept-Encoding", "gzip"),
    ("Connection", "close"),
]


def test_a_request_without_headers() -> None:
    assert sent() == DEFAULTS


def test_fields_are_in_gos_order() -> None:
    """Host, agent and length, the check's and the defaults by name (capitals first), compression and connection."""
    header = {"x-b": ["1", "2"], "User-Agent": ["mine", "other"], "Content-Type": ["a/b"], "Zz": ["3"], "Accept": ["c"]}
    found = request("http://u:p@h:1/a", method="POST", body="é", header=header).redirected(307, "/y")
    assert found is not None
    assert list(found.fields()) == [
        ("Host", "h:1"),
        ("User-Agent", "mine"),
        ("Content-Length", "2"),
        ("Accept", "c"),
        ("Authorization", "Basic dTpw"),
        ("Content-Type", "a/b"),
        ("Referer", URL),
        ("Zz", "3"),
        ("x-b", "1"),
        ("x-b", "2"),
        ("Accept-Encoding", "gzip"),
        ("Connection", "close"),
    ]


@pytest.mark.parametrize("header", [{}, {"Connection": ["close"]}, {"connection": ["Close"]}])
def test_the_connection_is_closed_and_that_is_said_once(header: dict[str, list[str]]) -> None:
    assert request(header=header).encoded().lower().count(b"connection: close") == 1


@pytest.mark.parametrize(
    ("header", "name", "values"),
    [
        ({"Host": ["other"]}, "host", ["other"]),
        ({"host": ["other:99"]}, "host", ["other:99"]),
        ({"Host": ["a", "b"]}, "host", ["a"]),
        ({"Host": [""]}, "host", ["h:1"]),
        ({"Host": ["a b"]}, "host", ["a"]),
        ({"Host": ["bücher.example:1"]}, "host", ["xn--bcher-kva.example:1"]),
        ({"Host": ["[fe80::1%eth0]:1"]}, "host", ["[fe80::1]:1"]),
        ({"User-Agent": ["mine"]}, "user-agent", ["mine"]),
        ({"User-Agent": [""]}, "user-agent", ["Consul Health Check"]),
        ({"ACCEPT": ["a/b", "c/d"]}, "accept", ["a/b", "c/d"]),
        ({"X-A": ["1", "2"], "x-a": ["3"]}, "x-a", ["1", "2", "3"]),
        ({"X": ["  a  "]}, "x", ["a"]),
        ({"X": []}, "x", []),
        ({"Content-Length": ["5"]}, "content-length", []),
        ({"Transfer-Encoding": ["chunked"]}, "transfer-encoding", []),
        ({"Accept-Encoding": ["br"]}, "accept-encoding", ["br"]),
        ({"Range": ["bytes=0-1"]}, "accept-encoding", []),
    ],
)
def test_headers_of_the_check(header: dict[str, list[str]], name: str, values: list[str]) -> None:
    assert [value for key, value in sent(header=header) if key.lower() == name] == values


@pytest.mark.parametrize("header", [{}, {"X": ["1"]}])
def test_user_information_is_sent_unless_the_check_has_its_own(header: dict[str, list[str]]) -> None:
    own = {"authorization": ["Bearer x"]}
    assert ("Authorization", "Basic dTpw") in sent("http://u:p@h:1/", header=header)
    fields = sent("http://u:p@h:1/", header={**header, **own})
    assert [value for name, value in fields if name.lower() == "authorization"] == ["Bearer x"]


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"method": "Po St"}, 'net/http: invalid method "Po St"'),
        ({"method": "GET\r\nX: y"}, 'net/http: invalid method "GET\\r\\nX: y"'),
        ({"url": "http://h/%zz"}, 'parse "http://h/%zz": invalid URL escape "%zz"'),
        ({"url": "http://h/%zz#f"}, 'parse "http://h/%zz": invalid URL escape "%zz"'),
        ({"url": "http://h/#%zz"}, 'parse "http://h/#%zz": invalid URL escape "%zz"'),
        ({"url": "http://:"}, "http: no Host in request URL"),
        ({"header": {"X A": ["1"]}}, 'net/http: invalid header field name "X A"'),
        ({"header": {"": ["1"]}}, 'net/http: invalid header field name ""'),
        ({"header": {"X": ["a\r\nY: b"]}}, 'net/http: invalid header field value "a\\r\\nY: b" for key X'),
        ({"header": {"Host": ["a\nb"]}}, 'net/http: invalid header field value "a\\nb" for key Host'),
        ({"url": "ftp://h/"}, 'unsupported protocol scheme "ftp"'),
        ({"url": "h/x"}, 'unsupported protocol scheme ""'),
        ({"url": "http://u:p@/"}, "http: no Host in request URL"),
    ],
)
def test_invalid_requests_have_gos_error_texts(fields: dict[str, Any], error: str) -> None:
    with pytest.raises(CheckFailed) as caught:
        request(**fields).check()
    assert str(caught.value) == error


@pytest.mark.parametrize(
    ("method", "status", "following"),
    [
        ("GET", 301, "GET"),
        ("POST", 302, "GET"),
        ("PUT", 303, "GET"),
        ("HEAD", 302, "HEAD"),
        ("POST", 307, "POST"),
        ("DELETE", 308, "DELETE"),
    ],
)
def test_method_and_body_of_a_redirect(method: str, status: int, following: str) -> None:
    found = request(method=method, body="b").redirected(status, "/y")
    assert found is not None
    preserved = status in (307, 308)
    assert (found.method, found.body, found.referer) == (following, "b" if preserved else "", URL)


def test_a_referer_of_the_check_is_sent_in_the_first_request_only() -> None:
    first = request(header={"Referer": ["mine"]})
    found = first.redirected(302, "/y")
    assert found is not None
    assert (dict(first.fields())["Referer"], dict(found.fields())["Referer"]) == ("mine", URL)


def test_an_empty_port_is_not_shown() -> None:
    assert request("http://h:/a").shown == 'Get "http://h/a"'


@pytest.mark.parametrize("status", [200, 300, 304, 305, 306, 399])
def test_other_statuses_are_no_redirects(status: int) -> None:
    assert request().redirected(status, "/y") is None


@pytest.mark.parametrize(
    ("location", "error"),
    [
        ("", "302 response missing Location header"),
        ("http://[::1/", 'failed to parse Location header "http://[::1/": parse "http://[::1/": missing \']\' in host'),
    ],
)
def test_an_invalid_redirect(location: str, error: str) -> None:
    with pytest.raises(CheckFailed) as caught:
        request().redirected(302, location)
    assert str(caught.value) == error


@pytest.mark.parametrize(
    ("location", "sent"),
    [("/x", True), ("http://h:1/x", True), ("http://sub.h:1/x", True), ("http://h:2/x", False), ("http://o/x", False)],
)
def test_credentials_are_sent_to_the_same_host_only(location: str, sent: bool) -> None:
    header = {"Authorization": ["Bearer x"], "cookie": ["a=b"], "X-A": ["1"]}
    found = request(header=header).redirected(302, location)
    assert found is not None
    names = {name.lower() for name, _ in found.fields()}
    assert ("authorization" in names, "cookie" in names, "x-a" in names) == (sent, sent, True)


def test_passwords_and_referers_are_not_sent_to_other_hosts() -> None:
    first = request("https://u:p@h/a", header={"Host": ["name"]})
    same, other = first.redirected(302, "/b"), first.redirected(302, "http://o/b")
    assert same is not None
    assert other is not None
    assert ("Authorization", "Basic dTpw") in list(same.fields())
    assert (same.host, same.referer) == ("name", "https://h/a")
    assert (other.host, other.referer) == ("", "")
    assert "Authorization" not in dict(other.fields())
