"""Network coordinates: Vivaldi, step for step as Serf computes it, so that distances agree across a mixed cluster.

Acks to direct UDP pings carry a coordinate. Source: docs/wire/gossip.md section 8; checked on every update of
tests/vectors/gossip/coordinates.json. All times are seconds.
"""

import math
import struct
from functools import reduce
from operator import add
from random import Random
from typing import Final

from consulpy.codec.msgpack import unpack
from consulpy.errors import WireError
from consulpy.structs.coordinate import Coord

DIMENSIONS: Final = 8
ERROR_MAX: Final = 1.5
CE: Final = 0.25
CC: Final = 0.25
ADJUSTMENT_WINDOW: Final = 20
HEIGHT_MIN: Final = 10.0e-6
LATENCY_FILTER_SIZE: Final = 3
GRAVITY_RHO: Final = 150.0
ZERO: Final = 1.0e-6
#: Maximum round trip time; longer ones are not used.
RTT_MAX_S: Final = 10.0
#: Version byte in front of a coordinate in an ack.
PING_VERSION: Final = 1


class BadCoordinate(WireError):
    """A coordinate or round trip time that is invalid."""


#: The payload of an ack as every agent sends it: texts and markers of msgpack, a float after each.
_MARKERS: Final = (
    b"\x01\x84\xaaAdjustment\xcb",
    b"\xa5Error\xcb",
    b"\xa6Height\xcb",
    b"\xa3Vec\x98\xcb",
    *[b"\xcb"] * 7,
)
_PAYLOAD: Final = struct.Struct(">" + "".join(f"{len(marker)}sd" for marker in _MARKERS))


def encode_ack(coordinate: Coord) -> bytes:
    """Encode an ack's payload: version and coordinate, of `DIMENSIONS` dimensions."""
    m, vec = _MARKERS, coordinate.vec
    a, b, c, d, e, f, g, h = vec
    return _PAYLOAD.pack(
        m[0],
        coordinate.adjustment,
        m[1],
        coordinate.error,
        m[2],
        coordinate.height,
        m[3],
        a,
        b"\xcb",
        b,
        b"\xcb",
        c,
        b"\xcb",
        d,
        b"\xcb",
        e,
        b"\xcb",
        f,
        b"\xcb",
        g,
        b"\xcb",
        h,
    )


def decode_ack(payload: bytes) -> Coord | None:
    """Decode an ack's payload; None without a coordinate. Raises `WireError` for another version or a malformed one."""
    if not payload:
        return None
    if len(payload) == _PAYLOAD.size:
        values = _PAYLOAD.unpack(payload)
        if values[::2] == _MARKERS:
            adjustment, error, height, *vec = values[1::2]
            return Coord(vec, error, adjustment, height)
    if payload[0] != PING_VERSION:
        raise WireError(f"unsupported ping version {payload[0]}")
    raw = unpack(payload[1:])
    if not isinstance(raw, dict) or b"Vec" not in raw:
        raise WireError("a coordinate without a vector")
    return Coord.from_wire(raw)


def is_valid(coordinate: Coord) -> bool:
    """Whether all of its numbers are finite."""
    if math.isfinite(sum(coordinate.vec) + coordinate.error + coordinate.adjustment + coordinate.height):
        return True
    numbers = (*coordinate.vec, coordinate.error, coordinate.adjustment, coordinate.height)
    return all(map(math.isfinite, numbers))  # finite ones may have an infinite sum


def is_compatible(coordinate: Coord) -> bool:
    """Whether it has as many dimensions as ours."""
    return len(coordinate.vec) == DIMENSIONS


def distance_s(one: Coord, other: Coord) -> float:
    """Estimated round trip time between two coordinates in seconds, truncated to nanoseconds as Go's durations are."""
    total = 0.0
    for a, b in zip(one.vec, other.vec, strict=True):
        total += (a - b) * (a - b)
    return _adjusted_s(math.sqrt(total), one, other)


class CoordinateClient:
    """The local member's coordinate, updated by each measured round trip time."""

    def __init__(self, rng: Random, start: Coord | None = None) -> None:
        self._rng = rng
        self._origin = Coord()
        self._coord = _copy(start) if start is not None else Coord()
        self._samples = [0.0] * ADJUSTMENT_WINDOW
        self._sample_index = 0
        self._latencies: dict[str, list[float]] = {}
        #: Number of resets after an update gave invalid numbers.
        self.resets = 0

    @property
    def coordinate(self) -> Coord:
        """A copy of the local coordinate."""
        return _copy(self._coord)

    def encode_ack(self) -> bytes:
        """The local coordinate as the payload of an ack."""
        return encode_ack(self._coord)

    def distance_to_s(self, other: Coord) -> float:
        """Estimated round trip time to `other` in seconds."""
        return distance_s(self._coord, other)

    def forget(self, name: str) -> None:
        """Drop the latency samples of a member that was reaped."""
        self._latencies.pop(name, None)

    def update(self, name: str, other: Coord, rtt_s: float) -> None:
        """Update by a round trip of `rtt_s` to member `name` at `other`. Raises `BadCoordinate`."""
        if not is_compatible(other):
            raise BadCoordinate("dimensions aren't compatible")
        if not is_valid(other):
            raise BadCoordinate("coordinate is invalid")
        if not 0.0 <= rtt_s <= RTT_MAX_S:
            raise BadCoordinate(
                f"round trip time not in valid range, duration {rtt_s:g}s is not a positive value less than 10s"
            )
        rtt_s = self._filter_latency(name, rtt_s)
        try:
            self._update_vivaldi(other, rtt_s)
            self._update_adjustment(other, rtt_s)
            self._update_gravity()
        except (OverflowError, ZeroDivisionError, ValueError):  # Go would continue with an infinity
            self._coord.error = math.nan
        if not is_valid(self._coord):
            self.resets += 1
            self._coord = Coord()

    def _filter_latency(self, name: str, rtt_s: float) -> float:
        """The median of the member's last three round trip times."""
        samples = self._latencies.setdefault(name, [])
        samples.append(rtt_s)
        if len(samples) > LATENCY_FILTER_SIZE:
            del samples[0]
        return sorted(samples)[len(samples) // 2]

    def _update_vivaldi(self, other: Coord, rtt_s: float) -> None:
        ours = self._coord
        away = _difference(ours.vec, other.vec)
        magnitude = _magnitude(away)
        distance = _adjusted_s(magnitude, ours, other)
        rtt_s = max(rtt_s, ZERO)
        wrongness = abs(distance - rtt_s) / rtt_s
        weight = ours.error / max(ours.error + other.error, ZERO)
        ours.error = min(CE * weight * wrongness + ours.error * (1.0 - CE * weight), ERROR_MAX)
        self._apply_force(CC * weight * (rtt_s - distance), other, away, magnitude)

    def _update_adjustment(self, other: Coord, rtt_s: float) -> None:
        ours = self._coord
        raw = _magnitude(_difference(ours.vec, other.vec)) + ours.height + other.height
        self._samples[self._sample_index] = rtt_s - raw
        self._sample_index = (self._sample_index + 1) % ADJUSTMENT_WINDOW
        total = reduce(add, self._samples, 0.0)  # not `sum`, which rounds otherwise from Python 3.12 on
        ours.adjustment = total / (2.0 * ADJUSTMENT_WINDOW)

    def _update_gravity(self) -> None:
        ours, origin = self._coord, self._origin
        away = list(ours.vec)  # from the origin
        magnitude = _magnitude(away)
        force = -1.0 * (_adjusted_s(magnitude, origin, ours) / GRAVITY_RHO) ** 2.0
        self._apply_force(force, origin, away, magnitude)

    def _apply_force(self, force: float, other: Coord, away: list[float], magnitude: float) -> None:
        """Push our coordinate away from `other`. `away`: the vector from `other` to us, of length `magnitude`."""
        ours = self._coord
        if magnitude > ZERO:
            scale = 1.0 / magnitude
            ours.height = max((ours.height + other.height) * force / magnitude + ours.height, HEIGHT_MIN)
        else:
            away, scale = self._random_direction()
        a, b, c, d, e, f, g, h = away
        i, j, k, l, m, n, o, p = ours.vec  # noqa: E741
        ours.vec = [
            i + a * scale * force,
            j + b * scale * force,
            k + c * scale * force,
            l + d * scale * force,
            m + e * scale * force,
            n + f * scale * force,
            o + g * scale * force,
            p + h * scale * force,
        ]

    def _random_direction(self) -> tuple[list[float], float]:
        """A random vector, and what makes its length 1."""
        away = [self._rng.random() - 0.5 for _ in range(DIMENSIONS)]
        magnitude = _magnitude(away)
        return (away, 1.0 / magnitude) if magnitude > ZERO else ([1.0] + [0.0] * (DIMENSIONS - 1), 1.0)


def _copy(coordinate: Coord) -> Coord:
    return Coord(list(coordinate.vec), coordinate.error, coordinate.adjustment, coordinate.height)


# Without loops over the eight dimensions: a member is measured every second. The order of the additions is Serf's.


def _difference(one: list[float], other: list[float]) -> list[float]:
    """`one` minus `other`. Raises `ValueError` unless both have eight dimensions."""
    a, b, c, d, e, f, g, h = one
    i, j, k, l, m, n, o, p = other  # noqa: E741
    return [a - i, b - j, c - k, d - l, e - m, f - n, g - o, h - p]


def _magnitude(vector: list[float]) -> float:
    a, b, c, d, e, f, g, h = vector
    return math.sqrt(a * a + b * b + c * c + d * d + e * e + f * f + g * g + h * h)


def _adjusted_s(magnitude: float, one: Coord, other: Coord) -> float:
    """The distance of two coordinates whose vectors are `magnitude` apart: see `distance_s`."""
    raw = magnitude + one.height + other.height
    adjusted = raw + one.adjustment + other.adjustment
    if adjusted > 0.0:
        raw = adjusted
    return int(raw * 1.0e9) / 1.0e9
