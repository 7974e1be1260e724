"""DiscoveryChain.Get (docs/wire/rpc.md 10)."""

from typing import TYPE_CHECKING

from consulpy.errors import RPCError
from consulpy.rpc.methods import read
from consulpy.state.watch import WatchSet
from consulpy.structs.connect_ca import DISABLED
from consulpy.structs.discovery_chain import ChainReply, ChainRequest

if TYPE_CHECKING:
    from consulpy.rpc.server import Server


@read("DiscoveryChain.Get", ChainRequest, ChainReply)
def get(server: "Server", request: ChainRequest, watch: WatchSet | None) -> ChainReply:
    """The compiled chain of a service. Raises `RPCError` where Connect is off, and for entries that contradict."""
    if server.authority is None:
        raise RPCError(DISABLED)
    if not request.name:
        raise RPCError("Must provide service name")
    from consulpy.connect.discovery_chain.compiler import compile_chain  # not needed to start
    from consulpy.connect.discovery_chain.request import ChainQuery

    index, _ = server.store.config_entries.get(watch, "", "")
    authority = server.store.connect_ca.configuration(watch)
    if authority is None:
        raise RPCError("no cluster ca config setup")
    query = ChainQuery(
        service=request.name,
        datacenter=request.evaluate_in_datacenter or server.datacenter,
        used_in=server.datacenter,
        trust_domain=authority.trust_domain,
        mesh_gateway_mode=request.override_mesh_gateway.mode,
        protocol=request.override_protocol,
        connect_timeout_ns=request.override_connect_timeout,
    )
    reply = ChainReply(chain=compile_chain(query, server.store.config_entries.find))
    reply.meta.index = index
    return reply
