"""/v1/agent: this agent itself, its pools, its log."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from consulpy.codec.record import Record
from consulpy.errors import BadRequest, NotFound, RPCError
from consulpy.gocompat.json_decode import GoError, Shape, decode, loads
from consulpy.http.api import render
from consulpy.http.api.params import token
from consulpy.http.api.routes.agent_service import written
from consulpy.http.api.routing import Answer, HttpError, Request, route
from consulpy.local import api
from consulpy.metrics.prometheus import render as prometheus

if TYPE_CHECKING:
    from consulpy.http.api.agent import AgentInterface


@route("GET", "/v1/agent/self")
def self_report(agent: "AgentInterface", request: Request) -> Answer:  # noqa: ARG001
    """Configuration, coordinate, membership and statistics of this agent."""
    report = agent.self_report()
    coordinate = agent.lan.coordinate()
    report["Coord"] = render.coord(coordinate) if coordinate is not None else None
    return Answer(report)


@route("GET", "/v1/agent/version")
def version(agent: "AgentInterface", request: Request) -> Answer:  # noqa: ARG001
    """Which program this is, and which Consul it speaks as."""
    from consulpy import CONSUL_VERSION, VERSION

    return Answer({"HumanVersion": f"consulpy {VERSION}", "SemVer": CONSUL_VERSION, "FIPS": ""})


@route("GET", "/v1/agent/members")
def members(agent: "AgentInterface", request: Request) -> Answer:
    """The members of the LAN pool, or (`?wan=1`) of the WAN pool."""
    wan, segment = request.query.get("wan"), request.query.get("segment")
    pool = agent.wan if wan else agent.lan
    if segment and segment != "_all":
        if wan:
            raise BadRequest("Cannot provide a segment with wan=true")
        raise RPCError("Network segments are not supported in this version of Consul")
    return Answer([member.to_json() for member in pool.members.values()] if pool else None, null=True)


@route("PUT", "/v1/agent/join/")
async def join(agent: "AgentInterface", request: Request) -> Answer:
    """Join the pool of the agent at an address."""
    await agent.join([request.tail], bool(request.query.get("wan")))
    return Answer()


@route("PUT", "/v1/agent/leave")
async def leave(agent: "AgentInterface", request: Request) -> Answer:  # noqa: ARG001
    """Leave gracefully, and end."""
    await agent.leave()
    return Answer()


@route("PUT", "/v1/agent/force-leave/")
def force_leave(agent: "AgentInterface", request: Request) -> Answer:
    """Make a failed member a left one; `?prune`: and forget it."""
    agent.force_leave(request.tail, "prune" in request.query)
    return Answer()


@route("PUT", "/v1/agent/reload")
async def reload(agent: "AgentInterface", request: Request) -> Answer:  # noqa: ARG001
    """Read the configuration again."""
    await agent.reload()
    return Answer()


@route("PUT", "/v1/agent/maintenance")
def maintenance(agent: "AgentInterface", request: Request) -> "Deferred[Answer]":
    """Put the node into maintenance, or take it out."""
    query, by = request.query.first(), token(request)
    return written(agent, lambda: api.node_maintenance(agent.local, query, by))


@route("GET", "/v1/agent/metrics")
def metrics(agent: "AgentInterface", request: Request) -> Answer:
    """What was counted and measured in the last interval."""
    if request.query.get("format") == "prometheus":
        if not agent.prometheus_enabled:
            raise HttpError(415, "Prometheus is not enabled since its retention time is not positive")
        return Answer(text=prometheus(agent.metrics), content_type="text/plain; version=0.0.4; charset=utf-8")
    return Answer(agent.metrics.to_json())


@route("GET", "/v1/agent/monitor")
def monitor(agent: "AgentInterface", request: Request) -> Answer:
    """The log as it is written."""
    level = request.query.get("loglevel") or "INFO"
    if level.upper() not in ("TRACE", "DEBUG", "INFO", "WARN", "ERR", "ERROR"):
        raise BadRequest(f"Bad request: Unknown log level: {level}")
    as_json = "logjson" in request.query

    def stream(write: Any) -> Any:
        return agent.monitor(level, as_json, lambda line: write((line + "\n").encode("utf-8", "replace")))

    return Answer(stream=stream)


@route("GET", "/v1/agent/host")
def host(agent: "AgentInterface", request: Request) -> Answer:  # noqa: ARG001
    """The machine that this agent runs on."""
    return Answer(agent.host_report())


@dataclass(slots=True)
class _TokenBody(Record):
    token: str = ""


@route("PUT", "/v1/agent/token/")
async def set_token(agent: "AgentInterface", request: Request) -> Answer:
    """Change one of the agent's own tokens; an empty one removes it."""
    if not agent.access.is_on:
        raise HttpError(401, "ACL support disabled")
    try:
        body = decode(_TokenBody, loads(request.body), Shape("api.AgentToken"))
    except GoError as error:
        raise BadRequest(f"Request decode failed: {error}") from None
    try:
        kept = agent.access.tokens.set(request.tail, body.token)
    except KeyError:
        raise HttpError(404, f'Token "{request.tail}" is unknown') from None
    await kept
    return Answer()


@route("GET", "/v1/agent/timeline/")
def timeline(agent: "AgentInterface", request: Request) -> Answer:
    """What was seen of a member: who suspected it, who confirmed, who refuted (not in Consul)."""
    found = agent.timeline(request.tail)
    if found is None:
        raise NotFound(f"No member called {request.tail!r} was ever seen here")
    return Answer(found)
