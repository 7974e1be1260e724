"""/v1/operator: the quorum, its autopilot, and the gossip keys of all pools."""

import dataclasses
from typing import TYPE_CHECKING, Any, Final

from consulpy.errors import BadRequest, RPCError
from consulpy.gocompat.duration import format_duration_ns
from consulpy.gocompat.json_decode import GoError, Shape, decode, loads
from consulpy.gocompat.multierror import format_errors
from consulpy.http.api.keyring_request import keyring_request
from consulpy.http.api.params import apply_to_read, apply_to_write, token
from consulpy.http.api.routes.kv import unsigned
from consulpy.http.api.routing import Request, Response, route
from consulpy.local.shapes import INDEXES
from consulpy.serf.members import Status
from consulpy.structs.autopilot_state import AutopilotState, ServerState
from consulpy.structs.keyring import LIST_KEYS, KeyringResponse
from consulpy.structs.operator import AutopilotConfig, AutopilotSetRequest, RaftPeerRequest
from consulpy.structs.requests import SpecificRequest

if TYPE_CHECKING:
    from consulpy.http.api.agent import AgentInterface


async def _keyring(agent: "AgentInterface", request: Request) -> Response:
    operation = keyring_request(agent, request)
    found: list[KeyringResponse] = (await agent.caller.call("Internal.KeyringOperation", operation)).responses or []
    if errors := [line for each in found for line in each.errors()]:
        raise RPCError(format_errors(errors))
    return Response([each.to_json() for each in found]) if operation.operation == LIST_KEYS else Response()


for _method in ("GET", "POST", "PUT", "DELETE"):
    route(_method, "/v1/operator/keyring")(_keyring)


_AUTOPILOT: Final = Shape(
    "api.AutopilotConfiguration",
    strict_durations=frozenset({"LastContactThreshold", "ServerStabilizationTime"}),
    unsigned=INDEXES | {"MaxTrailingLogs", "MinQuorum"},
    types={"MinQuorum": "uint"},
)


async def _ask(agent: "AgentInterface", request: Request, method: str) -> Any:
    return await agent.caller.call(method, apply_to_read(agent, request, SpecificRequest()))


@route("GET", "/v1/operator/raft/configuration")
async def raft_configuration(agent: "AgentInterface", request: Request) -> Response:
    """The servers of the quorum."""
    return Response((await _ask(agent, request, "Operator.RaftGetConfiguration")).to_json())


@route("DELETE", "/v1/operator/raft/peer")
async def remove_peer(agent: "AgentInterface", request: Request) -> Response:
    """Remove a server from the quorum, by id or address."""
    by_id, by_address = "id" in request.query, "address" in request.query
    if not by_id and not by_address:
        text = "Must specify either ?id with the server's ID or ?address with IP:port of peer to remove"
        raise BadRequest(f"Bad request: {text}")
    if by_id and by_address:
        raise BadRequest("Bad request: Must specify only one of ?id or ?address")
    body = RaftPeerRequest(
        datacenter=request.query.get("dc") or agent.datacenter,
        id=request.query.get("id"),
        address=request.query.get("address"),
        token=token(request),
    )
    await agent.caller.call("Operator.RaftRemovePeerByID" if by_id else "Operator.RaftRemovePeerByAddress", body)
    return Response()


@route("POST", "/v1/operator/raft/transfer-leader")
async def transfer_leader(agent: "AgentInterface", request: Request) -> Response:
    """Hand the office over to the server named by ?id, or to the best one (Consul 1.14)."""
    body = RaftPeerRequest(
        datacenter=request.query.get("dc") or agent.datacenter, id=request.query.get("id"), token=token(request)
    )
    return Response((await agent.caller.call("Operator.TransferLeader", body)).to_json())


@route("GET", "/v1/operator/autopilot/configuration")
async def autopilot(agent: "AgentInterface", request: Request) -> Response:
    """The autopilot configuration; durations as text."""
    config = await _ask(agent, request, "Operator.AutopilotGetConfiguration")
    shown = config.to_json()
    for name in _AUTOPILOT.strict_durations:
        shown[name] = format_duration_ns(shown[name])
    return Response(shown)


@route("PUT", "/v1/operator/autopilot/configuration")
async def set_autopilot(agent: "AgentInterface", request: Request) -> Response:
    """Write the autopilot configuration; fields that the body does not name become zero."""
    try:
        given = loads(request.body)
        config = decode(AutopilotConfig, given, _AUTOPILOT)
    except GoError as error:
        raise BadRequest(f"Bad request: Error parsing autopilot config: {error}") from None
    named = {name.lower() for name, value in (given or {}).items() if value is not None}
    for field in dataclasses.fields(AutopilotConfig):
        if field.name.replace("_", "") not in named:
            setattr(config, field.name, type(getattr(config, field.name))())
    body = apply_to_write(agent, request, AutopilotSetRequest(config=config))
    if "cas" in request.query:
        try:
            body.cas, config.modify_index = True, unsigned(request.query.get("cas"))
        except RPCError as error:
            raise BadRequest(f"Bad request: Error parsing cas value: {error}") from None
    written = await agent.caller.call("Operator.AutopilotSetConfiguration", body)
    return Response(written if body.cas else True)


@route("GET", "/v1/operator/autopilot/health")
async def health(agent: "AgentInterface", request: Request) -> Response:
    """Health of the servers; 429 if one is unhealthy."""
    found = await _ask(agent, request, "Operator.ServerHealth")
    shown = found.to_json()
    for server in shown["Servers"] or ():
        server["SerfStatus"] = str(Status(server["SerfStatus"]))
        server["LastContact"] = format_duration_ns(server["LastContact"])
    return Response(shown, status=200 if found.healthy else 429)


@route("GET", "/v1/operator/autopilot/state")
async def autopilot_state(agent: "AgentInterface", request: Request) -> Response:
    """The same in the form of Consul 1.9: by id, with leader and voters; made of its health if the leader is of 1.8."""
    try:
        found = await _ask(agent, request, "Operator.AutopilotState")
    except RPCError as error:
        if "can't find method" not in str(error):
            raise
        found = AutopilotState.of(await _ask(agent, request, "Operator.ServerHealth"))
    return Response(
        {
            "Healthy": found.healthy,
            "FailureTolerance": found.failure_tolerance,
            "OptimisticFailureTolerance": found.failure_tolerance,
            "Servers": {server_id: _state(each) for server_id, each in (found.servers or {}).items()},
            "Leader": found.leader,
            "Voters": found.voters or [],
        }
    )


def _state(state: ServerState) -> dict[str, Any]:
    server, health = state.server, state.health.to_json()
    return {
        "ID": server.id,
        "Name": server.name,
        "Address": server.address,
        "NodeStatus": server.node_status,
        "Version": server.version,
        "LastContact": format_duration_ns(state.stats.last_contact),
        "LastTerm": state.stats.last_term,
        "LastIndex": state.stats.last_index,
        "Healthy": health["Healthy"],
        "StableSince": health["StableSince"],
        "ReadReplica": False,
        "Status": state.state,
        "Meta": server.meta or {},
        "NodeType": server.node_type or "voter",
    }
