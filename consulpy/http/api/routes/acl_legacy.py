"""/v1/acl: legacy tokens (before 1.4), by their secrets, with their own rules."""

from typing import TYPE_CHECKING

from consulpy.errors import BadRequest
from consulpy.http.api import acl_bodies as bodies
from consulpy.http.api.acl_route import acl_route, delete_record
from consulpy.http.api.params import apply_to_write
from consulpy.http.api.routing import HttpError, Request, Response
from consulpy.http.api.rpc_read import read
from consulpy.structs.acl import LegacyAcl
from consulpy.structs.acl_log_entries import LegacyRequest
from consulpy.structs.acl_requests import LegacyReadRequest
from consulpy.structs.requests import SpecificRequest

if TYPE_CHECKING:
    from consulpy.http.api.agent import AgentInterface


@acl_route("PUT", "/v1/acl/create")
async def create(agent: "AgentInterface", request: Request) -> Response:
    """Create a token; its secret."""
    return await _set(agent, request, bodies.legacy(request))


@acl_route("PUT", "/v1/acl/update")
async def update(agent: "AgentInterface", request: Request) -> Response:
    """Update a token."""
    acl = bodies.legacy(request)
    if not acl.id:
        raise BadRequest("ACL ID must be set")
    return await _set(agent, request, acl)


async def _set(agent: "AgentInterface", request: Request, acl: LegacyAcl) -> Response:
    body = apply_to_write(agent, request, LegacyRequest(op="set", acl=acl))
    return Response({"ID": await agent.caller.call("ACL.Apply", body)})


@acl_route("PUT", "/v1/acl/destroy/")
async def destroy(agent: "AgentInterface", request: Request) -> Response:
    """Remove a token."""
    _need_acl(request)
    body = LegacyRequest(op="delete", acl=LegacyAcl(id=request.tail))
    return await delete_record(agent, request, "ACL.Apply", body)


def _need_acl(request: Request) -> None:
    if not request.tail:
        raise BadRequest("Missing ACL")


@acl_route("GET", "/v1/acl/info/")
async def info(agent: "AgentInterface", request: Request) -> Response:
    """One token by its secret."""
    body = LegacyReadRequest(acl=request.tail)
    reply, headers = await read(agent, request, "ACL.Get", body, missing="Missing ACL", consistency=False)
    return Response([acl.to_json() for acl in reply.acls or ()], headers=headers)


@acl_route("PUT", "/v1/acl/clone/")
async def clone(agent: "AgentInterface", request: Request) -> Response:
    """Create a token with the same rules."""
    body = LegacyReadRequest(acl=request.tail)
    reply, headers = await read(agent, request, "ACL.Get", body, missing="Missing ACL", consistency=False)
    if not reply.acls:
        raise HttpError(403, "Permission denied", headers)
    found = reply.acls[0]
    return await _set(agent, request, LegacyAcl(name=found.name, type=found.type, rules=found.rules))


@acl_route("GET", "/v1/acl/list")
async def list_all(agent: "AgentInterface", request: Request) -> Response:
    """All legacy tokens."""
    reply, headers = await read(agent, request, "ACL.List", SpecificRequest(), consistency=False)
    return Response([acl.to_json() for acl in reply.acls or ()], headers=headers)
