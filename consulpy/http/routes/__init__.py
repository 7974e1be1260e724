"""The HTTP API, one file for each page of its documentation; importing this registers all of them."""

from consulpy.http.routes import (
    acl,
    agent,
    agent_check,
    agent_health,
    agent_service,
    catalog,
    config,
    connect,
    coordinate,
    event,
    health,
    internal,
    later,
    operator,
    query,
    status,
)

__all__ = [
    "acl",
    "agent",
    "agent_check",
    "agent_health",
    "agent_service",
    "catalog",
    "config",
    "connect",
    "coordinate",
    "event",
    "health",
    "internal",
    "later",
    "operator",
    "query",
    "status",
]
