"""What a query string says about a read: consistency, blocking, datacenter, filter, who asks.

Error texts are Consul's. Durations are Go's (`1m30s`), or plain numbers of seconds where Consul takes those.
"""

from typing import TYPE_CHECKING, TypeVar

from consulpy.errors import BadRequest
from consulpy.http.routing import Request
from consulpy.local.api import truth
from consulpy.local.godecode import GoError, duration
from consulpy.structs.options import QueryOptions
from consulpy.structs.requests import Read, ServiceDumpRequest, SpecificRequest, Write

if TYPE_CHECKING:
    from consulpy.http.context import LocalAgent

_Read = TypeVar("_Read", bound=Read)
_Write = TypeVar("_Write", bound=Write)


def token(request: Request) -> str:
    """The ACL token: a parameter, a header, or an Authorization header."""
    bearer = request.header("Authorization")
    return (
        request.query.get("token")
        or request.header("X-Consul-Token")
        or (bearer.removeprefix("Bearer ").strip() if bearer.startswith("Bearer ") else "")
    )


def options(request: Request) -> QueryOptions:
    """The options of a read. Raises `BadRequest`."""
    query, found = request.query, QueryOptions(token=token(request))
    refuse_namespaces(request)
    index = query.get("index")
    if index:
        if not index.isdecimal() or int(index) >= 1 << 64:
            raise BadRequest("Invalid index")
        found.min_query_index = int(index)
    wait = query.get("wait")
    if wait:
        try:
            found.max_query_time = duration(wait if not wait.isdecimal() else f"{wait}s")
        except GoError:
            raise BadRequest("Invalid wait time") from None
    _consistency(request, found)
    found.filter = query.get("filter")
    return found


def _consistency(request: Request, found: QueryOptions) -> None:
    query = request.query
    found.allow_stale = "stale" in query
    found.require_consistent = "consistent" in query
    found.use_cache = "cached" in query
    if "max_stale" in query:
        try:
            found.max_stale_duration = duration(query.get("max_stale"))
        except GoError:
            raise BadRequest(f'Invalid max_stale value "{query.get("max_stale")}"') from None
        found.allow_stale = found.allow_stale or not ("leader" in query or found.require_consistent)
    if found.allow_stale and found.require_consistent:
        raise BadRequest("Cannot specify ?stale with ?consistent, conflicting semantics.")
    if found.use_cache and found.require_consistent:
        raise BadRequest("Cannot specify ?cached with ?consistent, conflicting semantics.")


def refuse_namespaces(request: Request) -> None:
    """There are no namespaces here; a request for one must not be answered with something else."""
    if request.query.get("ns") or request.header("X-Consul-Namespace"):
        raise BadRequest('Invalid query parameter: "ns" - Namespaces are a Consul Enterprise feature')


def fill(agent: "LocalAgent", request: Request, read: _Read) -> _Read:
    """Complete a read with what its request says. Raises `BadRequest`."""
    read.options = options(request)
    read.datacenter = request.query.get("dc") or agent.datacenter
    if isinstance(read, SpecificRequest | ServiceDumpRequest):
        read.source.datacenter = agent.datacenter
        near = request.query.get("near")
        read.source.node = agent.node_name if near == "_agent" else near
        read.source.ip = request.remote_ip
    if isinstance(read, SpecificRequest):
        pairs = (text.partition(":") for text in request.query.all("node-meta"))
        read.node_meta_filters = {name: value for name, _, value in pairs} or None
    return read


def fill_write(agent: "LocalAgent", request: Request, write: _Write) -> _Write:
    """Complete a write with its datacenter and token, unless its body named them. Raises `BadRequest`."""
    refuse_namespaces(request)
    write.datacenter = write.datacenter or request.query.get("dc") or agent.datacenter
    write.token = write.token or token(request)
    return write


def passing_only(request: Request) -> bool:
    """`?passing`, which understands truth values. Raises `BadRequest`."""
    if "passing" not in request.query:
        return False
    value = request.query.get("passing")
    found = True if not value else truth(value)
    if found is None:
        raise BadRequest("Invalid value for ?passing")
    return found
