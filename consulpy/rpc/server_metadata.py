"""Metadata of servers in gossip tags: decoding those of members, and this agent's own.

Source: docs/wire/gossip.md 9.2 and 9.3, docs/wire/rpc.md 8.
"""

import re
from collections.abc import Mapping
from typing import Final, Protocol

from consulpy import CONSUL_VERSION
from consulpy.codec.lazy_dataclass import dataclass
from consulpy.gocompat.duration import format_duration, parse_duration
from consulpy.serf.members import Member

_BUILD: Final = re.compile(r"\d+\.\d+\.\d+")
_WHOLE: Final = re.compile(r"[0-9]{1,9}")
_PORT_MAX: Final = 65535
#: Prefixes of tags that announce a feature (`ft_fs`), and an address in a network segment.
_FEATURE, _SEGMENT = "ft_", "sl_"
#: The tag of a member that is to be forgotten after a time of its own, as Go writes durations.
RECONNECT_TIMEOUT_TAG: Final = "rc_tm"
#: The server protocol that supports network coordinates.
COORDINATES_PROTOCOL: Final = 3


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """A Consul server, as its gossip tags describe it. Its name in the WAN pool is `node.dc`."""

    name: str
    address: str
    port: int
    datacenter: str
    id: str = ""
    build: tuple[int, int, int] = (0, 0, 0)
    version: int = 2
    version_min: int = 0
    version_max: int = 0
    raft_version: int = 0
    wan_join_port: int = 0
    bootstrap: bool = False
    expect: int = 0
    segment: str = ""
    use_tls: bool = False
    nonvoter: bool = False

    @property
    def rpc_address(self) -> str:
        """The address of its RPC listener, "ip:port"."""
        return host_port(self.address, self.port)

    @property
    def node_name(self) -> str:
        """The node name, without the datacenter of the WAN name."""
        return self.name.removesuffix(f".{self.datacenter}")

    @property
    def takes_coordinates(self) -> bool:
        """Whether it supports network coordinates."""
        return self.version_min <= COORDINATES_PROTOCOL <= self.version_max


def host_port(address: str, port: int) -> str:
    """ "ip:port", with brackets around an IPv6 address."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def server_of(member: Member) -> ServerInfo | None:
    """The server metadata of a member; None for a client, and for invalid tags.

    Real Consul accepts any integer, such as port 70000 or -1.
    """
    tags = member.tags
    if tags.get("role") != "consul":
        return None
    build = build_of(tags)
    try:
        port, version = _port(tags["port"]), _whole(tags["vsn"])
        optional = {name: _whole(tags[name]) for name in _OPTIONAL_NUMBERS if name in tags}
        if optional.get("wan_join_port"):
            _port(tags["wan_join_port"])
        for name, value in tags.items():
            if name.startswith(_FEATURE):
                _whole(value)
            elif name.startswith(_SEGMENT):
                _check_segment_address(value)
    except (KeyError, ValueError):
        return None
    if build is None:
        return None
    return ServerInfo(
        name=member.name,
        address=member.address,
        port=port,
        datacenter=tags.get("dc", ""),
        id=tags.get("id", ""),
        build=build,
        version=version,
        version_min=optional.get("vsn_min", 0),
        version_max=optional.get("vsn_max", 0),
        raft_version=optional.get("raft_vsn", 0),
        wan_join_port=optional.get("wan_join_port", 0),
        bootstrap="bootstrap" in tags,
        expect=optional.get("expect", 0),
        segment=tags.get("segment", ""),
        use_tls="use_tls" in tags,
        nonvoter="nonvoter" in tags or "read_replica" in tags,  # its name since Consul 1.9
    )


#: Tags that may be missing, but must be whole numbers where they are present.
_OPTIONAL_NUMBERS: Final = ("expect", "wan_join_port", "raft_vsn", "vsn_min", "vsn_max")


def _whole(text: str) -> int:
    if not _WHOLE.fullmatch(text):
        raise ValueError(text)
    return int(text)


def _port(text: str) -> int:
    port = _whole(text)
    if not 0 < port <= _PORT_MAX:
        raise ValueError(text)
    return port


def _check_segment_address(text: str) -> None:
    host, _, port = text.rpartition(":")
    if not host:
        raise ValueError(text)
    _port(port)


def build_of(tags: Mapping[str, str]) -> tuple[int, int, int] | None:
    """The version in the tag `build`; None without one."""
    found = _BUILD.search(tags.get("build", ""))
    if found is None:
        return None
    major, minor, patch = found.group().split(".")
    return int(major[:9]), int(minor[:9]), int(patch[:9])


# -- own tags


class Ports(Protocol):
    """Ports in the tags."""

    @property
    def server(self) -> int:
        """Server RPC."""

    @property
    def serf_wan(self) -> int:
        """WAN gossip."""


class AclSettings(Protocol):
    """Settings of access control in the tags."""

    @property
    def enabled(self) -> bool:
        """`acl.enabled`."""


def reap_after_s(tags: Mapping[str, str], limit_s: float) -> float:
    """Seconds after which a failed or left member is forgotten: its own time if it gossips one, else `limit_s`.

    Source: Consul's documentation of `advertise_reconnect_timeout` (since 1.9).
    """
    text = tags.get(RECONNECT_TIMEOUT_TAG)
    if text is None:
        return limit_s
    try:
        own_s = parse_duration(text)
    except ValueError:
        return limit_s
    return own_s if own_s > 0 else limit_s


class AgentSettings(Protocol):
    """Settings that are gossiped (of `config.schema.RuntimeConfig`)."""

    @property
    def datacenter(self) -> str:
        """The datacenter."""

    @property
    def node_id(self) -> str:
        """The node id, a UUID."""

    @property
    def server(self) -> bool:
        """Whether this is a server."""

    @property
    def bootstrap(self) -> bool:
        """-bootstrap."""

    @property
    def bootstrap_expect(self) -> int:
        """-bootstrap-expect; 1 is the same as -bootstrap."""

    @property
    def advertise_reconnect_timeout_s(self) -> float:
        """Seconds after which other members forget this one when it has failed; 0: their own setting."""

    @property
    def acl(self) -> AclSettings:
        """Access control."""

    @property
    def ports(self) -> Ports:
        """The ports."""

    @property
    def uses_tls(self) -> bool:
        """Whether servers are called over TLS."""


def agent_tags(agent: AgentSettings, *, wan: bool = False) -> dict[str, str]:
    """The tags of an agent, as those of Consul `CONSUL_VERSION`; `wan`: of a server in the WAN pool."""
    tags = {
        "role": "node",
        "dc": agent.datacenter,
        "segment": "",
        "id": agent.node_id,
        "vsn": "2",
        "vsn_min": "2",
        "vsn_max": "3",
        "build": f"{CONSUL_VERSION}:",
        "acls": "1" if agent.acl.enabled else "0",
    }
    if agent.advertise_reconnect_timeout_s:
        tags[RECONNECT_TIMEOUT_TAG] = format_duration(agent.advertise_reconnect_timeout_s)
    if not agent.server:
        return tags
    tags |= {"role": "consul", "port": str(agent.ports.server), "raft_vsn": "3", "ft_fs": "1"}
    if not wan and agent.ports.serf_wan > 0:
        tags["wan_join_port"] = str(agent.ports.serf_wan)
    if agent.bootstrap or agent.bootstrap_expect == 1:
        tags["bootstrap"] = "1"
    elif agent.bootstrap_expect > 1:
        tags["expect"] = str(agent.bootstrap_expect)
    if agent.uses_tls:
        tags["use_tls"] = "1"
    return tags
