"""/v1/snapshot: saves and restores the state of the servers as an archive."""

from typing import TYPE_CHECKING

from consulpy.http.api.params import token
from consulpy.http.api.routing import Request, Response, route
from consulpy.http.api.rpc_read import meta_headers
from consulpy.rpc.snapshot_messages import RESTORE, SAVE, SnapshotRequest
from consulpy.rpc.spool_file import Spool

if TYPE_CHECKING:
    from consulpy.http.api.agent import AgentInterface


def _snapshot_request(agent: "AgentInterface", request: Request, op: int) -> SnapshotRequest:
    return SnapshotRequest(
        datacenter=request.query.get("dc") or agent.datacenter,
        token=token(request),
        allow_stale="stale" in request.query,
        op=op,
    )


@route("GET", "/v1/snapshot")
async def save(agent: "AgentInterface", request: Request) -> Response:
    """Save the state."""
    meta, made = await agent.snapshot(_snapshot_request(agent, request, SAVE), None)
    answer = Response(content_type="application/x-gzip", headers=meta_headers(meta))
    if made is None or made.is_in_memory:
        answer.raw = made.read_all() if made is not None else b""
    else:
        answer.spool = made
    return answer


@route("PUT", "/v1/snapshot")
async def restore(agent: "AgentInterface", request: Request) -> Response:
    """Replace the state by that of an archive."""
    data = await request.upload() if request.upload is not None else Spool(request.body)
    await agent.snapshot(_snapshot_request(agent, request, RESTORE), data)
    return Response()
