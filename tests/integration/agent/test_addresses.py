"""Addresses to join, as docs/wire/gossip.md 6.8 lists them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consulpy.agent.features.addresses import JoinAddress, resolve
from consulpy.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.1", JoinAddress("10.0.0.1", 8301)),
        ("10.0.0.1:7946", JoinAddress("10.0.0.1", 7946)),
        ("web.example:7946", JoinAddress("web.example", 7946)),
        ("[fd00::1]:7946", JoinAddress("fd00::1", 7946)),
        ("[fd00::1]", JoinAddress("fd00::1", 8301)),
        ("fd00::1", JoinAddress("fd00::1", 8301)),
        ("web-1/10.0.0.1:7946", JoinAddress("10.0.0.1", 7946, "web-1")),
    ],
)
def test_every_spelling_is_understood(text: str, expected: JoinAddress) -> None:
    assert JoinAddress.parse(text, 8301) == expected


@pytest.mark.parametrize(
    "text", ["", ":8301", "10.0.0.1:0", "10.0.0.1:65536", "10.0.0.1:http", "web/", "[::", "[::1]7"]
)
def test_what_is_no_address_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match="no address to join"):
        JoinAddress.parse(text, 8301)


@pytest.mark.parametrize("host", ["a..b", ".", "a" * 64, "x\udce9", "a" * 64 + ".example"])
def test_a_name_that_no_resolver_takes_is_answered_at_once(host: str) -> None:
    """Twisted's resolver fails in its thread and never answers."""
    reactor: Any = None
    errors: list[Any] = []
    resolve(reactor, host).addErrback(errors.append)
    assert "no such host" in str(errors[0].value)


@given(st.text())
def test_any_text_is_an_address_or_an_error(text: str) -> None:
    try:
        parsed = JoinAddress.parse(text, 8301)
    except ConfigError:
        return
    assert parsed.host
    assert 0 < parsed.port < 65536
