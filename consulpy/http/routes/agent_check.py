"""/v1/agent/check: the checks that are registered on this agent."""

from typing import TYPE_CHECKING

from consulpy.http.params import options, refuse_namespaces, token
from consulpy.http.routes.agent import from_local
from consulpy.http.routing import Answer, Request, route
from consulpy.local import api
from consulpy.structs.check import CRITICAL, PASSING, WARNING

if TYPE_CHECKING:
    from consulpy.http.context import LocalAgent


@route("GET", "/v1/agent/checks")
def checks(agent: "LocalAgent", request: Request) -> Answer:
    """All checks by id."""
    return from_local(api.checks(agent.local, options(request).filter))


@route("PUT", "/v1/agent/check/register")
def register(agent: "LocalAgent", request: Request) -> Answer:
    """Register a check."""
    refuse_namespaces(request)
    return from_local(api.register_check(agent.local, request.body, token(request)))


@route("PUT", "/v1/agent/check/deregister/")
def deregister(agent: "LocalAgent", request: Request) -> Answer:
    """Remove a check."""
    return from_local(api.deregister_check(agent.local, request.tail))


@route("PUT", "/v1/agent/check/pass/")
def passes(agent: "LocalAgent", request: Request) -> Answer:
    """A TTL check is passing."""
    return from_local(api.set_check(agent.local, request.tail, PASSING, request.query.get("note")))


@route("PUT", "/v1/agent/check/warn/")
def warns(agent: "LocalAgent", request: Request) -> Answer:
    """A TTL check is warning."""
    return from_local(api.set_check(agent.local, request.tail, WARNING, request.query.get("note")))


@route("PUT", "/v1/agent/check/fail/")
def fails(agent: "LocalAgent", request: Request) -> Answer:
    """A TTL check is critical."""
    return from_local(api.set_check(agent.local, request.tail, CRITICAL, request.query.get("note")))


@route("PUT", "/v1/agent/check/update/")
def update(agent: "LocalAgent", request: Request) -> Answer:
    """A TTL check has this status and output."""
    return from_local(api.update_check(agent.local, request.tail, request.body))
