"""AutoEncrypt.Sign: an agent's first certificate, before it can speak TLS as others do (docs/wire/connect.md).

It is no method of port 8300 but of connections whose first byte is 7, on which there is nothing else.
"""

import re
from typing import TYPE_CHECKING, Any, Final

from consulpy.errors import RPCError
from consulpy.rpc.endpoints.connect_ca import authority_of
from consulpy.rpc.methods import METHODS
from consulpy.structs.connect_ca import CASignRequest, SignedReply
from consulpy.structs.requests import SpecificRequest

if TYPE_CHECKING:
    from consulpy.rpc.server import Server

METHOD: Final = "AutoEncrypt.Sign"


async def sign(server: "Server", request: CASignRequest) -> Any:
    """A certificate for an agent, and what it needs to trust. Raises `RPCError`.

    Better than Consul: no service's certificate is issued here, nor one with the name of a server.
    """
    tls = server.agent_certificates
    if tls is None:
        raise RPCError("AutoEncrypt.AllowTLS must be enabled in order to use this endpoint")
    told = tls()
    is_server = re.compile(rf"(server|\*)\.[^.]+\.{re.escape(told.domain.rstrip('.'))}\.?", re.IGNORECASE)
    for name in authority_of(server).agent_names(request.csr):
        if is_server.fullmatch(name):
            raise RPCError(f"no agent gets a certificate with the name of a server: {name}")
    issued = await server.handle(METHODS["ConnectCA.Sign"], request)
    roots = await server.handle(METHODS["ConnectCA.Roots"], SpecificRequest(datacenter=request.datacenter))
    return SignedReply(issued, roots, told.manual_roots, "", told.verify_server_hostname)
