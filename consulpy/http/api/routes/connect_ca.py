"""/v1/connect/ca: the roots and the configuration of the certificate authority."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from consulpy.codec.record import Record, go
from consulpy.errors import BadRequest
from consulpy.gocompat.json_decode import GoError, Shape, decode, loads
from consulpy.http.api.params import apply_to_read, apply_to_write
from consulpy.http.api.routing import Request, Response, route
from consulpy.http.api.rpc_read import meta_headers, read
from consulpy.local.shapes import INDEXES, aux_struct
from consulpy.structs.requests import SpecificRequest, Write

if TYPE_CHECKING:
    from consulpy.http.api.agent import AgentInterface


@route("GET", "/v1/connect/ca/roots")
async def roots(agent: "AgentInterface", request: Request) -> Response:
    """The CA roots."""
    _, headers = await read(agent, request, "ConnectCA.Roots", SpecificRequest(), consistency=False)
    return Response({}, headers=headers)


async def _ask(agent: "AgentInterface", request: Request, method: str) -> Response:
    reply = await agent.caller.call(method, apply_to_read(agent, request, SpecificRequest()))
    return Response({}, headers=meta_headers(reply.meta))


@route("GET", "/v1/connect/ca/configuration")
async def configuration(agent: "AgentInterface", request: Request) -> Response:
    """The CA configuration."""
    return await _ask(agent, request, "ConnectCA.ConfigurationGet")


@dataclass(slots=True)
class _CaConfiguration(Record):
    """The CA configuration."""

    cluster_id: str = go("ClusterID", default="")
    provider: str = ""
    config: dict[str, Any] | None = None
    state: dict[str, str] | None = None
    force_without_cross_signing: bool = False
    create_index: int = 0
    modify_index: int = 0


_CA_CONFIGURATION: Final = Shape(
    aux_struct('ForceWithoutCrossSigningSnake bool "json:\\"force_without_cross_signing\\""'),
    custom=True,
    unsigned=INDEXES,
    aliases={"force_without_cross_signing": "ForceWithoutCrossSigning"},
)


@route("PUT", "/v1/connect/ca/configuration")
async def configure(agent: "AgentInterface", request: Request) -> Response:
    """Update the CA configuration."""
    try:
        decode(_CaConfiguration, loads(request.body), _CA_CONFIGURATION)
    except GoError as error:
        raise BadRequest(f"Bad request: Request decode failed: {error}") from None
    await agent.caller.call("ConnectCA.ConfigurationSet", apply_to_write(agent, request, Write()))
    return Response()
