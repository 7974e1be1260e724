"""/v1/acl as it was before 1.4: tokens by their secrets, with rules of their own."""

from typing import TYPE_CHECKING

from consulpy.errors import BadRequest
from consulpy.http import acl_bodies as bodies
from consulpy.http.params import fill_write
from consulpy.http.reads import read
from consulpy.http.routes.acl import acl_route
from consulpy.http.routing import Answer, HttpError, Request
from consulpy.structs.acl import CLIENT, LegacyAcl
from consulpy.structs.acl_requests import LegacyReadRequest, LegacyRequest
from consulpy.structs.requests import SpecificRequest

if TYPE_CHECKING:
    from consulpy.http.context import LocalAgent


@acl_route("PUT", "/v1/acl/create")
async def create(agent: "LocalAgent", request: Request) -> Answer:
    """Write a token; its secret."""
    return await _set(agent, request, bodies.legacy(request))


@acl_route("PUT", "/v1/acl/update")
async def update(agent: "LocalAgent", request: Request) -> Answer:
    """Write another token in its place."""
    acl = bodies.legacy(request)
    if not acl.id:
        raise BadRequest("ACL ID must be set")
    return await _set(agent, request, acl)


async def _set(agent: "LocalAgent", request: Request, acl: LegacyAcl) -> Answer:
    acl.type = acl.type or CLIENT
    body = fill_write(agent, request, LegacyRequest(op="set", acl=acl))
    return Answer({"ID": await agent.caller.call("ACL.Apply", body)})


@acl_route("PUT", "/v1/acl/destroy/")
async def destroy(agent: "LocalAgent", request: Request) -> Answer:
    """Remove a token."""
    _need_acl(request)
    body = fill_write(agent, request, LegacyRequest(op="delete", acl=LegacyAcl(id=request.tail)))
    await agent.caller.call("ACL.Apply", body)
    return Answer(True)


def _need_acl(request: Request) -> None:
    if not request.tail:
        raise BadRequest("Missing ACL")


@acl_route("GET", "/v1/acl/info/")
async def info(agent: "LocalAgent", request: Request) -> Answer:
    """A token, for who knows its secret."""
    asked = LegacyReadRequest(acl=request.tail)
    reply, headers = await read(agent, request, "ACL.Get", asked, missing="Missing ACL", consistency=False)
    return Answer([acl.to_json() for acl in reply.acls or ()], headers=headers)


@acl_route("PUT", "/v1/acl/clone/")
async def clone(agent: "LocalAgent", request: Request) -> Answer:
    """Another token with the same rules."""
    asked = LegacyReadRequest(acl=request.tail)
    reply, headers = await read(agent, request, "ACL.Get", asked, missing="Missing ACL", consistency=False)
    if not reply.acls:
        raise HttpError(403, "Permission denied", headers)
    found = reply.acls[0]
    return await _set(agent, request, LegacyAcl(name=found.name, type=found.type, rules=found.rules))


@acl_route("GET", "/v1/acl/list")
async def list_all(agent: "LocalAgent", request: Request) -> Answer:
    """All tokens of the old kind."""
    reply, headers = await read(agent, request, "ACL.List", SpecificRequest(), consistency=False)
    return Answer([acl.to_json() for acl in reply.acls or ()], headers=headers)
