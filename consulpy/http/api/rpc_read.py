"""RPC reads of the HTTP API, and the headers that say how fresh their replies are.

The order of checks is Consul's: namespaces, consistency, waiting, then the name in the path.
"""

from typing import TYPE_CHECKING, Any

from consulpy.errors import BadRequest, RPCError
from consulpy.http.api.extra_headers import extra_meta_headers
from consulpy.http.api.params import apply_to_read, refuse_namespaces
from consulpy.http.api.refused import denied_headers
from consulpy.http.api.routing import HttpError, Request
from consulpy.structs.options import QueryMeta, QueryOptions
from consulpy.structs.requests import Read
from consulpy.structs.translate import translate

if TYPE_CHECKING:
    from consulpy.http.api.agent import AgentInterface


async def read(
    agent: "AgentInterface",
    request: Request,
    method: str,
    body: Read,
    *,
    missing: str = "",
    namespaces: bool = True,
    consistency: bool = True,
    cached: bool = False,
    filtered: bool = True,
) -> tuple[Any, dict[str, str]]:
    """Call a read method: its reply, and the headers that go with it.

    `missing`: error text for an empty tail; "": it may be empty. `namespaces`: whether the endpoint refuses namespaces
    (or ignores them). `consistency`: whether it has the header X-Consul-Effective-Consistency. `cached`: whether it
    supports `?cached`. `filtered`: whether the servers evaluate `?filter`. Raises `BadRequest`, or `HttpError` with
    headers.
    """
    if namespaces:
        refuse_namespaces(request)
    apply_to_read(agent, request, body)
    if not filtered:
        body.options.filter = ""
    if missing and not request.tail:
        raise BadRequest(missing)
    headers: dict[str, str] = {}
    try:
        if cached and body.options.use_cache and request.cache is not None:
            cached_reply = await request.cache.read(method, body)
            reply = cached_reply.reply
            headers = cache_headers(cached_reply.age_s if cached_reply.hit else None)
        else:
            reply = await _uncached(agent, request, method, body)
    except RPCError as error:
        headers = meta_headers(QueryMeta()) | denied_headers(error)
        raise HttpError(error.http_status, str(error), headers) from None
    headers |= meta_headers(reply.meta) | wan_headers(agent, reply, body.datacenter)
    if consistency:
        headers["X-Consul-Effective-Consistency"] = consistency_of(body.options)
    return reply, headers


def wan_headers(agent: "AgentInterface", reply: Any, datacenter: str) -> dict[str, str]:
    """Put WAN addresses into a reply of another datacenter, with `translate_wan_addrs`; the header of such a reply."""
    if not agent.translate_wan_addrs:
        return {}
    if (getattr(reply, "datacenter", "") or datacenter) != agent.datacenter:
        translate(reply)
    return {"X-Consul-Translate-Addresses": "true"}


async def _uncached(agent: "AgentInterface", request: Request, method: str, body: Read) -> Any:
    """The reply of a server; the leader's if a follower's is staler than `?max_stale` allows."""
    reply = await agent.caller.call(method, body, request.dependencies)
    options = body.options
    if options.allow_stale and 0 < options.max_stale_duration < reply.meta.last_contact:
        options.allow_stale, options.max_stale_duration = False, 0
        reply = await agent.caller.call(method, body, request.dependencies)
    return reply


def meta_headers(meta: QueryMeta) -> dict[str, str]:
    """The headers of a reply's metadata; an index is at least 1."""
    return {
        "X-Consul-Index": str(max(meta.index, 1)),
        "X-Consul-KnownLeader": "true" if meta.known_leader else "false",
        "X-Consul-LastContact": str(meta.last_contact // 1_000_000),
        **extra_meta_headers(meta),
    }


def cache_headers(age_s: float | None) -> dict[str, str]:
    """X-Cache and Age. `age_s`: age of a cached reply in seconds; None for a miss."""
    return {"X-Cache": "MISS"} if age_s is None else {"X-Cache": "HIT", "Age": str(round(age_s))}


def consistency_of(options: QueryOptions) -> str:
    """The consistency mode of a read, as a word."""
    if options.require_consistent:
        return "consistent"
    return "stale" if options.allow_stale else "leader"
