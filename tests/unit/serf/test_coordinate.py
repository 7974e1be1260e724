"""Vivaldi as Serf's own library computes it, number for number (docs/wire/gossip.md section 8)."""

import json
import math
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consulpy.errors import WireError
from consulpy.serf.coordinate import BadCoordinate, CoordinateClient, decode_ack, distance_s, encode_ack
from consulpy.structs.coordinate import Coord

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "gossip" / "coordinates.json").read_text()
)


def coord(raw: dict[str, Any]) -> Coord:
    return Coord([float(x) for x in raw["Vec"]], raw["Error"], raw["Adjustment"], raw["Height"])


PEERS = {name: coord(raw) for name, raw in VECTORS["peers"].items()}


def test_every_update_gives_the_numbers_of_the_real_library() -> None:
    client = CoordinateClient(Random(1), coord(VECTORS["start"]))
    for update in VECTORS["updates"]:
        client.update(update["peer"], PEERS[update["peer"]], update["rtt_ns"] / 1e9)
        assert client.coordinate == coord(update["result"])


@pytest.mark.parametrize("pair", VECTORS["distances"], ids=lambda pair: f"{pair['a']}-{pair['b']}")
def test_distances_are_those_of_the_real_library(pair: dict[str, Any]) -> None:
    assert round(distance_s(PEERS[pair["a"]], PEERS[pair["b"]]) * 1e9) == pair["distance_ns"]


@pytest.mark.parametrize(
    ("other", "rtt_s", "error"),
    [
        (Coord(vec=[0.0] * 3), 0.1, "dimensions aren't compatible"),
        (Coord(height=math.nan), 0.1, "coordinate is invalid"),
        (Coord(error=math.inf), 0.1, "coordinate is invalid"),
        (Coord(), 11.0, "round trip time not in valid range"),
        (Coord(), -1e-9, "round trip time not in valid range"),
        (Coord(), math.nan, "round trip time not in valid range"),
    ],
)
def test_what_the_real_library_rejects_is_rejected(other: Coord, rtt_s: float, error: str) -> None:
    client = CoordinateClient(Random(1))
    with pytest.raises(BadCoordinate, match=error):
        client.update("n1", other, rtt_s)
    assert client.coordinate == Coord()


def test_two_nodes_at_the_same_place_are_pushed_apart() -> None:
    client = CoordinateClient(Random(7))
    client.update("n1", Coord(), 0.01)
    moved = client.coordinate
    assert any(moved.vec)


def test_numbers_that_run_away_start_over() -> None:
    """Step 6; the reset is counted for `coordinate_resets`."""
    client = CoordinateClient(Random(1))
    client.update("n1", Coord(vec=[1e308] * 8), 0.1)
    assert client.resets == 1
    assert client.coordinate == Coord()


def test_an_ack_carries_130_bytes() -> None:
    """The size of every captured ack payload."""
    payload = encode_ack(Coord())
    assert len(payload) == 130
    assert payload == b"\x01" + Coord().pack()
    assert decode_ack(payload) == Coord()
    assert decode_ack(b"") is None


@pytest.mark.parametrize("payload", [b"\x02\x80", b"\x01", b"\x01\x80", b"\x01\xc0", b"\x01\x81\xa3Vec\xc2"])
def test_an_ack_that_says_something_else_is_an_error(payload: bytes) -> None:
    with pytest.raises(WireError):
        decode_ack(payload)


numbers = st.floats(allow_nan=True, allow_infinity=True)


@given(st.lists(st.tuples(st.lists(numbers, min_size=8, max_size=8), numbers, numbers, numbers, numbers), max_size=12))
def test_a_coordinate_stays_finite_whatever_peers_claim(
    updates: list[tuple[list[float], float, float, float, float]],
) -> None:
    client = CoordinateClient(Random(3))
    for vec, error, adjustment, height, rtt_s in updates:
        try:
            client.update("n", Coord(vec, error, adjustment, height), rtt_s)
        except BadCoordinate:
            continue
        ours = client.coordinate
        assert all(math.isfinite(x) for x in (*ours.vec, ours.error, ours.height, ours.adjustment))
