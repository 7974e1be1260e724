"""Bodies of HTTP checks that are compressed."""

import gzip

import pytest

from consulpy.checks.http_body import BodyTail
from consulpy.checks.result import Tail

TWO = gzip.compress(b"one", mtime=0) + gzip.compress(b" and two", mtime=0)


@pytest.mark.parametrize("size", [1, 7, len(TWO)])
def test_all_members_are_decoded(size: int) -> None:
    """RFC 1952, 2.2: a file is a series of members; Go's client reads all of them."""
    body = BodyTail(Tail(0), gzip=True)
    assert all(body.write(TWO[start : start + size]) for start in range(0, len(TWO), size))
    assert body.tail.text == "one and two"


def test_what_is_behind_the_last_member_ends_the_reading() -> None:
    body = BodyTail(Tail(0), gzip=True)
    assert body.write(gzip.compress(b"one") + b"no gzip") is False
    assert body.tail.text == "one"
