"""What every read carries: how fresh, how long to wait, for whom; and what every answer says about itself."""

from dataclasses import dataclass

from consulpy.codec.record import Record, go


@dataclass(slots=True)
class QueryOptions(Record):
    """Options of a read. Durations in nanoseconds; `min_query_index` 0 answers at once."""

    token: str = ""
    min_query_index: int = 0
    max_query_time: int = 0
    allow_stale: bool = False
    require_consistent: bool = False
    use_cache: bool = False
    max_stale_duration: int = 0
    max_age: int = 0
    must_revalidate: bool = False
    stale_if_error: int = 0
    filter: str = ""


@dataclass(slots=True)
class QueryMeta(Record):
    """What an answer says about itself: the index to wait for next, and how fresh it is (`last_contact` in ns)."""

    index: int = 0
    last_contact: int = 0
    known_leader: bool = False
    consistency_level: str = ""


@dataclass(slots=True)
class QuerySource(Record):
    """Who asks: the results are sorted by the distance from `node` when it is given."""

    datacenter: str = ""
    segment: str = ""
    node: str = ""
    ip: str = go("Ip", default="")
