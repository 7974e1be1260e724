"""URLs of HTTP checks: what Go's net/url 1.14 makes of them, as a real agent's requests and outputs showed."""

import pytest

from consulpy.checks.url import Url, UrlError, parse


@pytest.mark.parametrize(
    ("text", "address", "host", "target"),
    [
        ("http://h:8000/a b", ("h", "8000"), "h:8000", "/a%20b"),
        ("http://h/a?b c&d=%zz", ("h", "80"), "h", "/a?b%20c&d=%zz"),
        ("https://h?q", ("h", "443"), "h", "/?q"),
        ("HTTP://h:/x#frag", ("h", "80"), "h", "/x"),
        ("http://[127.0.0.1]:80/", ("127.0.0.1", "80"), "127.0.0.1:80", "/"),
        ("http://[::1%25lo]:80/", ("::1%lo", "80"), "[::1]:80", "/"),
        ("http://[::1]/", ("::1", "80"), "[::1]", "/"),
        ("http://h:99999/", ("h", "99999"), "h:99999", "/"),
        ("http://h/a%2fb%C3%A9", ("h", "80"), "h", "/a%2fb%C3%A9"),
        ("http://h/é|'", ("h", "80"), "h", "/%C3%A9%7C%27"),
        ("http://h/a/../b//c", ("h", "80"), "h", "/a/../b//c"),
        ("http://bücher.example:80/", ("bücher.example", "80"), "xn--bcher-kva.example:80", "/"),
        ("http://:80/", ("", "80"), ":80", "/"),
    ],
)
def test_address_host_and_target_of_a_url(text: str, address: tuple[str, str], host: str, target: str) -> None:
    url = parse(text)
    assert (url.address, url.host_header, url.target) == (address, host, target)


@pytest.mark.parametrize(
    ("text", "authorization", "shown"),
    [
        ("http://user:p%40ss@h/", "Basic dXNlcjpwQHNz", "http://user:***@h/"),
        ("http://user@h/", "Basic dXNlcjo=", "http://user@h/"),
        ("http://a@b:c@h/", "Basic YUBiOmM=", "http://a@b:***@h/"),
        ("http://:@h/", "Basic Og==", "http://:***@h/"),
        ("http://us%C3%A9r:%00@h/", "Basic dXPDqXI6AA==", "http://usér:***@h/"),
        ("http://h/a@b", "", "http://h/a@b"),
        ("http://h/#a\tb", "", "http://h/#a%09b"),
    ],
)
def test_user_information_becomes_basic_authentication_and_passwords_are_hidden(
    text: str, authorization: str, shown: str
) -> None:
    url = parse(text)
    assert (url.authorization, url.shown) == (authorization, shown)
    assert "@h" not in url.referer


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("http://h/a%zz", 'invalid URL escape "%zz"'),
        ("http://h/a%2", 'invalid URL escape "%2"'),
        ("http://u%zz@h/", 'invalid URL escape "%zz"'),
        ("http://h%41/", 'invalid URL escape "%41"'),
        ("http://u s@h/", "net/url: invalid userinfo"),
        ("http://ü@h/", "net/url: invalid userinfo"),
        ("http://h /", 'invalid character " " in host name'),
        ("http://h|/", 'invalid character "|" in host name'),
        ("http://h/\x7f", "net/url: invalid control character in URL"),
        ("http://h/\n", "net/url: invalid control character in URL"),
        ("http://[::1/", "missing ']' in host"),
        ("http://[::1]x/", 'invalid port "x" after host'),
        ("http://h:http/", 'invalid port ":http" after host'),
        ("http://h:-1/", 'invalid port ":-1" after host'),
        ("127.0.0.1:80/x", "first path segment in URL cannot contain colon"),
        (" http://h/", "first path segment in URL cannot contain colon"),
        ("::", "missing protocol scheme"),
        ("http://[::1%lo]/", 'invalid URL escape "%lo"'),
    ],
)
def test_invalid_urls_have_gos_error_texts(text: str, error: str) -> None:
    with pytest.raises(UrlError) as caught:
        parse(text)
    assert str(caught.value) == error


@pytest.mark.parametrize(
    ("text", "scheme", "shown"),
    [
        ("localhost:80/x", "localhost", "localhost:80/x"),
        ("h/x", "", "h/x"),
        ("//h/x", "", "//h/x"),
        ("http:", "http", "http:"),
        ("http:/x", "http", "http:///x"),
        ("unix:///x", "unix", "unix:///x"),
    ],
)
def test_urls_without_host(text: str, scheme: str, shown: str) -> None:
    url = parse(text)
    assert (url.scheme, url.shown) == (scheme, shown)


@pytest.mark.parametrize(
    ("reference", "where"),
    [
        ("/y", "http://u:p@h:1/y"),
        ("y", "http://u:p@h:1/a/y"),
        ("../../z", "http://u:p@h:1/z"),
        ("./z/", "http://u:p@h:1/a/z/"),
        ("?r", "http://u:p@h:1/a/b?r"),
        ("#g", "http://u:p@h:1/a/b?q#g"),
        ("", "http://u:p@h:1/a/b?q#f"),
        ("//other/y", "http://other/y"),
        ("https://other:2/y", "https://other:2/y"),
        ("///y//z", "http://u:p@h:1///y//z"),
        ("/..//y/..", "http://u:p@h:1/"),
        ("/caf\udcc3\udca9", "http://u:p@h:1/caf%C3%A9"),
    ],
)
def test_references_are_relative_to_the_url(reference: str, where: str) -> None:
    """RFC 3986, 5.2; user information stays with its host. Bytes that are no text are lone surrogates."""
    assert parse("http://u:p@h:1/a/b?q#f").join(reference) == parse(where)


def test_an_empty_reference_is_the_base_url() -> None:
    assert parse("") == Url()
