"""/v1/discovery-chain: the compiled chain of a service."""

from dataclasses import field, fields
from typing import TYPE_CHECKING, Any, Final

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.record import Record
from consulpy.errors import BadRequest
from consulpy.gocompat.json_decode import GoError, loads, mismatch, resembles
from consulpy.http.api.config_entry_body import weakly_decoded
from consulpy.http.api.params import apply_to_read, refuse_namespaces
from consulpy.http.api.routing import Request, Response, route
from consulpy.http.api.rpc_read import read
from consulpy.structs.discovery_chain import ChainRequest
from consulpy.structs.service import MeshGateway

if TYPE_CHECKING:
    from consulpy.http.api.agent import AgentInterface

_MODES: Final = ("", "none", "local", "remote")


@dataclass(slots=True)
class _Overrides(Record):
    """The body of a POST: used instead of the config entries'."""

    override_protocol: str = ""
    override_connect_timeout: int = 0
    override_mesh_gateway: MeshGateway = field(default_factory=MeshGateway)


async def _discovery_chain(agent: "AgentInterface", request: Request) -> Response:
    """Compile the chain of a service; `?compile-dc=`: as seen from its targets' datacenter."""
    refuse_namespaces(request)
    query = ChainRequest(name=request.tail, evaluate_in_datacenter=request.query.get("compile-dc"))
    if request.method == "POST" and request.tail:
        apply_to_read(agent, request, query)  # its errors come first
        _override(query, request.body)
    reply, headers = await read(
        agent, request, "DiscoveryChain.Get", query, missing="Bad request: Missing chain name", cached=True
    )
    return Response(reply.to_json(), headers=headers)


def _override(query: ChainRequest, body: bytes) -> None:
    """Raises `BadRequest`."""
    try:
        raw = loads(body)
        if raw is not None and not isinstance(raw, dict):
            raise mismatch(raw, "map[string]interface {}")
        wanted = weakly_decoded(_Overrides, _without_foreign(raw or {}))
    except GoError as error:
        raise BadRequest(f"Bad request: Request decoding failed: {error}") from None
    if wanted.override_mesh_gateway.mode not in _MODES:
        raise BadRequest("Invalid OverrideMeshGateway.Mode parameter")
    query.override_protocol = wanted.override_protocol
    query.override_connect_timeout = wanted.override_connect_timeout
    query.override_mesh_gateway = wanted.override_mesh_gateway


def _without_foreign(raw: dict[str, Any]) -> dict[str, Any]:
    """Without members whose names resemble none of ours, which Consul takes; a misspelled one stays, and is refused."""
    known = [each.name.replace("_", "") for each in fields(_Overrides)]
    return {name: value for name, value in raw.items() if resembles(name.replace("_", "").lower(), known)}


for _method in ("GET", "POST"):
    route(_method, "/v1/discovery-chain/")(_discovery_chain)
