"""The listeners of an agent for other agents and for DNS clients, from its configuration."""

from random import Random
from typing import Any

from consulpy.agent.build import settings
from consulpy.agent.build.cache_validators import of_cache, of_state
from consulpy.agent.build.role import Role
from consulpy.agent.process.monotonic import wall_clock
from consulpy.config.schema import RuntimeConfig
from consulpy.connections import ConnectionTable
from consulpy.dns.config import DnsConfig
from consulpy.dns.transport import DnsService
from consulpy.local.access import AgentAccess
from consulpy.local.tokens import AgentTokens
from consulpy.rpc.cache.tag import Validator
from consulpy.rpc.net import RpcService
from consulpy.rpc.server import Server
from consulpy.tls.contexts import Tls


def rpc_listener(
    config: RuntimeConfig, reactor: Any, server: Server, role: Role, tls: Tls, connections: ConnectionTable
) -> RpcService:
    """Port 8300 of a server: RPC, and Raft if it is of a quorum. `connections`: those of all clients."""
    rpc = RpcService(
        reactor,
        config.bind_addr,
        config.ports.server,
        server,
        connections_per_client=config.limits.rpc_max_conns_per_client,
        handshake_timeout_s=config.limits.rpc_handshake_timeout_s,
        tls=tls,
        connections=connections,
    )
    if role.quorum is not None:
        rpc.factory.raft = role.quorum.stream
    return rpc


def dns_listener(
    config: RuntimeConfig,
    reactor: Any,
    rng: Random,
    role: Role,
    access: AgentAccess,
    tokens: AgentTokens,
    connections: ConnectionTable,
) -> DnsService:
    """DNS over UDP and TCP. `connections`: those of all clients."""

    def config_now() -> DnsConfig:
        return dns.config

    if role.server is None:
        validator: Validator = of_cache(role.cache, config_now, access)
    else:
        validator = of_state(role.server, config_now, tokens)
    dns = DnsService(
        reactor,
        settings.dns(config),
        role.caller,
        rng=rng,
        validator=validator,
        wall_s=wall_clock(reactor),
        connections=connections,
        token=lambda: tokens.dns,
    )
    return dns
