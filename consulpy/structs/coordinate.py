"""Network coordinates as servers keep them (Serf's Vivaldi coordinates, seconds throughout)."""

from dataclasses import dataclass, field

from consulpy.structs.record import Record, go


@dataclass(slots=True)
class Coord(Record):
    """A Vivaldi coordinate: 8 dimensions, height, error and adjustment, in seconds."""

    vec: list[float] = field(default_factory=lambda: [0.0] * 8)
    error: float = 1.5
    adjustment: float = 0.0
    height: float = 1e-5


@dataclass(slots=True)
class Coordinate(Record):
    """The coordinate of a node in a network segment."""

    node: str = ""
    segment: str = ""
    coord: Coord | None = None


@dataclass(slots=True)
class DatacenterCoordinates(Record):
    """The coordinates of one datacenter's servers, as the WAN pool sees them."""

    datacenter: str = ""
    area_id: str = go("AreaID", default="")
    coordinates: list[Coordinate] | None = None
