"""Prepared queries: service queries stored under a name (docs/wire/rpc.md 10)."""

from dataclasses import field

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.record import Record, go
from consulpy.structs.options import QueryMeta, QueryOptions, QuerySource
from consulpy.structs.requests import Read, Write
from consulpy.structs.service import CheckServiceNode


@dataclass(slots=True)
class QueryTemplate(Record):
    """Template of a query for many names; an empty type makes it an ordinary query."""

    type: str = ""
    regexp: str = ""
    remove_empty_tags: bool = False


@dataclass(slots=True)
class QueryFailover(Record):
    """Other datacenters to query if no instance is healthy here."""

    nearest_n: int = go("NearestN", default=0)
    datacenters: list[str] | None = None


@dataclass(slots=True)
class QueryService(Record):
    """Which instances match. Tags that begin with `!` must be absent."""

    service: str = ""
    failover: QueryFailover = field(default_factory=QueryFailover)
    only_passing: bool = False
    ignore_check_ids: list[str] | None = go("IgnoreCheckIDs", default=None)
    near: str = ""
    tags: list[str] | None = None
    node_meta: dict[str, str] | None = None
    service_meta: dict[str, str] | None = None
    connect: bool = False


@dataclass(slots=True)
class QueryDns(Record):
    """Settings of DNS answers; the TTL is a Go duration as text."""

    ttl: str = go("TTL", default="")


@dataclass(slots=True)
class PreparedQuery(Record):
    """A prepared query."""

    id: str = go("ID", default="")
    name: str = ""
    session: str = ""
    token: str = ""
    template: QueryTemplate = field(default_factory=QueryTemplate)
    service: QueryService = field(default_factory=QueryService)
    dns: QueryDns = go("DNS", default_factory=QueryDns)
    create_index: int = 0
    modify_index: int = 0


@dataclass(slots=True)
class QueryRequest(Write):
    """PreparedQuery.Apply and its log entry."""

    op: str = ""
    query: PreparedQuery | None = None


@dataclass(slots=True)
class QueryGetRequest(Read):
    """PreparedQuery.Get."""

    query_id: str = go("QueryID", default="")


@dataclass(slots=True)
class QueriesReply(Record):
    """PreparedQuery.Get (a list of one) and List."""

    queries: list[PreparedQuery] | None = None
    meta: QueryMeta = go(inline=True, default_factory=QueryMeta)


@dataclass(slots=True)
class QueryExecuteRequest(Read):
    """PreparedQuery.Execute and Explain. `agent`: the querying agent; `source`: the origin that `near` is measured
    from.
    """

    query_id_or_name: str = go("QueryIDOrName", default="")
    limit: int = 0
    connect: bool = False
    source: QuerySource = field(default_factory=QuerySource)
    agent: QuerySource = field(default_factory=QuerySource)


@dataclass(slots=True)
class QueryExecuteRemoteRequest(Record):
    """PreparedQuery.ExecuteRemote: the query itself, for a datacenter that does not have it."""

    datacenter: str = ""
    query: PreparedQuery = field(default_factory=PreparedQuery)
    limit: int = 0
    connect: bool = False
    options: QueryOptions = go(inline=True, default_factory=QueryOptions)


@dataclass(slots=True)
class QueryExecuteReply(Record):
    """PreparedQuery.Execute."""

    service: str = ""
    nodes: list[CheckServiceNode] | None = None
    dns: QueryDns = go("DNS", default_factory=QueryDns)
    datacenter: str = ""
    failovers: int = 0
    meta: QueryMeta = go(inline=True, default_factory=QueryMeta)


@dataclass(slots=True)
class QueryExplainReply(Record):
    """PreparedQuery.Explain: the rendered query."""

    query: PreparedQuery = field(default_factory=PreparedQuery)
    meta: QueryMeta = go(inline=True, default_factory=QueryMeta)
