"""Making a read and saying in headers how fresh its answer is."""

from typing import TYPE_CHECKING, Any

from consulpy.errors import RPCError
from consulpy.http.params import fill
from consulpy.http.routing import HttpError, Request
from consulpy.structs.options import QueryMeta, QueryOptions
from consulpy.structs.requests import Read

if TYPE_CHECKING:
    from consulpy.http.context import LocalAgent


async def read(
    agent: "LocalAgent", request: Request, method: str, body: Read, *, consistency: bool = True
) -> tuple[Any, dict[str, str]]:
    """Call a read method: its reply, and the headers that go with it.

    `consistency`: whether this family of endpoints names the consistency that was used. Raises `RPCError`.
    """
    fill(agent, request, body)
    try:
        reply = await agent.caller.call(method, body)
    except HttpError:
        raise
    except RPCError as error:
        raise HttpError(error.http_status, str(error), meta_headers(QueryMeta())) from None
    headers = meta_headers(reply.meta)
    if consistency:
        headers["X-Consul-Effective-Consistency"] = consistency_of(body.options)
    if body.options.use_cache:
        headers["X-Cache"] = "MISS"
    return reply, headers


def meta_headers(meta: QueryMeta) -> dict[str, str]:
    """What an answer's meta data look like as headers; an index is never 0."""
    return {
        "X-Consul-Index": str(max(meta.index, 1)),
        "X-Consul-KnownLeader": "true" if meta.known_leader else "false",
        "X-Consul-LastContact": str(meta.last_contact // 1_000_000),
    }


def consistency_of(options: QueryOptions) -> str:
    """The word for how a read was answered."""
    if options.require_consistent:
        return "consistent"
    return "stale" if options.allow_stale else "leader"
