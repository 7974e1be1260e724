"""/v1/acl/templated-policies and /v1/acl/templated-policy: built-in templates of policies (Consul 1.17)."""

import dataclasses
from typing import TYPE_CHECKING

from consulpy.acl.levels import READ
from consulpy.acl.templates import TEMPLATES, Template
from consulpy.errors import BadRequest, RPCError
from consulpy.gocompat.literals import quoted
from consulpy.http.api import acl_bodies
from consulpy.http.api.acl_route import acl_route
from consulpy.http.api.params import token
from consulpy.http.api.routing import HttpError, Request, Response
from consulpy.rpc.acl.denied import require_of
from consulpy.rpc.endpoints.acl_newer import check_variable
from consulpy.structs.acl import Policy

if TYPE_CHECKING:
    from consulpy.http.api.agent import AgentInterface


async def _require_read(agent: "AgentInterface", request: Request) -> None:
    require_of(await agent.access.identity(token(request)), request.path, "acl", "", READ)


def _template(request: Request) -> Template:
    if not request.tail:
        raise BadRequest("Bad request: Missing templated policy Name")
    found = TEMPLATES.get(request.tail)
    if found is None:
        raise HttpError(400, f"Invalid templated policy Name: {quoted(request.tail)}")
    return found


@acl_route("GET", "/v1/acl/templated-policies")
async def templates(agent: "AgentInterface", request: Request) -> Response:
    """All templates by name."""
    await _require_read(agent, request)
    return Response({name: TEMPLATES[name].to_json() for name in sorted(TEMPLATES)})


@acl_route("GET", "/v1/acl/templated-policy/name/")
async def template(agent: "AgentInterface", request: Request) -> Response:
    """One template."""
    await _require_read(agent, request)
    return Response(_template(request).to_json())


@acl_route("POST", "/v1/acl/templated-policy/preview/")
async def preview(agent: "AgentInterface", request: Request) -> Response:
    """The policy that a template makes of variables; nothing is stored."""
    await _require_read(agent, request)
    found, variables = _template(request), acl_bodies.template_variables(request)
    try:
        if found.has_name:
            check_variable(found.name, variables.name)
    except RPCError as error:
        raise BadRequest(str(error)) from None
    policy = Policy(
        description=f"synthetic policy generated from templated policy: {found.name}",
        rules=found.rules(variables.name),
    )
    digest = dataclasses.replace(policy, name=found.name).content_hash()
    policy.id = policy.name = f"synthetic-policy-{digest[:16].hex()}"
    policy.hash = policy.content_hash()
    return Response(policy.to_json())
