"""Tags in memberlist's metadata (docs/wire/gossip.md 6.7)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consulpy.errors import ConfigError
from consulpy.serf.lamport import LamportClock
from consulpy.serf.tags import decode_tags, encode_tags


def test_tags_are_a_map_after_a_magic_byte() -> None:
    assert encode_tags({}) == b"\xff\x80"
    assert encode_tags({"zone": "a", "role": "web"}) == bytes.fromhex("ff82a4726f6c65a3776562a47a6f6e65a161")


def test_a_captured_map_in_gos_order_is_read() -> None:
    """packets_serf.json, the alive message of f1."""
    captured = bytes.fromhex("ff82a47a6f6e65a161a4726f6c65a3776562")
    assert decode_tags(captured) == {"zone": "a", "role": "web"}


def test_metadata_of_an_old_serf_is_a_role() -> None:
    assert decode_tags(b"webserver") == {"role": "webserver"}
    assert decode_tags(b"") == {"role": ""}


@pytest.mark.parametrize("meta", [b"\xff", b"\xff\x81", b"\xff\x90", b"\xff\xa3abc", b"\xff\x81\xa1a\x05"])
def test_tags_that_are_none_are_no_tags(meta: bytes) -> None:
    assert decode_tags(meta) == {}


def test_tags_of_more_than_512_bytes_are_refused() -> None:
    with pytest.raises(ConfigError, match="exceeds limit of 512 bytes"):
        encode_tags({"a": "x" * 506})
    assert len(encode_tags({"a": "x" * 505})) == 512


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=20), max_size=8))
def test_tags_come_back(tags: dict[str, str]) -> None:
    assert decode_tags(encode_tags(tags)) == tags


@given(st.binary(max_size=100))
def test_any_metadata_can_be_looked_at(meta: bytes) -> None:
    decode_tags(meta)
    decode_tags(b"\xff" + meta)


def test_a_lamport_clock_is_later_than_all_it_saw() -> None:
    """docs/wire/gossip.md 6.1."""
    clock = LamportClock()
    assert clock.time() == 1
    clock.witness(0)
    assert clock.time() == 1
    clock.witness(1)
    assert clock.time() == 2
    clock.witness(40)
    assert clock.time() == 41
    assert clock.increment() == 42
    clock.witness(2**64 - 1)
    assert clock.time() == 42, "there is no later time"


def test_members_share_the_texts_that_they_have_in_common() -> None:
    one, two = (decode_tags(encode_tags({"build": "1.8.7:bd893c71", "id": owner * 36})) for owner in "ab")
    for first, second in zip(sorted(one), sorted(two), strict=True):
        assert first is second
    assert one["build"] is two["build"]
