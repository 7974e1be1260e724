"""Files of the web page as they are sent: type, compression, validator."""

import gzip

import pytest

from consulpy.http.ui.content import content, is_unchanged, media_type


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("index.html", "text/html; charset=utf-8"),
        ("assets/app.js", "text/javascript; charset=utf-8"),
        ("assets/a.b.MJS", "text/javascript; charset=utf-8"),
        ("assets/app.css", "text/css; charset=utf-8"),
        ("favicon.ico", "image/x-icon"),
        ("a.svg", "image/svg+xml"),
        ("LICENSE", "application/octet-stream"),
        ("a.js/b", "application/octet-stream"),
        ("", "application/octet-stream"),
    ],
)
def test_the_type_is_that_of_the_end_of_the_name(name: str, expected: str) -> None:
    assert media_type(name) == expected


def test_text_is_compressed_and_both_forms_have_validators_of_their_own() -> None:
    made = content("a.js", b"export const a = 1;\n" * 100)
    assert made.compressed is not None
    assert gzip.decompress(made.compressed) == made.body
    assert made.etag(is_compressed=True) != made.etag(is_compressed=False)


def test_what_does_not_become_smaller_is_sent_as_it_is() -> None:
    assert content("a.js", b"a").compressed is None
    assert content("a.png", b"a" * 1000).compressed is None
    assert content("empty.css", b"").body == b""


def test_the_validator_is_that_of_the_bytes() -> None:
    assert content("a.js", b"1").tag == content("b.css", b"1").tag != content("a.js", b"2").tag


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ('"a"', True),
        ('W/"a"', True),
        ('"b", "a"', True),
        ('"b",W/"a"', True),
        ("*", True),
        ("", False),
        ('"b"', False),
        ("a", False),
        ('"a-gzip"', False),
        ('"', False),
    ],
)
def test_if_none_match(sent: str, expected: bool) -> None:
    """RFC 9110 section 13.1.2: a weak comparison with each of the list."""
    assert is_unchanged(sent, '"a"') is expected
