"""Query parameters of reads and writes: consistency, blocking, datacenter, filter, token.

Error texts and the order of the checks are Consul's. Durations are Go's (`1m30s`).
"""

import re
from typing import TYPE_CHECKING, Final, TypeVar

from consulpy.errors import BadRequest, RPCError
from consulpy.gocompat.json_decode import GoError, decode_duration
from consulpy.gocompat.literals import quoted
from consulpy.http.api.routing import Query, Request
from consulpy.local.api import parse_bool
from consulpy.structs.options import QueryOptions
from consulpy.structs.requests import Read, ServiceDumpRequest, SpecificRequest, Write

if TYPE_CHECKING:
    from consulpy.http.api.agent import AgentInterface

_WHOLE: Final = re.compile(r"[0-9]{1,20}")
#: Paths to which `discovery_max_stale` applies, and the parameters that override it.
_DISCOVERY: Final = ("/v1/catalog", "/v1/health")
_CONSISTENCIES: Final = ("stale", "consistent", "leader", "cached")
_NO_NAMESPACES: Final = "Namespaces are a Consul Enterprise feature"

_Read = TypeVar("_Read", bound=Read)
_Write = TypeVar("_Write", bound=Write)


def token(request: Request) -> str:
    """The ACL token: a parameter, a header, an Authorization header, or the agent's default one."""
    header = request.header
    return (
        request.query.get("token")
        or header("X-Consul-Token")
        or (header("Authorization") and _bearer(header("Authorization")))
        or request.default_token
    )


def _bearer(authorization: str) -> str:
    scheme, _, rest = authorization.partition(" ")
    return rest.lstrip(" ").partition(" ")[0] if scheme.lower() == "bearer" else ""


def options(request: Request) -> QueryOptions:
    """The options of a read. Raises `BadRequest`."""
    found = consistency(request)
    found.filter = request.query.get("filter")
    cache_control(request, found)
    index_and_wait(request.query, found)
    return found


def consistency(request: Request) -> QueryOptions:
    """The options of a read that does not block: token and consistency. Raises `BadRequest`."""
    found = QueryOptions(token=token(request))
    _consistency(request, found)
    return found


def index_and_wait(query: Query, found: QueryOptions) -> None:
    """Apply `?index` and `?wait`. Raises `BadRequest`."""
    wait, index = query.get("wait"), query.get("index")
    if wait:
        try:
            found.max_query_time = decode_duration(wait)
        except GoError:
            raise BadRequest("Invalid wait time") from None
    if index:
        if not _WHOLE.fullmatch(index) or int(index) >= 1 << 64:
            raise BadRequest("Invalid index")
        found.min_query_index = int(index)


def _consistency(request: Request, found: QueryOptions) -> None:
    query = request.query
    found.allow_stale = "stale" in query
    found.require_consistent = "consistent" in query
    found.use_cache = "cached" in query
    max_stale = query.get("max_stale")
    if max_stale:
        try:
            found.max_stale_duration = decode_duration(max_stale)
        except GoError:
            raise BadRequest(f"Invalid max_stale value {quoted(max_stale)}") from None
        if found.max_stale_duration > 0:
            found.allow_stale = True
    if found.require_consistent and found.allow_stale:
        raise BadRequest("Cannot specify ?stale with ?consistent, conflicting semantics.")
    if found.require_consistent and found.use_cache:
        raise BadRequest("Cannot specify ?cached with ?consistent, conflicting semantics.")


def cache_control(request: Request, found: QueryOptions) -> None:
    """Apply Cache-Control: how old a reply to `?cached` may be."""
    for part in request.header("Cache-Control").lower().split(","):
        name, _, seconds = part.strip().partition("=")
        if name == "must-revalidate":
            found.must_revalidate = True
        elif name in ("max-age", "stale-if-error") and "=" in part:
            try:
                age_ns = decode_duration(f"{seconds}s")
            except GoError:
                raise BadRequest("Invalid Cache-Control header.") from None
            if name == "max-age":
                found.max_age = age_ns
            else:
                found.stale_if_error = age_ns


def refuse_namespaces(request: Request) -> None:
    """Refuse a request for a namespace: Consul Enterprise only. Raises `BadRequest`.

    For endpoints that support namespaces in Consul Enterprise; the others ignore them.
    """
    if request.header("X-Consul-Namespace"):
        raise BadRequest(f'Bad request: Invalid header: "X-Consul-Namespace" - {_NO_NAMESPACES}')
    if request.query.get("ns"):
        raise BadRequest(f'Bad request: Invalid query parameter: "ns" - {_NO_NAMESPACES}')


def refuse_segments(request: Request) -> None:
    """Refuse a list of the members of a network segment: Consul Enterprise only. Raises `RPCError`."""
    if request.query.get("segment", "_all") not in ("", "_all"):
        if request.query.get("wan"):
            raise BadRequest("Cannot provide a segment with wan=true")
        raise RPCError("Network segments are not supported in this version of Consul")


def apply_to_read(agent: "AgentInterface", request: Request, read: _Read) -> _Read:
    """Apply the parameters and headers of `request` to `read`. Raises `BadRequest`."""
    read.options = options(request)
    if request.path.startswith(_DISCOVERY) and not any(word in request.query for word in _CONSISTENCIES):
        limit_ns = agent.discovery_max_stale_ns
        if limit_ns > 0 and not read.options.allow_stale:
            read.options.allow_stale, read.options.max_stale_duration = True, limit_ns
    read.datacenter = request.query.get("dc") or agent.datacenter
    if isinstance(read, SpecificRequest | ServiceDumpRequest):
        read.source.datacenter = read.datacenter
        near = request.query.get("near")
        read.source.node = agent.node_name if near == "_agent" else near
        read.source.ip = request.remote_ip
    if isinstance(read, SpecificRequest):
        pairs = (text.partition(":") for text in request.query.all("node-meta"))
        read.node_meta_filters = {name: value for name, _, value in pairs} or None
    return read


def apply_to_write(agent: "AgentInterface", request: Request, write: _Write) -> _Write:
    """Set datacenter and token of `write`, unless its body did."""
    write.datacenter = write.datacenter or request.query.get("dc") or agent.datacenter
    write.token = write.token or token(request)
    return write


def passing_only(request: Request) -> bool:
    """The value of `?passing`: a Go truth value, or no value. Raises `BadRequest`."""
    if "passing" not in request.query:
        return False
    value = request.query.get("passing")
    found = True if not value else parse_bool(value)
    if found is None:
        raise BadRequest("Invalid value for ?passing")
    return found
