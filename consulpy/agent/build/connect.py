"""Connect of an agent, from its configuration: the certificate authority of a server, leaf certificates.

Its imports are costly: only agents with Connect import it.
"""

from random import Random
from typing import Any

from consulpy.agent.build.role import Role
from consulpy.agent.process.logs import reporter
from consulpy.agent.process.monotonic import wall_s
from consulpy.config.schema import RuntimeConfig
from consulpy.local.leaf_certificates import LeafCertificates, ReadRoots
from consulpy.rpc.connect.authority import Authority, initial_configuration
from consulpy.rpc.connect.interface import TlsOfServers
from consulpy.rpc.connect.secondary import SecondaryAuthority
from consulpy.rpc.primary_caller import PrimaryCaller
from consulpy.rpc.server import Server
from consulpy.structs.connect_ca import CARootsReply
from consulpy.structs.options import QueryOptions
from consulpy.structs.requests import SpecificRequest
from consulpy.tls.contexts import Tls

#: Wait of one blocking query for the roots, in nanoseconds.
_WAIT_NS = 10 * 60 * 10**9


def authority(config: RuntimeConfig, server: Server) -> Authority:
    """The certificate authority of a server."""
    settings = dict(config.connect.ca_config)
    cluster_id = str(settings.get("cluster_id", ""))
    initial = initial_configuration(config.connect.ca_provider, settings, cluster_id)
    say = reporter("connect.ca")
    if config.primary_datacenter == config.datacenter:
        return Authority(server, initial, say)
    primary = PrimaryCaller(lambda: server, config.primary_datacenter)
    return SecondaryAuthority(
        server, initial, say, config.primary_datacenter, primary.call, lambda: server.replication_token()
    )


def tls_of_servers(config: RuntimeConfig, tls: Tls) -> TlsOfServers:
    """TLS settings that servers send to agents which get their certificate by auto-encrypt."""
    return TlsOfServers(tls.manual_authorities, tls.settings.verify_server_hostname, config.domain)


def roots_reader(role: Role) -> ReadRoots:
    """Reads the CA's roots through the agent cache."""

    async def roots(datacenter: str, index: int) -> CARootsReply:
        options = QueryOptions(min_query_index=index, max_query_time=_WAIT_NS if index else 0)
        found = await role.cache.read("ConnectCA.Roots", SpecificRequest(datacenter=datacenter, options=options))
        reply: CARootsReply = found.reply
        return reply

    return roots


def leaf_certificates(role: Role, reactor: Any, rng: Random) -> LeafCertificates:
    """The leaf certificates of an agent."""
    return LeafCertificates(role.own_caller, roots_reader(role), reactor, wall_s, rng)
