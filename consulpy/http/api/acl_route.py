"""Routes of ACL records: reading, writing and deleting one, with Consul's errors."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from consulpy.errors import BadRequest, RPCError
from consulpy.http.api.params import apply_to_write, refuse_namespaces
from consulpy.http.api.routing import HttpError, Request, Response, route
from consulpy.http.api.rpc_read import read
from consulpy.structs.acl import Role, Token
from consulpy.structs.requests import Read, Write

if TYPE_CHECKING:
    from consulpy.http.api.agent import AgentInterface

Handler = Callable[["AgentInterface", Request], Awaitable[Response]]

NOT_FOUND = "ACL not found"
#: Suffix of the methods that write templated policies.
_TEMPLATED = "Templated"

#: What namespaces of Consul Enterprise have of their own.
_OF_NAMESPACES: Final = tuple(
    f"/v1/acl/{kind}" for kind in ("token", "polic", "role", "auth-method", "binding-rule", "login")
)


def acl_route(method: str, path: str) -> Callable[[Handler], Handler]:
    """Register a route that fails without access control."""

    def register(handler: Handler) -> Handler:
        @route(method, path)
        async def guarded(agent: "AgentInterface", request: Request) -> Response:
            if not agent.access.is_on:
                raise HttpError(401, "ACL support disabled")
            if path.startswith(_OF_NAMESPACES):
                refuse_namespaces(request)
            return await handler(agent, request)

        return handler

    return register


def require_tail(request: Request, what: str) -> None:
    """Raises `BadRequest` for a path without an id or name."""
    if not request.tail:
        raise BadRequest(f"Bad request: Missing {what}")


def id_of(request: Request, given: str, what: str) -> str:
    """The id in the path. Raises `BadRequest` if the body has another one."""
    if given and given != request.tail:
        raise BadRequest(f"Bad request: {what} in URL and payload do not match")
    return request.tail


async def read_record(
    agent: "AgentInterface", request: Request, method: str, body: Read, name: str, *, refuses_missing: bool = False
) -> Response:
    """The record in the field `name` of the reply; without it 404, or with `refuses_missing` 403."""
    reply, headers = await read(agent, request, method, body, consistency=False)
    record = getattr(reply, name)
    if record is not None:
        return Response(record.to_json(), headers=headers)
    if refuses_missing:
        raise HttpError(403, NOT_FOUND, headers)
    return Response(status=404)


async def set_record(agent: "AgentInterface", request: Request, method: str, body: Write) -> Response:
    """Write a record; the response is the stored one."""
    try:
        stored = await agent.caller.call(method, apply_to_write(agent, request, body))
    except RPCError as error:
        if method.endswith(_TEMPLATED) and "can't find method" in str(error):
            raise BadRequest("TemplatedPolicies came with Consul 1.17: the servers do not know them") from None
        raise
    return Response(stored.to_json())


def templated_method(method: str, holder: Token | Role) -> str:
    """The method that writes a token or role: servers of 1.8.7 would drop templated policies, and lack this one."""
    return method + _TEMPLATED if holder.templated_policies else method


async def delete_record(agent: "AgentInterface", request: Request, method: str, body: Write) -> Response:
    """Delete a record; `true`, also if there was none."""
    await agent.caller.call(method, apply_to_write(agent, request, body))
    return Response(True)
