"""Options of every read, and metadata of every answer."""

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.record import Record, go


@dataclass(slots=True)
class QueryOptions(Record):
    """Options of a read. Durations in nanoseconds; `min_query_index` 0 does not block."""

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
    """Metadata of an answer: the index for the next blocking query, and staleness (`last_contact` in ns).

    `results_filtered_by_acls`: something was removed that the token may not see (Consul 1.11). Agents before that skip
    the key; it is sent only if it is true. `has_central_config`: the servers have merged the central settings that a
    request asked for (ours; others leave it to the agent, or do not say).
    """

    index: int = 0
    last_contact: int = 0
    known_leader: bool = False
    consistency_level: str = ""
    results_filtered_by_acls: bool = go("ResultsFilteredByACLs", json="-", is_optional=True, default=False)
    has_central_config: bool = go(json="-", is_optional=True, default=False)


@dataclass(slots=True)
class QuerySource(Record):
    """The querying node: results are sorted by the distance from `node` if it is given."""

    datacenter: str = ""
    segment: str = ""
    node: str = ""
    ip: str = go("Ip", default="")
