"""What an agent says of itself: `/v1/agent/self`, `consul info`, the banner at its start."""

import dataclasses
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from consulpy import CONSUL_VERSION, VERSION
from consulpy.codec.secrets import HIDDEN, without_secrets
from consulpy.config.key import is_secret
from consulpy.config.schema import RuntimeConfig

if TYPE_CHECKING:
    from consulpy.agent.agent import Agent


def banner(config: RuntimeConfig) -> str:
    """What is printed when an agent starts."""
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


def self_report(agent: "Agent") -> dict[str, Any]:
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


def stats(agent: "Agent") -> dict[str, dict[str, str]]:
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
        sections["raft"] = _log(agent)
    if agent.wan is not None:
        sections["serf_wan"] = agent.wan.stats()
    return sections


def _consul(agent: "Agent") -> dict[str, str]:
    if agent.server is None:
        return {
            "acl": "disabled",
            "known_servers": str(len(agent.router.servers) if agent.router is not None else 0),
            "server": "false",
        }
    return {
        "acl": "disabled",
        "bootstrap": "true",
        "known_datacenters": "1",
        "leader": "true" if agent.server.is_leader else "false",
        "leader_addr": agent.server.leader_address,
        "server": "true",
    }


def _log(agent: "Agent") -> dict[str, str]:
    """The state log under the names of Raft's statistics, as far as they mean something for a single server."""
    assert agent.server is not None
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


def debug_config(config: RuntimeConfig) -> dict[str, Any]:
    """The configuration under Consul's names: our own keys in camel case, and those whose Consul names differ."""
    shown = {_go_name(name): value for name, value in _plain(config).items() if not isinstance(value, dict)}
    for room, prefix in (("dns_config", "DNS"), ("gossip_lan", "GossipLAN"), ("gossip_wan", "GossipWAN")):
        for name, value in _plain(getattr(config, room)).items():
            shown[prefix + _go_name(name)] = value
    for tokens in ("Agent", "AgentMaster", "Master", "Replication", ""):
        shown[f"ACL{tokens}Token"] = "hidden"
    ports = config.ports
    shown |= {
        "AdvertiseAddrLAN": config.advertise_addr,
        "AdvertiseAddrWAN": config.advertise_addr_wan,
        "ClientAddrs": list(config.client_addrs),
        "DNSDomain": config.domain,
        "DNSPort": ports.dns,
        "DNSRecursors": list(config.recursors),
        "EncryptKey": "hidden",
        "HTTPPort": ports.http,
        "HTTPSPort": ports.https,
        "KVMaxValueSize": config.limits.kv_max_value_size_bytes,
        "TxnMaxReqLen": config.limits.txn_max_req_len_bytes,
        "NodeMeta": dict(config.node_meta),
        "SerfPortLAN": ports.serf_lan,
        "SerfPortWAN": ports.serf_wan,
        "ServerMode": config.server,
        "ServerPort": ports.server,
        "TaggedAddresses": tagged_addresses(config),
        "Version": CONSUL_VERSION,
    }
    return {name: without_secrets(shown[name], name) for name in sorted(shown)}


def tagged_addresses(config: RuntimeConfig) -> dict[str, str]:
    """The agent's addresses by their names in the catalog."""
    found = {**config.tagged_addresses, "lan": config.advertise_addr, "wan": config.advertise_addr_wan}
    for name in ("lan", "wan"):
        found[f"{name}_ipv{6 if ':' in found[name] else 4}"] = found[name]
    return found


def _plain(settings: Any) -> dict[str, Any]:
    """A frozen dataclass as plain values; a secret one's is hidden."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if is_secret(field):
            value = HIDDEN
        if isinstance(value, Mapping):
            value = dict(value)
        elif isinstance(value, tuple):
            value = [dict(each) if isinstance(each, Mapping) else each for each in value]
        elif dataclasses.is_dataclass(value):
            continue
        found[field.name] = value
    return found


def _go_name(name: str) -> str:
    """`udp_answer_limit` -> `UDPAnswerLimit`."""
    words = {"udp": "UDP", "ttl": "TTL", "id": "ID", "dns": "DNS", "lan": "LAN", "wan": "WAN", "addr": "Addr", "s": ""}
    return "".join(words.get(part, part.capitalize()) for part in name.split("_"))


def host_report() -> dict[str, Any]:
    """`/v1/agent/host`: memory in bytes, processors, system, disk."""
    memory = {}
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, value = line.partition(":")
        memory[name] = int(value.split()[0]) * 1024
    disk = os.statvfs("/")
    total, free = disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize
    system = os.uname()
    return {
        "Memory": {"total": memory.get("MemTotal"), "available": memory.get("MemAvailable")},
        "CPU": [{"cpu": number} for number in range(os.cpu_count() or 1)],
        "Host": {"hostname": system.nodename, "os": sys.platform, "kernelVersion": system.release},
        "Disk": {"path": "/", "total": total, "free": free, "used": total - free},
        "CollectionTime": None,
        "Errors": None,
    }
