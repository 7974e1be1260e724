"""/v1/acl: auth methods, binding rules, login and logout."""

from typing import TYPE_CHECKING

from consulpy.http.api import acl_bodies as bodies
from consulpy.http.api.acl_route import (
    NOT_FOUND,
    acl_route,
    delete_record,
    id_of,
    read_record,
    require_tail,
    set_record,
)
from consulpy.http.api.params import apply_to_write
from consulpy.http.api.params import token as token_of
from consulpy.http.api.routing import HttpError, Request, Response
from consulpy.http.api.rpc_read import read
from consulpy.structs import acl_requests as requests
from consulpy.structs.requests import Read

if TYPE_CHECKING:
    from consulpy.http.api.agent import AgentInterface


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
        method.name = id_of(request, method.name, "AuthMethod Name")
    return await set_record(agent, request, "ACL.AuthMethodSet", requests.AuthMethodSetRequest(auth_method=method))


@acl_route("GET", "/v1/acl/auth-method/")
async def get_method(agent: "AgentInterface", request: Request) -> Response:
    """One auth method by its name."""
    require_tail(request, "auth method name")
    body = requests.AuthMethodReadRequest(auth_method_name=request.tail)
    return await read_record(agent, request, "ACL.AuthMethodRead", body, "auth_method")


@acl_route("PUT", "/v1/acl/auth-method/")
async def change_method(agent: "AgentInterface", request: Request) -> Response:
    """Update an auth method."""
    return await _set_method(agent, request)


@acl_route("DELETE", "/v1/acl/auth-method/")
async def delete_method(agent: "AgentInterface", request: Request) -> Response:
    """Remove an auth method with its binding rules and login tokens."""
    require_tail(request, "auth method name")
    body = requests.AuthMethodDeleteRequest(auth_method_name=request.tail)
    return await delete_record(agent, request, "ACL.AuthMethodDelete", body)


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
    rule.id = id_of(request, rule.id, "BindingRule ID")
    return await set_record(agent, request, "ACL.BindingRuleSet", requests.BindingRuleSetRequest(binding_rule=rule))


@acl_route("GET", "/v1/acl/binding-rule/")
async def get_rule(agent: "AgentInterface", request: Request) -> Response:
    """One binding rule by its id."""
    require_tail(request, "binding rule ID")
    body = requests.BindingRuleReadRequest(binding_rule_id=request.tail)
    return await read_record(agent, request, "ACL.BindingRuleRead", body, "binding_rule")


@acl_route("PUT", "/v1/acl/binding-rule/")
async def change_rule(agent: "AgentInterface", request: Request) -> Response:
    """Update a binding rule."""
    return await _set_rule(agent, request)


@acl_route("DELETE", "/v1/acl/binding-rule/")
async def delete_rule(agent: "AgentInterface", request: Request) -> Response:
    """Delete a binding rule."""
    require_tail(request, "binding rule ID")
    body = requests.BindingRuleDeleteRequest(binding_rule_id=request.tail)
    return await delete_record(agent, request, "ACL.BindingRuleDelete", body)


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
        raise HttpError(403, NOT_FOUND)
    await agent.caller.call("ACL.Logout", apply_to_write(agent, request, requests.LogoutRequest()))
    return Response(True)
