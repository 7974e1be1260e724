"""Network coordinates: Vivaldi, step for step as Serf computes it, so that distances agree across a mixed cluster.

Acks to direct UDP pings carry a coordinate. Source: docs/wire/gossip.md section 8; checked on every update of
tests/vectors/gossip/coordinates.json. All times are seconds.
"""

import math
from random import Random
from typing import Any, Final

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


def encode_ack(coordinate: Coord) -> bytes:
    """Encode an ack's payload: version and coordinate."""
    return bytes((PING_VERSION,)) + coordinate.pack()


def decode_ack(payload: bytes) -> Coord | None:
    """Decode an ack's payload; None without a coordinate. Raises `WireError` for another version or a malformed one."""
    if not payload:
        return None
    if payload[0] != PING_VERSION:
        raise WireError(f"unsupported ping version {payload[0]}")
    raw = unpack(payload[1:])
    if not isinstance(raw, dict) or b"Vec" not in raw:
        raise WireError("a coordinate without a vector")
    return _fast_coordinate(raw) or Coord.from_wire(raw)


def _fast_coordinate(raw: dict[Any, Any]) -> Coord | None:
    """What every agent sends, one in each ack: numbers that are all floats; None: anything else."""
    vec, error = raw[b"Vec"], raw.get(b"Error")
    adjustment, height = raw.get(b"Adjustment"), raw.get(b"Height")
    if type(vec) is list and type(error) is float and type(adjustment) is float and type(height) is float:
        for number in vec:
            if type(number) is not float:
                return None
        return Coord(vec, error, adjustment, height)
    return None


def is_valid(coordinate: Coord) -> bool:
    """Whether all of its numbers are finite."""
    numbers = (*coordinate.vec, coordinate.error, coordinate.adjustment, coordinate.height)
    return all(map(math.isfinite, numbers))


def is_compatible(coordinate: Coord) -> bool:
    """Whether it has as many dimensions as ours."""
    return len(coordinate.vec) == DIMENSIONS


def distance_s(one: Coord, other: Coord) -> float:
    """Estimated round trip time between two coordinates in seconds, truncated to nanoseconds as Go's durations are."""
    raw = _raw_distance(one, other)
    adjusted = raw + one.adjustment + other.adjustment
    if adjusted > 0.0:
        raw = adjusted
    return int(raw * 1.0e9) / 1.0e9


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

    def distance_to_s(self, other: Coord) -> float:
        """Estimated round trip time to `other` in seconds."""
        return distance_s(self._coord, other)

    def forget(self, name: str) -> None:
        """Drop the latency samples of a member that was reaped."""
        self._latencies.pop(name, None)

    def update(self, name: str, other: Coord, rtt_s: float) -> Coord:
        """Update by a round trip of `rtt_s` to member `name` at `other`; the new coordinate. Raises `BadCoordinate`."""
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
        return self.coordinate

    def _filter_latency(self, name: str, rtt_s: float) -> float:
        """The median of the member's last three round trip times."""
        samples = self._latencies.setdefault(name, [])
        samples.append(rtt_s)
        if len(samples) > LATENCY_FILTER_SIZE:
            del samples[0]
        return sorted(samples)[len(samples) // 2]

    def _update_vivaldi(self, other: Coord, rtt_s: float) -> None:
        ours = self._coord
        distance = distance_s(ours, other)
        rtt_s = max(rtt_s, ZERO)
        wrongness = abs(distance - rtt_s) / rtt_s
        weight = ours.error / max(ours.error + other.error, ZERO)
        ours.error = min(CE * weight * wrongness + ours.error * (1.0 - CE * weight), ERROR_MAX)
        self._apply_force(CC * weight * (rtt_s - distance), other)

    def _update_adjustment(self, other: Coord, rtt_s: float) -> None:
        self._samples[self._sample_index] = rtt_s - _raw_distance(self._coord, other)
        self._sample_index = (self._sample_index + 1) % ADJUSTMENT_WINDOW
        total = 0.0
        for sample in self._samples:
            total += sample
        self._coord.adjustment = total / (2.0 * ADJUSTMENT_WINDOW)

    def _update_gravity(self) -> None:
        distance = distance_s(self._origin, self._coord)
        self._apply_force(-1.0 * (distance / GRAVITY_RHO) ** 2.0, self._origin)

    def _apply_force(self, force: float, other: Coord) -> None:
        ours = self._coord
        unit, magnitude = self._unit_vector(ours.vec, other.vec)
        ours.vec = [x + u * force for x, u in zip(ours.vec, unit, strict=True)]
        if magnitude > ZERO:
            ours.height = max((ours.height + other.height) * force / magnitude + ours.height, HEIGHT_MIN)

    def _unit_vector(self, here: list[float], there: list[float]) -> tuple[list[float], float]:
        """The unit vector from `there` to `here`, and their distance; a random one, and 0, if they are equal."""
        away = [a - b for a, b in zip(here, there, strict=True)]
        magnitude = _magnitude(away)
        if magnitude > ZERO:
            return [x * (1.0 / magnitude) for x in away], magnitude
        away = [self._rng.random() - 0.5 for _ in here]
        magnitude = _magnitude(away)
        if magnitude > ZERO:
            return [x * (1.0 / magnitude) for x in away], 0.0
        return [1.0] + [0.0] * (DIMENSIONS - 1), 0.0


def _copy(coordinate: Coord) -> Coord:
    return Coord(list(coordinate.vec), coordinate.error, coordinate.adjustment, coordinate.height)


def _magnitude(vector: list[float]) -> float:
    total = 0.0
    for x in vector:
        total += x * x
    return math.sqrt(total)


def _raw_distance(one: Coord, other: Coord) -> float:
    total = 0.0
    for a, b in zip(one.vec, other.vec, strict=True):
        total += (a - b) * (a - b)
    return math.sqrt(total) + one.height + other.height
