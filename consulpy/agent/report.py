"""Reports of an agent: `/v1/agent/self`, `consul info`, and the banner at its start."""

import os
import platform
import sys
from typing import TYPE_CHECKING, Any, Protocol

from consulpy import CONSUL_VERSION, VERSION
from consulpy.agent.debug_config import debug_config
from consulpy.config.schema import RuntimeConfig
from consulpy.local.state import LocalState
from consulpy.rpc.router import Router
from consulpy.rpc.server import Server
from consulpy.serf.machine import Serf

if TYPE_CHECKING:
    from consulpy.agent.build.quorum import QuorumServer


class ReportedAgent(Protocol):
    """The parts of an agent that its reports read."""

    config: RuntimeConfig

    @property
    def lan(self) -> Serf:
        """The LAN pool."""

    @property
    def wan(self) -> Serf | None:
        """The WAN pool of a server."""

    @property
    def local(self) -> LocalState:
        """The services and checks of the agent."""

    @property
    def server(self) -> Server | None:
        """The RPC server; None on a client."""

    @property
    def quorum(self) -> "QuorumServer | None":
        """Raft of a server; None on a client, and on a single server without Raft."""

    @property
    def router(self) -> Router | None:
        """The servers that a client knows."""

    @property
    def node_meta(self) -> dict[str, str]:
        """The metadata of this node in the catalog."""


def banner(config: RuntimeConfig) -> str:
    """The text that an agent prints at its start, before its log."""
    segment = "<all>" if config.server else ""
    bootstrap = config.server and (config.bootstrap or config.bootstrap_expect == 1)
    ports = config.ports
    yes = {True: "true", False: "false"}
    return f"""==> Starting consulpy agent...
           Version: '{VERSION}' (speaks Consul {CONSUL_VERSION})
           Node ID: '{config.node_id}'
         Node name: '{config.node_name}'
        Datacenter: '{config.datacenter}' (Segment: '{segment}')
            Server: {yes[config.server]} (Bootstrap: {yes[bootstrap]})
       Client Addr: [{" ".join(config.client_addrs)}] (HTTP: {ports.http}, HTTPS: {ports.https}, DNS: {ports.dns})
      Cluster Addr: {config.advertise_addr} (LAN: {ports.serf_lan}, WAN: {ports.serf_wan})
           Encrypt: Gossip: {yes[bool(config.encrypt)]}

==> Log data will now stream in as it occurs:
"""


def self_report(agent: ReportedAgent) -> dict[str, Any]:
    """`/v1/agent/self`."""
    config = agent.config
    coordinate = agent.lan.coordinate()
    return {
        "Config": {
            "Datacenter": config.datacenter,
            "NodeName": config.node_name,
            "NodeID": config.node_id,
            "Revision": "",
            "Server": config.server,
            "Version": CONSUL_VERSION,
        },
        "DebugConfig": debug_config(config),
        "Coord": coordinate.to_json() if coordinate is not None else None,
        "Member": agent.lan.local_member.to_json(),
        "Stats": stats(agent),
        "Meta": agent.node_meta,
    }


def stats(agent: ReportedAgent) -> dict[str, dict[str, str]]:
    """`consul info`: sections of names and values, all of them text."""
    checks = agent.local.checks
    kinds = [agent.local.type_of(check_id) for check_id in checks]
    sections = {
        "agent": {
            "check_monitors": str(sum(kind is not None and bool(kind.script_args) for kind in kinds)),
            "check_ttls": str(sum(kind is not None and bool(kind.ttl) for kind in kinds)),
            "checks": str(len(checks)),
            "services": str(len(agent.local.services)),
        },
        "build": {"prerelease": "", "revision": "", "version": CONSUL_VERSION},
        "consul": _consul(agent),
        "runtime": {
            "arch": {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine()),
            "cpu_count": str(os.cpu_count()),
            "os": sys.platform,
            "program": f"consulpy {VERSION}",
            "version": f"python{platform.python_version()}",
        },
        "serf_lan": agent.lan.stats(),
    }
    if agent.server is not None:
        sections["raft"] = _raft(agent)
    if agent.wan is not None:
        sections["serf_wan"] = agent.wan.stats()
    return dict(sorted(sections.items()))


def _consul(agent: ReportedAgent) -> dict[str, str]:
    if agent.server is None:
        return {
            "acl": "enabled" if agent.config.acl.enabled else "disabled",
            "known_servers": str(len(agent.router.servers) if agent.router is not None else 0),
            "server": "false",
        }
    return {
        "acl": "enabled" if agent.config.acl.enabled else "disabled",
        "bootstrap": "true" if agent.config.bootstrap else "false",
        "known_datacenters": "1",
        "leader": "true" if agent.server.is_leader else "false",
        "leader_addr": agent.server.leader_address,
        "server": "true",
    }


def _raft(agent: ReportedAgent) -> dict[str, str]:
    """Section `raft`; without Raft, the indexes of the state log under the same names."""
    assert agent.server is not None
    if agent.quorum is not None:
        return agent.quorum.stats()
    index = str(agent.server.store.index)
    return {
        "applied_index": index,
        "commit_index": index,
        "last_contact": "0",
        "last_log_index": index,
        "num_peers": "0",
        "protocol_version": "3",
        "state": "Leader" if agent.server.is_leader else "Follower",
    }


def timeline(lan: Serf, name: str, to_wall_s: float) -> list[dict[str, Any]] | None:
    """Events of a LAN member; None for an unknown one. `to_wall_s`: seconds from monotonic to wall time."""
    events = lan.timeline(name)
    shown = [event.to_json() | {"At": event.at_s + to_wall_s} for event in events]
    return shown if events or name in lan.members else None


def latest_changes(lan: Serf, most: int, to_wall_s: float) -> list[dict[str, Any]]:
    """The newest event of each of the `most` LAN members that changed last, newest first."""
    found = lan.memberlist.timeline.latest(most)
    return [{"Name": name} | event.to_json() | {"At": event.at_s + to_wall_s} for name, event in found]
