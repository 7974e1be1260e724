"""/v1/snapshot: the whole state of the servers as an archive, out and in."""

from typing import TYPE_CHECKING

from consulpy.http.api.params import token
from consulpy.http.api.routing import Answer, Request, route
from consulpy.http.api.rpc_read import meta_headers
from consulpy.rpc.snapshot_messages import RESTORE, SAVE, SnapshotRequest

if TYPE_CHECKING:
    from consulpy.http.api.agent import AgentInterface


def _asked(agent: "AgentInterface", request: Request, op: int) -> SnapshotRequest:
    return SnapshotRequest(
        datacenter=request.query.get("dc") or agent.datacenter,
        token=token(request),
        allow_stale="stale" in request.query,
        op=op,
    )


@route("GET", "/v1/snapshot")
async def save(agent: "AgentInterface", request: Request) -> Answer:
    """The state as it is now."""
    meta, data = await agent.snapshot(_asked(agent, request, SAVE), b"")
    return Answer(raw=data, content_type="application/x-gzip", headers=meta_headers(meta))


@route("PUT", "/v1/snapshot")
async def restore(agent: "AgentInterface", request: Request) -> Answer:
    """Put the state of an archive in the place of the whole one."""
    await agent.snapshot(_asked(agent, request, RESTORE), request.body)
    return Answer()
