"""The rights that each HTTP endpoint requires under access control.

Most endpoints make RPC calls, whose rights the servers check (`consulpy.rpc.acl.table`). Endpoints of the agent itself
are checked here: before the handler, or on its response. A route that is not in the table is refused; a test finds it.
Source: docs/wire/acl.md section 6.
"""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from consulpy.acl.authorizer import Authorizer
from consulpy.acl.levels import READ, WRITE, Level
from consulpy.connect.central_merge import CONNECT_PROXY
from consulpy.errors import PermissionDenied, RPCError
from consulpy.http.api.params import refuse_namespaces, refuse_segments
from consulpy.http.api.routing import Request, Response
from consulpy.local.api import check_maintenance, check_update
from consulpy.local.definitions import check_from_body, service_from_body
from consulpy.local.sidecar import check_sidecar, complete
from consulpy.local.validation import check_definition, check_identity, check_service, check_type
from consulpy.rpc.acl.denied import Denied, require
from consulpy.structs.service import NodeService

if TYPE_CHECKING:
    from consulpy.http.api.agent import AgentInterface

Before = Callable[[Authorizer, "AgentInterface", Request], None]
After = Callable[[Authorizer, "AgentInterface", Response], Response]


@dataclasses.dataclass(frozen=True, slots=True)
class Rights:
    """The rights of an endpoint. `before` raises `Denied`; `after` filters the response.

    `before_token(agent, request)`: raises `RPCError` for what counts before a token that does not exist.
    """

    before: Before | None = None
    after: After | None = None
    before_token: Callable[["AgentInterface", Request], Any] | None = None

    @property
    def is_checked_here(self) -> bool:
        """Whether the agent itself checks the token."""
        return self.before is not None or self.after is not None


#: Checked by the servers, or requires nothing.
SERVERS: Final = Rights()


def _request_only(check: Callable[[Request], None]) -> Callable[["AgentInterface", Request], None]:
    return lambda _agent, request: check(request)


def _agent(level: Level) -> Rights:
    return Rights(lambda authorizer, agent, _request: require(authorizer, "agent", agent.node_name, level))


def _own_node(authorizer: Authorizer, agent: "AgentInterface", _request: Request) -> None:
    require(authorizer, "node", agent.node_name, WRITE)


def _operator(level: Level) -> Rights:
    return Rights(lambda authorizer, _agent, _request: require(authorizer, "operator", "", level))


# -- services and checks


def _missing(kind: str, name: str) -> Denied:
    """The permission error of these endpoints; they alone name the missing right, in 1.8.7 too."""
    return Denied(kind, name, WRITE, f"Permission denied: Missing {kind}:write on {name}")


def _require_service(authorizer: Authorizer, name: str, shown: str = "") -> None:
    if not authorizer.allows("service", name, WRITE):
        raise _missing("service", shown or name)


def _register_service(authorizer: Authorizer, agent: "AgentInterface", request: Request) -> None:
    definition = service_from_body(request.body)
    check_service(definition)
    if definition.sidecar is not None:
        check_sidecar(definition.sidecar)
    _vet_service(authorizer, agent, definition.service)


def _vet_service(authorizer: Authorizer, agent: "AgentInterface", service: NodeService) -> None:
    """The service, the one whose id it takes, and the one as whose instance a proxy will be found."""
    name = service.service
    _require_service(authorizer, name)
    taken = agent.local.entries.service(service.id or name)
    if taken is not None:
        _require_service(authorizer, taken.service, name)
    if service.kind == CONNECT_PROXY and service.proxy.destination_service_name:
        _require_service(authorizer, service.proxy.destination_service_name)


async def vet_sidecar(agent: "AgentInterface", body: bytes, secret: str) -> None:
    """Whether the sidecar in a registration may be registered: with its own token, or that of the request.

    Raises `Denied`, and `BadRequest` for what can't be registered.
    """
    definition = service_from_body(body)
    if definition.sidecar is None or not definition.service.service:
        return
    sidecar = complete(definition, agent.local.services, agent.local.sidecar_ports)
    identity = await agent.access.identity(definition.sidecar.token or secret)
    _vet_service(identity.authorizer, agent, sidecar.service)


def _known_service(authorizer: Authorizer, agent: "AgentInterface", request: Request) -> None:
    found = agent.local.entries.service(request.tail)
    if found is None:
        raise RPCError(f'Unknown service {{"{request.tail}" {{}}}}')
    _require_service(authorizer, found.service)


def _register_check(authorizer: Authorizer, agent: "AgentInterface", request: Request) -> None:
    definition = check_from_body(request.body)
    check_type(definition.type)
    service_id, check_id = definition.check.service_id, definition.check.check_id or definition.check.name
    found = agent.local.entries.service(service_id) if service_id else None
    _require_check(authorizer, agent, found.service if found is not None else "")
    taken = agent.local.entries.check(check_id)
    if taken is not None:
        _require_check(authorizer, agent, taken.service_name)


def _known_check(authorizer: Authorizer, agent: "AgentInterface", request: Request) -> None:
    found = agent.local.entries.check(request.tail)
    if found is None:
        raise RPCError(f'Unknown check "{request.tail}"')
    _require_check(authorizer, agent, found.service_name)


def _require_check(authorizer: Authorizer, agent: "AgentInterface", service_name: str) -> None:
    if service_name:
        _require_service(authorizer, service_name)
    else:
        _require_node(authorizer, agent)


def _require_node(authorizer: Authorizer, agent: "AgentInterface") -> None:
    if not authorizer.allows("node", agent.node_name, WRITE):
        raise _missing("node", agent.node_name)


def _read_known_service(authorizer: Authorizer, agent: "AgentInterface", request: Request) -> None:
    found = agent.local.entries.service(request.tail)
    if found is not None:
        require(authorizer, "service", found.service, READ)


def _read_named_service(authorizer: Authorizer, _agent: "AgentInterface", request: Request) -> None:
    if request.tail:
        require(authorizer, "service", request.tail, READ)


def _check_service(authorizer: Authorizer, _agent: "AgentInterface", response: Response) -> Response:
    """Check the service in the response, after a wait too."""
    if isinstance(response.body, dict) and "Service" in response.body:
        require(authorizer, "service", response.body["Service"], READ)
    return response


def _filter_services(authorizer: Authorizer, _agent: "AgentInterface", response: Response) -> Response:
    body = {key: row for key, row in response.body.items() if authorizer.allows("service", row["Service"], READ)}
    return dataclasses.replace(response, body=body)


def _filter_checks(authorizer: Authorizer, agent: "AgentInterface", response: Response) -> Response:
    def sees(row: Any) -> bool:
        if row["ServiceName"]:
            return authorizer.allows("service", row["ServiceName"], READ)
        return authorizer.allows("node", agent.node_name, READ)

    return dataclasses.replace(response, body={key: row for key, row in response.body.items() if sees(row)})


# -- members and events


def _filter_members(authorizer: Authorizer, _agent: "AgentInterface", response: Response) -> Response:
    if response.body is None:
        return response
    body = [row for row in response.body if authorizer.allows("node", row["Name"], READ)]
    return dataclasses.replace(response, body=body)


def _filter_events(authorizer: Authorizer, _agent: "AgentInterface", response: Response) -> Response:
    body = [row for row in response.body or () if authorizer.allows("event", row["Name"], READ)]
    return dataclasses.replace(response, body=body)


def _translates(authorizer: Authorizer, agent: "AgentInterface", _request: Request) -> None:
    if agent.access.is_on:
        require(authorizer, "acl", "", READ)


def _timeline(authorizer: Authorizer, _agent: "AgentInterface", request: Request) -> None:
    require(authorizer, "node", request.tail, READ)


def _check_service_body(request: Request) -> None:
    check_identity(service_from_body(request.body))


def _check_check_body(request: Request) -> None:
    check_definition(check_from_body(request.body))


def _require_id(text: str) -> Callable[["AgentInterface", Request], None]:
    """Checks that the path names something; `text`: the error."""

    def check(_agent: "AgentInterface", request: Request) -> None:
        if not request.tail:
            raise RPCError(text)

    return check


_MAINTENANCE: Final = Rights(_own_node, before_token=lambda _agent, request: check_maintenance(request.query.first()))
_TTL_CHECK: Final = Rights(_known_check)

#: Endpoints of the agent itself, by method and path.
_LOCAL: Final[dict[tuple[str, str], Rights]] = {
    ("GET", "/v1/agent/self"): _agent(READ),
    ("GET", "/v1/agent/version"): _agent(READ),
    ("GET", "/v1/agent/metrics"): _agent(READ),
    ("GET", "/v1/agent/metrics/stream"): _agent(READ),
    ("GET", "/v1/agent/monitor"): _agent(READ),
    ("GET", "/v1/agent/host"): _operator(READ),
    ("GET", "/v1/agent/members"): Rights(after=_filter_members, before_token=_request_only(refuse_segments)),
    ("GET", "/v1/agent/timeline"): Rights(after=_filter_members),
    ("GET", "/v1/agent/timeline/"): Rights(_timeline),
    ("GET", "/v1/agent/doctor"): _agent(READ),
    ("GET", "/v1/agent/doctor/"): _agent(WRITE),
    ("PUT", "/v1/agent/join/"): _agent(WRITE),
    ("PUT", "/v1/agent/leave"): _agent(WRITE),
    ("PUT", "/v1/agent/reload"): _agent(WRITE),
    ("PUT", "/v1/agent/token/"): _agent(WRITE),
    ("PUT", "/v1/agent/force-leave/"): _operator(WRITE),
    ("PUT", "/v1/agent/maintenance"): _MAINTENANCE,
    ("GET", "/v1/agent/services"): Rights(after=_filter_services, before_token=_request_only(refuse_namespaces)),
    ("GET", "/v1/agent/service/"): Rights(_read_known_service, _check_service),
    ("PUT", "/v1/agent/service/register"): Rights(_register_service, before_token=_request_only(_check_service_body)),
    ("PUT", "/v1/agent/service/deregister/"): Rights(_known_service),
    ("PUT", "/v1/agent/service/maintenance/"): Rights(
        _known_service, before_token=lambda _agent, request: check_maintenance(request.query.first(), request.tail)
    ),
    ("GET", "/v1/agent/health/service/id/"): Rights(
        _read_known_service, before_token=_require_id("Bad request: Missing serviceID")
    ),
    ("GET", "/v1/agent/health/service/name/"): Rights(
        _read_named_service, before_token=_require_id("Bad request: Missing service Name")
    ),
    ("GET", "/v1/agent/checks"): Rights(after=_filter_checks, before_token=_request_only(refuse_namespaces)),
    ("PUT", "/v1/agent/check/register"): Rights(_register_check, before_token=_request_only(_check_check_body)),
    ("PUT", "/v1/agent/check/deregister/"): Rights(_known_check),
    ("PUT", "/v1/agent/check/pass/"): _TTL_CHECK,
    ("PUT", "/v1/agent/check/warn/"): _TTL_CHECK,
    ("PUT", "/v1/agent/check/fail/"): _TTL_CHECK,
    ("PUT", "/v1/agent/check/update/"): Rights(
        _known_check, before_token=lambda _agent, request: check_update(request.body)
    ),
    ("GET", "/v1/event/list"): Rights(after=_filter_events),
    ("GET", "/v1/operator/usage"): _operator(READ),
    ("POST", "/v1/acl/rules/translate"): Rights(_translates),
    ("POST", "/v1/agent/connect/authorize"): SERVERS,  # checked by the handler, after its body
    # Connect is off: errors only.
    ("GET", "/v1/agent/connect/ca/leaf/"): SERVERS,
    ("GET", "/v1/agent/connect/ca/roots"): SERVERS,
}
#: Prefixes of paths whose endpoints are checked by the servers.
_SERVERS_BELOW: Final = (
    "/v1/acl/",
    "/v1/catalog/",
    "/v1/config",
    "/v1/connect/",
    "/v1/coordinate/",
    "/v1/discovery-chain/",
    "/v1/event/fire/",
    "/v1/health/",
    "/v1/internal/",
    "/v1/kv/",
    "/v1/operator/autopilot/",
    "/v1/operator/keyring",
    "/v1/operator/raft/",
    "/v1/query",
    "/v1/session/",
    "/v1/snapshot",
    "/v1/status/",
    "/v1/txn",
    "/debug/pprof/",  # checked by the handler
)


def rights_of(method: str, path: str) -> Rights | None:
    """The rights of an endpoint; None if it is in no table."""
    found = _LOCAL.get((method, path))
    if found is None and path.startswith(_SERVERS_BELOW):
        return SERVERS
    return found


def refused_unless_named(rights: Rights | None) -> Rights:
    """The rights of an endpoint; for one in no table: always refused."""
    return rights if rights is not None else Rights(_refuse)


def _refuse(_authorizer: Authorizer, _agent: "AgentInterface", _request: Request) -> None:
    raise PermissionDenied
