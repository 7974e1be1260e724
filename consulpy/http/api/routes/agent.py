"""/v1/agent: this agent itself, its pools, its log."""

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.record import Record
from consulpy.errors import BadRequest
from consulpy.filter import compile_filter
from consulpy.gocompat.json_decode import GoError, Shape, decode, loads
from consulpy.http.api import render
from consulpy.http.api.changes import wait_for_change
from consulpy.http.api.member_row import MemberRow
from consulpy.http.api.params import refuse_segments, token
from consulpy.http.api.routes.agent_service import written
from consulpy.http.api.routing import HttpError, Request, Response, route
from consulpy.local import api
from consulpy.metrics.prometheus import CONTENT_TYPE
from consulpy.metrics.prometheus import render as prometheus
from consulpy.metrics.stream import IntervalStream

if TYPE_CHECKING:
    from consulpy.http.api.agent import AgentInterface


@route("GET", "/v1/agent/self")
def self_report(agent: "AgentInterface", request: Request) -> Response:  # noqa: ARG001
    """Configuration, coordinate, membership and statistics of this agent."""
    report = agent.self_report()
    coordinate = agent.lan.coordinate()
    report["Coord"] = render.coord(coordinate) if coordinate is not None else None
    return Response(report)


@route("GET", "/v1/agent/version")
def version(agent: "AgentInterface", request: Request) -> Response:  # noqa: ARG001
    """Version of consulpy, and of the Consul that it is compatible with."""
    from consulpy import CONSUL_VERSION, VERSION

    return Response({"HumanVersion": f"consulpy {VERSION}", "SemVer": CONSUL_VERSION, "FIPS": ""})


@route("GET", "/v1/agent/members")
async def members(agent: "AgentInterface", request: Request) -> Response:
    """The members of the LAN pool, or (`?wan=1`) of the WAN pool.

    `filter` came with Consul 1.15. Not in Consul: an index that counts changes of the pool, and `index` and `wait`.
    Clients without a `User-Agent` get it only when they ask with one (`refused`).
    """
    refuse_segments(request)
    pool = agent.wan if request.query.get("wan") else agent.lan
    if pool is None:
        return Response(null=True)
    membership = pool.membership
    expression = request.query.get("filter")
    holds = compile_filter(expression, MemberRow) if expression else None
    await wait_for_change(agent, request, lambda: membership.index, membership.listeners)
    gets_index = "index" in request.query or request.header("User-Agent")
    headers = {"X-Consul-Index": str(membership.index)} if gets_index else {}
    shown = [member for member in pool.members.values() if holds is None or holds(MemberRow.of(member))]
    return Response([member.to_json() for member in shown], null=True, headers=headers)


@route("PUT", "/v1/agent/join/")
async def join(agent: "AgentInterface", request: Request) -> Response:
    """Join the pool of the agent at an address."""
    await agent.join([request.tail], bool(request.query.get("wan")))
    return Response()


@route("PUT", "/v1/agent/leave")
async def leave(agent: "AgentInterface", request: Request) -> Response:  # noqa: ARG001
    """Leave gracefully and stop the agent."""
    await agent.leave()
    return Response()


@route("PUT", "/v1/agent/force-leave/")
def force_leave(agent: "AgentInterface", request: Request) -> Response:
    """Set a failed member to left; `?prune`: remove it; `?wan`: in the WAN pool only (Consul 1.11)."""
    if "wan" in request.query:
        agent.force_leave_wan(request.tail, "prune" in request.query)
    else:
        agent.force_leave(request.tail, "prune" in request.query)
    return Response()


@route("PUT", "/v1/agent/reload")
async def reload(agent: "AgentInterface", request: Request) -> Response:  # noqa: ARG001
    """Reload the configuration."""
    await agent.reload()
    return Response()


@route("PUT", "/v1/agent/maintenance")
def maintenance(agent: "AgentInterface", request: Request) -> "Deferred[Response]":
    """Set or clear maintenance mode of the node."""
    query, by = request.query.first(), token(request)
    return written(agent, lambda: api.node_maintenance(agent.local, query, by))


@route("GET", "/v1/agent/metrics")
def metrics(agent: "AgentInterface", request: Request) -> Response:
    """The metrics of the last interval, as JSON or for Prometheus."""
    if request.query.get("format") == "prometheus":
        if not agent.prometheus_enabled:
            raise HttpError(415, "Prometheus is not enabled since its retention time is not positive")
        return Response(text=prometheus(agent.metrics), content_type=CONTENT_TYPE)
    return Response(agent.metrics.to_json())


@route("GET", "/v1/agent/metrics/stream")
def stream_metrics(agent: "AgentInterface", request: Request) -> Response:  # noqa: ARG001
    """The metrics of each interval when it has ended, one JSON object a line (Consul 1.11)."""
    return Response(stream=lambda write: IntervalStream(agent.metrics, agent.clock, write).stop)


@route("GET", "/v1/agent/monitor")
def monitor(agent: "AgentInterface", request: Request) -> Response:
    """Stream the log."""
    level = request.query.get("loglevel") or "INFO"
    if level.upper() not in ("TRACE", "DEBUG", "INFO", "WARN", "ERR", "ERROR"):
        raise BadRequest(f"Bad request: Unknown log level: {level}")
    as_json = "logjson" in request.query

    def stream(write: Any) -> Any:
        return agent.monitor(level, as_json, lambda line: write((line + "\n").encode("utf-8", "replace")))

    return Response(stream=stream)


@route("GET", "/v1/agent/host")
def host(agent: "AgentInterface", request: Request) -> Response:  # noqa: ARG001
    """The host of this agent."""
    return Response(agent.host_report())


@dataclass(slots=True)
class _TokenBody(Record):
    token: str = ""


@route("PUT", "/v1/agent/token/")
async def set_token(agent: "AgentInterface", request: Request) -> Response:
    """Change one of the agent's own tokens; an empty one removes it."""
    if not agent.access.is_on:
        raise HttpError(401, "ACL support disabled")
    try:
        body = decode(_TokenBody, loads(request.body), Shape("api.AgentToken"))
    except GoError as error:
        raise BadRequest(f"Request decode failed: {error}") from None
    try:
        written = agent.access.tokens.set(request.tail, body.token)
    except KeyError:
        raise HttpError(404, f'Token "{request.tail}" is unknown') from None
    await written
    return Response()
