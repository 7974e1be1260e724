"""`/v1/agent/checks` and `/v1/agent/check/...`: the checks of this agent, and updates of TTL checks."""

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

from consulpy.http.api.params import refuse_namespaces, token
from consulpy.http.api.routes.agent_service import shown, written
from consulpy.http.api.routing import Request, Response, route
from consulpy.local import api
from consulpy.structs.check import CRITICAL, PASSING, WARNING

if TYPE_CHECKING:
    from consulpy.http.api.agent import AgentInterface


@route("GET", "/v1/agent/checks")
def checks(agent: "AgentInterface", request: Request) -> Response:
    """All checks by id."""
    refuse_namespaces(request)
    return shown(api.checks(agent.local, request.query.get("filter")))


@route("PUT", "/v1/agent/check/register")
def register(agent: "AgentInterface", request: Request) -> "Deferred[Response]":
    """Register a check."""
    refuse_namespaces(request)
    return written(agent, lambda: api.register_check(agent.local, request.body, token(request)))


@route("PUT", "/v1/agent/check/deregister/")
def deregister(agent: "AgentInterface", request: Request) -> "Deferred[Response]":
    """Remove a check."""
    refuse_namespaces(request)
    return written(agent, lambda: api.deregister_check(agent.local, request.tail))


@route("PUT", "/v1/agent/check/pass/")
def pass_(agent: "AgentInterface", request: Request) -> "Deferred[Response]":
    """Set a TTL check to passing."""
    return _set(agent, request, PASSING)


@route("PUT", "/v1/agent/check/warn/")
def warn(agent: "AgentInterface", request: Request) -> "Deferred[Response]":
    """Set a TTL check to warning."""
    return _set(agent, request, WARNING)


@route("PUT", "/v1/agent/check/fail/")
def fail(agent: "AgentInterface", request: Request) -> "Deferred[Response]":
    """Set a TTL check to critical."""
    return _set(agent, request, CRITICAL)


def _set(agent: "AgentInterface", request: Request, status: str) -> "Deferred[Response]":
    refuse_namespaces(request)
    return written(agent, lambda: api.set_check(agent.local, request.tail, status, request.query.get("note")))


@route("PUT", "/v1/agent/check/update/")
def update(agent: "AgentInterface", request: Request) -> "Deferred[Response]":
    """Set status and output of a TTL check."""
    refuse_namespaces(request)
    return written(agent, lambda: api.update_check(agent.local, request.tail, request.body))
