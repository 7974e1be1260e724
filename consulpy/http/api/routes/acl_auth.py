"""/v1/acl: auth methods, binding rules, login and logout."""

from typing import TYPE_CHECKING

from consulpy.errors import BadRequest
from consulpy.http.api import acl_bodies as bodies
from consulpy.http.api.params import apply_to_write
from consulpy.http.api.params import token as token_of
from consulpy.http.api.routes.acl import acl_route
from consulpy.http.api.routing import HttpError, Request, Response
from consulpy.http.api.rpc_read import read
from consulpy.structs import acl_requests as requests
from consulpy.structs.requests import Read

if TYPE_CHECKING:
    from consulpy.http.api.agent import AgentInterface


def _need(request: Request, what: str) -> None:
    if not request.tail:
        raise BadRequest(f"Bad request: Missing {what}")


# -- auth methods


@acl_route("GET", "/v1/acl/auth-methods")
async def methods(agent: "AgentInterface", request: Request) -> Response:
    """All auth methods, without their configurations."""
    reply, headers = await read(agent, request, "ACL.AuthMethodList", Read(), consistency=False)
    return Response([method.to_json() for method in reply.auth_methods or ()], headers=headers)


@acl_route("PUT", "/v1/acl/auth-method")
async def create_method(agent: "AgentInterface", request: Request) -> Response:
    """Create an auth method."""
    return await _set_method(agent, request)


async def _set_method(agent: "AgentInterface", request: Request) -> Response:
    method = bodies.auth_method(request)
    if request.tail:
        if method.name and method.name != request.tail:
            raise BadRequest("Bad request: AuthMethod name in URL and payload do not match")
        method.name = request.tail
    body = apply_to_write(agent, request, requests.AuthMethodSetRequest(auth_method=method))
    return Response((await agent.caller.call("ACL.AuthMethodSet", body)).to_json())


@acl_route("GET", "/v1/acl/auth-method/")
async def get_method(agent: "AgentInterface", request: Request) -> Response:
    """One auth method by its name."""
    _need(request, "auth method name")
    body = requests.AuthMethodReadRequest(auth_method_name=request.tail)
    reply, headers = await read(agent, request, "ACL.AuthMethodRead", body, consistency=False)
    if reply.auth_method is None:
        return Response(status=404)
    return Response(reply.auth_method.to_json(), headers=headers)


@acl_route("PUT", "/v1/acl/auth-method/")
async def change_method(agent: "AgentInterface", request: Request) -> Response:
    """Update an auth method."""
    return await _set_method(agent, request)


@acl_route("DELETE", "/v1/acl/auth-method/")
async def delete_method(agent: "AgentInterface", request: Request) -> Response:
    """Remove an auth method with its binding rules and login tokens."""
    _need(request, "auth method name")
    body = apply_to_write(agent, request, requests.AuthMethodDeleteRequest(auth_method_name=request.tail))
    await agent.caller.call("ACL.AuthMethodDelete", body)
    return Response(True)


# -- binding rules


@acl_route("GET", "/v1/acl/binding-rules")
async def rules(agent: "AgentInterface", request: Request) -> Response:
    """All binding rules, or those of `?authmethod=`."""
    body = requests.BindingRuleListRequest(auth_method=request.query.get("authmethod"))
    reply, headers = await read(agent, request, "ACL.BindingRuleList", body, consistency=False)
    return Response([rule.to_json() for rule in reply.binding_rules or ()], headers=headers)


@acl_route("PUT", "/v1/acl/binding-rule")
async def create_rule(agent: "AgentInterface", request: Request) -> Response:
    """Create a binding rule."""
    return await _set_rule(agent, request)


async def _set_rule(agent: "AgentInterface", request: Request) -> Response:
    rule = bodies.binding_rule(request)
    if rule.id and rule.id != request.tail:
        raise BadRequest("Bad request: BindingRule ID in URL and payload do not match")
    rule.id = request.tail
    body = apply_to_write(agent, request, requests.BindingRuleSetRequest(binding_rule=rule))
    return Response((await agent.caller.call("ACL.BindingRuleSet", body)).to_json())


@acl_route("GET", "/v1/acl/binding-rule/")
async def get_rule(agent: "AgentInterface", request: Request) -> Response:
    """One binding rule by its id."""
    _need(request, "binding rule ID")
    body = requests.BindingRuleReadRequest(binding_rule_id=request.tail)
    reply, headers = await read(agent, request, "ACL.BindingRuleRead", body, consistency=False)
    if reply.binding_rule is None:
        return Response(status=404)
    return Response(reply.binding_rule.to_json(), headers=headers)


@acl_route("PUT", "/v1/acl/binding-rule/")
async def change_rule(agent: "AgentInterface", request: Request) -> Response:
    """Update a binding rule."""
    return await _set_rule(agent, request)


@acl_route("DELETE", "/v1/acl/binding-rule/")
async def delete_rule(agent: "AgentInterface", request: Request) -> Response:
    """Remove one by its id."""
    _need(request, "binding rule ID")
    body = apply_to_write(agent, request, requests.BindingRuleDeleteRequest(binding_rule_id=request.tail))
    await agent.caller.call("ACL.BindingRuleDelete", body)
    return Response(True)


# -- login and logout


@acl_route("POST", "/v1/acl/login")
async def login(agent: "AgentInterface", request: Request) -> Response:
    """Log in with an auth method: a new token."""
    auth = bodies.login(request)
    body = requests.LoginRequest(datacenter=request.query.get("dc") or agent.datacenter, auth=auth)
    return Response((await agent.caller.call("ACL.Login", body)).to_json())


@acl_route("POST", "/v1/acl/logout")
async def logout(agent: "AgentInterface", request: Request) -> Response:
    """Remove the token of the request, which a login created."""
    if not token_of(request):
        raise HttpError(403, "ACL not found")
    await agent.caller.call("ACL.Logout", apply_to_write(agent, request, requests.LogoutRequest()))
    return Response(True)
