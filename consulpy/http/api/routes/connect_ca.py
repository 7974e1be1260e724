"""/v1/connect/ca: the roots and the configuration of the certificate authority."""

from typing import TYPE_CHECKING, Any, Final

from consulpy.errors import BadRequest, RPCError
from consulpy.gocompat.json_decode import GoError, Shape, decode, loads
from consulpy.http.api.params import apply_to_read, apply_to_write
from consulpy.http.api.routing import Request, Response, route
from consulpy.http.api.rpc_read import read
from consulpy.local.api import parse_bool
from consulpy.local.shapes import INDEXES, aux_struct
from consulpy.structs.connect_ca import STATE_READ_ONLY, CAConfiguration, CARequest
from consulpy.structs.requests import SpecificRequest

if TYPE_CHECKING:
    from consulpy.http.api.agent import AgentInterface

PEM_CHAIN: Final = "application/pem-certificate-chain"
_CA_CONFIGURATION: Final = Shape(
    aux_struct('ForceWithoutCrossSigningSnake bool "json:\\"force_without_cross_signing\\""'),
    custom=True,
    unsigned=INDEXES,
    aliases={"force_without_cross_signing": "ForceWithoutCrossSigning"},
    without=frozenset({"ClusterID"}),
)


@route("GET", "/v1/connect/ca/roots")
async def roots(agent: "AgentInterface", request: Request) -> Response:
    """The CA roots; with `?pem` as a chain of certificates."""
    as_pem = parse_bool(request.query.get("pem")) if request.query.get("pem") else False
    if as_pem is None:
        raise BadRequest("Bad request: The 'pem' query parameter must be a boolean value")
    reply, headers = await read(agent, request, "ConnectCA.Roots", SpecificRequest(), consistency=False)
    if as_pem:
        chain = "".join(root.root_cert.strip() + "\n" for root in reply.roots or ())
        return Response(raw=chain.encode(), content_type=PEM_CHAIN)
    return Response(reply.to_json(), headers=headers)


@route("GET", "/v1/connect/ca/configuration")
async def configuration(agent: "AgentInterface", request: Request) -> Response:
    """The CA configuration."""
    body = apply_to_read(agent, request, SpecificRequest())
    body.options.min_query_index = 0  # it does not block, in Consul neither
    found = await agent.caller.call("ConnectCA.ConfigurationGet", body)
    return Response(found.to_json())


@route("PUT", "/v1/connect/ca/configuration")
async def configure(agent: "AgentInterface", request: Request) -> Response:
    """Update the CA configuration."""
    try:
        found = decode(CAConfiguration, loads(request.body), _CA_CONFIGURATION)
    except GoError as error:
        raise BadRequest(f"Bad request: Request decode failed: {error}") from None
    if found.config is not None:
        found.config = _with_floats(found.config)
    try:
        await agent.caller.call("ConnectCA.ConfigurationSet", apply_to_write(agent, request, CARequest(config=found)))
    except RPCError as error:
        if str(error).endswith(STATE_READ_ONLY):
            raise BadRequest(f"Bad request: {STATE_READ_ONLY}") from None
        raise
    return Response()


def _with_floats(value: Any) -> Any:
    """All numbers as floats, as Go decodes JSON."""
    if isinstance(value, dict):
        return {name: _with_floats(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_with_floats(each) for each in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
