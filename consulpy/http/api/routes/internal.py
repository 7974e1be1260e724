"""/v1/internal: the endpoints of Consul's web UI."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from consulpy.connect.central_merge import CONNECT_PROXY
from consulpy.errors import BadRequest
from consulpy.http.api import render
from consulpy.http.api.params import apply_to_read
from consulpy.http.api.routing import Request, Response, route
from consulpy.http.api.rpc_read import meta_headers, read
from consulpy.structs.check import PASSING, WARNING
from consulpy.structs.gateway import INGRESS, GatewayService, ServiceDumpRow
from consulpy.structs.operator import FederationStateQuery
from consulpy.structs.requests import NodeRequest, ServiceDumpRequest, ServiceRequest, SpecificRequest
from consulpy.structs.service import CheckServiceNode, NodeInfo

if TYPE_CHECKING:
    from consulpy.http.api.agent import AgentInterface


def _shown(info: NodeInfo) -> dict[str, Any]:
    shown = info.to_json()
    shown["Services"] = [each.to_json() for each in info.services or ()]  # their tags may be null here
    shown["Checks"] = [each.to_json() for each in info.checks or ()]
    return shown


@route("GET", "/v1/internal/ui/nodes")
async def nodes(agent: "AgentInterface", request: Request) -> Response:
    """All nodes with their services and checks."""
    reply, headers = await read(agent, request, "Internal.NodeDump", SpecificRequest(), consistency=False)
    return Response(render.Rows(reply.dump or (), _shown, render.node_info_bytes), headers=headers)


@route("GET", "/v1/internal/ui/node/")
async def node(agent: "AgentInterface", request: Request) -> Response:
    """One node with its services and checks."""
    body = NodeRequest(node=request.tail)
    missing = "Missing node name"
    reply, headers = await read(agent, request, "Internal.NodeInfo", body, missing=missing, consistency=False)
    return Response(_shown(reply.dump[0]), headers=headers) if reply.dump else Response(status=404)


#: The metadata of a service that says which program registered it.
EXTERNAL_SOURCE: Final = "external-source"
#: Where a summary counts the checks of a state; those of all other states are critical.
_COUNTS: Final = {PASSING: "ChecksPassing", WARNING: "ChecksWarning"}


def _empty(name: str, kind: str) -> dict[str, Any]:
    return {
        "Kind": kind,
        "Name": name,
        "Tags": set(),
        "Nodes": [],
        "InstanceCount": 0,
        "ProxyFor": {},
        "ChecksPassing": 0,
        "ChecksWarning": 0,
        "ChecksCritical": 0,
        "ExternalSources": set(),
        "GatewayConfig": {},
    }


def summaries(rows: Iterable[CheckServiceNode | ServiceDumpRow]) -> list[dict[str, Any]]:
    """One summary for each service name: its nodes, and its checks by status."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row.service is None or row.node is None:
            continue
        service = row.service
        one = found.get(service.service)
        if one is None:
            one = found[service.service] = _empty(service.service, service.kind)
        one["Tags"].update(service.tags or ())
        one["Nodes"].append(row.node.node)
        one["InstanceCount"] += 1
        if service.kind == CONNECT_PROXY:
            one["ProxyFor"].setdefault(service.proxy.destination_service_name)
        if service.meta and service.meta.get(EXTERNAL_SOURCE):
            one["ExternalSources"].add(service.meta[EXTERNAL_SOURCE])
        for check in row.checks or ():
            one[_COUNTS.get(check.status, "ChecksCritical")] += 1
    return [_summary(found[name]) for name in sorted(found)]


@route("GET", "/v1/internal/ui/gateway-services-nodes/")
async def gateway_services_nodes(agent: "AgentInterface", request: Request) -> Response:
    """A summary of every service behind a gateway, and at which addresses an ingress gateway exposes it."""
    body = ServiceRequest(service_name=request.tail)
    reply, headers = await read(
        agent, request, "Internal.GatewayServiceDump", body, missing="Missing gateway name", consistency=False
    )
    rows = reply.dump or []
    shown = {one["Name"]: one for one in summaries(rows)}
    addresses: dict[str, dict[str, None]] = {}
    for row in rows:
        name = row.gateway_service.service.name
        shown.setdefault(name, {**_summary(_empty(name, "")), "Nodes": None})
        addresses.setdefault(name, {}).update(dict.fromkeys(_addresses(agent, row.gateway_service)))
    for name, found in addresses.items():
        shown[name]["GatewayConfig"] = {"Addresses": list(found)} if found else {}
    return Response([shown[name] for name in sorted(shown)], headers=headers)


def _addresses(agent: "AgentInterface", each: GatewayService) -> list[str]:
    if each.gateway_kind != INGRESS:
        return []
    name = f"{each.service.name}.ingress.{agent.datacenter}.{agent.dns_domain}"
    return [f"{host}:{each.port}" for host in each.hosts or (name,)]


def _summary(one: dict[str, Any]) -> dict[str, Any]:
    one["Tags"] = sorted(one["Tags"]) or None
    one["Nodes"].sort()
    one["ExternalSources"] = sorted(one["ExternalSources"]) or None
    if not one["Kind"]:
        del one["Kind"]
    one["ProxyFor"] = list(one["ProxyFor"])
    if not one["ProxyFor"]:
        del one["ProxyFor"]
    return one


@route("GET", "/v1/internal/ui/services")
async def services(agent: "AgentInterface", request: Request) -> Response:
    """A summary of every service."""
    reply, headers = await read(agent, request, "Internal.ServiceDump", ServiceDumpRequest(), consistency=False)
    return Response(summaries(reply.nodes or ()), headers=headers)


@route("GET", "/v1/internal/federation-states")
async def federation_states(agent: "AgentInterface", request: Request) -> Response:
    """The federation states of all datacenters."""
    reply, headers = await read(agent, request, "FederationState.List", SpecificRequest(), consistency=False)
    return Response([state.to_json() for state in reply.states or ()], headers=headers)


@route("GET", "/v1/internal/federation-states/mesh-gateways")
async def mesh_gateways(agent: "AgentInterface", request: Request) -> Response:
    """The mesh gateways of every datacenter that has some."""
    reply, headers = await read(
        agent, request, "FederationState.ListMeshGateways", SpecificRequest(), consistency=False
    )
    shown = {name: render.check_service_nodes(rows) for name, rows in (reply.datacenter_nodes or {}).items()}
    return Response(shown, headers=headers)


@route("GET", "/v1/internal/federation-state/")
async def federation_state(agent: "AgentInterface", request: Request) -> Response:
    """The federation state of one datacenter."""
    if not request.tail:
        raise BadRequest("Bad request: Missing datacenter name")
    options = apply_to_read(agent, request, SpecificRequest())
    body = FederationStateQuery(request.tail, options.datacenter, options.options)
    reply = await agent.caller.call("FederationState.Get", body)
    if reply.state is None:
        return Response(status=404)
    return Response(reply.to_json(), headers=meta_headers(reply.meta))
