"""memberlist's LZW against Go's own (docs/wire/gossip.md 2.4)."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consulpy.codec.lzw import compress, decompress
from consulpy.errors import WireError

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[2] / "vectors/gossip/lzw.json").read_text())


def plain_of(vector: dict[str, Any]) -> bytes:
    """The plain bytes; long ones are described by a rule."""
    if "plain_hex" in vector:
        return bytes.fromhex(vector["plain_hex"])
    length = int(vector["plain_length"])
    if vector["name"].startswith("zeros"):
        return bytes(length)
    state, plain = 1, bytearray()
    for _ in range(length):
        state = (state * 1103515245 + 12345) % 2**32
        plain.append(state >> 16 & 255)
    return bytes(plain)


def names(kind: str) -> Any:
    return pytest.mark.parametrize("vector", VECTORS[kind], ids=lambda vector: vector["name"][:60])


@names("encode")
def test_what_go_compressed_is_decompressed(vector: dict[str, Any]) -> None:
    plain = plain_of(vector)
    assert decompress(bytes.fromhex(vector["compressed_hex"]), len(plain)) == plain
    assert decompress(compress(plain), len(plain)) == plain


@names("consul_wire")
def test_consuls_buffers_are_made_byte_for_byte(vector: dict[str, Any]) -> None:
    plain = plain_of(vector)
    compressed = bytes.fromhex(vector["compressed_hex"])
    assert decompress(compressed, len(plain)) == plain
    assert compress(plain) == compressed


@names("serf_wire")
def test_serfs_buffers_start_with_a_clear_code(vector: dict[str, Any]) -> None:
    plain = plain_of(vector)
    assert decompress(bytes.fromhex(vector["compressed_hex"]), len(plain)) == plain


@names("decode")
def test_odd_and_broken_streams(vector: dict[str, Any]) -> None:
    compressed = bytes.fromhex(vector["compressed_hex"])
    if vector.get("error"):
        with pytest.raises(WireError):
            decompress(compressed, 1 << 20)
    else:
        assert decompress(compressed, 1 << 20) == plain_of(vector)


@given(st.binary(max_size=3000) | st.binary(max_size=20).map(lambda part: part * 400))
def test_round_trip(plain: bytes) -> None:
    assert decompress(compress(plain), len(plain)) == plain


def test_a_long_text_with_a_full_table() -> None:
    plain = b"".join(number.to_bytes(3, "big") for number in range(30_000))
    assert decompress(compress(plain), len(plain)) == plain


@given(st.binary(max_size=400))
def test_any_bytes_come_out_or_are_refused(data: bytes) -> None:
    with contextlib.suppress(WireError):
        assert len(decompress(data, 4096)) <= 4096


def test_a_bomb_is_refused_at_the_limit() -> None:
    bomb = compress(bytes(4_000_000))
    assert len(bomb) < 10_000
    with pytest.raises(WireError, match="more than 65536 bytes"):
        decompress(bomb, 65536)
