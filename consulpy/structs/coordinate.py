"""Network coordinates in the catalog (Serf's Vivaldi coordinates, seconds throughout)."""

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.record import Record, go


def _as_go(value: float) -> float:
    """The value with whole numbers without a fraction, as Go writes them."""
    return int(value) if value.is_integer() else value


def _all_as_go(values: list[float]) -> list[float]:
    return [_as_go(value) for value in values]


@dataclass(slots=True)
class Coord(Record):
    """A Vivaldi coordinate: 8 dimensions, height, error and adjustment, in seconds."""

    vec: list[float] = go(json_as=_all_as_go, default_factory=lambda: [0.0] * 8)
    error: float = go(json_as=_as_go, default=1.5)
    adjustment: float = go(json_as=_as_go, default=0.0)
    height: float = go(json_as=_as_go, default=1e-5)


@dataclass(slots=True)
class Coordinate(Record):
    """Coordinate of a node in a network segment."""

    node: str = ""
    segment: str = ""
    coord: Coord | None = None


@dataclass(slots=True)
class DatacenterCoordinates(Record):
    """Coordinates of one datacenter's servers in the WAN pool."""

    datacenter: str = ""
    area_id: str = go("AreaID", default="")
    coordinates: list[Coordinate] | None = None
