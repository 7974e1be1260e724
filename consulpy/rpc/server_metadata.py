"""What Consul reads from gossip members: who is a server, who may join; and the tags that we gossip ourselves.

Source: docs/wire/gossip.md 9.2 and 9.3, docs/wire/rpc.md 8.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from consulpy import CONSUL_VERSION
from consulpy.errors import MergeRefused
from consulpy.serf.members import Member, Status

_BUILD: Final = re.compile(r"\d+\.\d+\.\d+")
_WHOLE: Final = re.compile(r"[0-9]{1,9}")
_PORT_MAX: Final = 65535
#: Agents before this build made node ids that were not unique.
_UNIQUE_IDS_SINCE: Final = (0, 8, 5)
#: Prefixes of tags that announce a feature (`ft_fs`), and an address in a network segment.
_FEATURE, _SEGMENT = "ft_", "sl_"
#: The server protocol that knows network coordinates.
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
        """Where it answers calls, "ip:port"."""
        return host_port(self.address, self.port)

    @property
    def node_name(self) -> str:
        """Its name without the datacenter that it carries in the WAN pool."""
        return self.name.removesuffix(f".{self.datacenter}")

    @property
    def takes_coordinates(self) -> bool:
        """Whether coordinates may be sent to it."""
        return self.version_min <= COORDINATES_PROTOCOL <= self.version_max


def host_port(address: str, port: int) -> str:
    """ "ip:port", with brackets around an IPv6 address."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def server_of(member: Member) -> ServerInfo | None:
    """The server that a member is; None for a client, and for one whose tags have a value that means nothing.

    Real Consul takes any integer, as port 70000 or -1.
    """
    tags = member.tags
    if tags.get("role") != "consul":
        return None
    build = _build_of(tags)
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
        nonvoter="nonvoter" in tags,
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


def _build_of(tags: Mapping[str, str]) -> tuple[int, int, int] | None:
    found = _BUILD.search(tags.get("build", ""))
    if found is None:
        return None
    major, minor, patch = found.group().split(".")
    return int(major[:9]), int(minor[:9]), int(patch[:9])


# What we gossip ourselves


class Ports(Protocol):
    """The ports that are gossiped."""

    @property
    def server(self) -> int:
        """Server RPC."""

    @property
    def serf_wan(self) -> int:
        """WAN gossip."""


class AclFacts(Protocol):
    """Whether there is access control."""

    @property
    def enabled(self) -> bool:
        """`acl.enabled`."""


class AgentFacts(Protocol):
    """The part of an agent's configuration that is gossiped (`config.schema.RuntimeConfig` has it)."""

    @property
    def datacenter(self) -> str:
        """Our datacenter."""

    @property
    def node_id(self) -> str:
        """Our UUID."""

    @property
    def server(self) -> bool:
        """Whether we are a server."""

    @property
    def bootstrap(self) -> bool:
        """-bootstrap."""

    @property
    def bootstrap_expect(self) -> int:
        """-bootstrap-expect; 1 is the same as -bootstrap."""

    @property
    def acl(self) -> AclFacts:
        """Access control."""

    @property
    def ports(self) -> Ports:
        """Our ports."""

    @property
    def uses_tls(self) -> bool:
        """Whether servers are called over TLS."""


def agent_tags(agent: AgentFacts, *, wan: bool = False) -> dict[str, str]:
    """The tags of a real agent of the version that we speak; `wan`: those of a server in the WAN pool."""
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
    if not agent.server:
        return tags
    tags |= {"role": "consul", "port": str(agent.ports.server), "raft_vsn": "3", "ft_fs": "1"}
    if not wan:
        tags["wan_join_port"] = str(agent.ports.serf_wan)
    if agent.bootstrap or agent.bootstrap_expect == 1:
        tags["bootstrap"] = "1"
    elif agent.bootstrap_expect > 1:
        tags["expect"] = str(agent.bootstrap_expect)
    if agent.uses_tls:
        tags["use_tls"] = "1"
    return tags


# Who may join

Check = Callable[[Sequence[Member]], None]


class Known(Protocol):
    """The members that a pool has (`consulpy.serf.membership.NameHolders`); names and ids in whatever capitals."""

    def find_by_name(self, name: str) -> Member | None:
        """The member of a name."""

    def find_by_node_id(self, node_id: str) -> Member | None:
        """The member with an id."""


class Nobody:
    """No members yet."""

    def find_by_name(self, name: str) -> Member | None:  # noqa: ARG002
        """Nobody."""
        return None

    def find_by_node_id(self, node_id: str) -> Member | None:  # noqa: ARG002
        """Nobody."""
        return None


def check_lan_merge(
    node_name: str,
    node_id: str,
    address: str,
    datacenter: str,
    *,
    segment: str = "",
    known: Callable[[], Known] = Nobody,
) -> Check:
    """The check of members that want into our LAN pool (a join's whole list, or one alive message).

    `known` gives the members that we have. The check raises `MergeRefused` with Consul's texts. One rule is ours: a
    *name* or an *id* that a live member has is not given to another node at another address. Real Consul lets both
    fight for it, with neither operator being told; and as it tells names apart by capitals in gossip, but not in its
    catalog and DNS, anybody can have a member's entries with its name in other capitals.
    """
    own = Member(node_name, address, tags={"id": node_id}, status=Status.ALIVE)

    def check(members: Sequence[Member]) -> None:
        ours = known()
        by_id: dict[str, Member] = {}
        for member in members:
            if member.status is not Status.LEFT:
                _check_id(member, own, by_id)
            _check_place(member, datacenter, segment)
        for member in members:
            _check_holders(member, own, ours, is_alone=len(members) == 1)

    return check


def _check_id(member: Member, own: Member, by_id: dict[str, Member]) -> None:
    """No two members have one id."""
    member_id = member.tags.get("id", "")
    if not member_id:
        return
    if member_id == own.tags["id"] and member.name != own.name:
        raise MergeRefused(f"Member '{member.name}' has conflicting node ID '{member_id}' with this agent's ID")
    other = by_id.setdefault(member_id, member)
    if other is not member and other.name != member.name and _has_unique_id(other) and _has_unique_id(member):
        raise MergeRefused(f"Member '{member.name}' has conflicting node ID '{member_id}' with member '{other.name}'")


def _has_unique_id(member: Member) -> bool:
    build = _build_of(member.tags)
    return build is not None and build >= _UNIQUE_IDS_SINCE


def _check_holders(member: Member, own: Member, known: Known, *, is_alone: bool) -> None:
    """A name and an id stay with who has them while that one lives; a dead one's may be taken over.

    In a list of several only exactly the same names have the whole join refused: real agents may have let in what we
    leave out later, one by one.
    """
    if member.is_gone:
        return
    holder = own if member.name.lower() == own.name.lower() else known.find_by_name(member.name)
    if holder is not None and not is_alone and member.name != holder.name:
        return
    if holder is not None and holder.status is Status.ALIVE and _are_two(member, holder):
        raise MergeRefused(
            f"{_described(member)} has the name of a live member at {holder.address} "
            f"(node ID '{holder.tags.get('id', '')}'): give one of them another node_name"
        )
    holder = _holder_of_id(member, own, known) if is_alone else None
    if holder is not None and holder.name != member.name and holder.status is Status.ALIVE:
        raise MergeRefused(
            f"{_described(member)} has the node ID of a live member, '{holder.name}' at {holder.address}"
        )


def _holder_of_id(member: Member, own: Member, known: Known) -> Member | None:
    """Who else has the id of a member. One who is at the same address is the same agent under its last name."""
    member_id = member.tags.get("id", "").lower()
    if member_id and member_id == own.tags["id"].lower():
        return own
    holder = known.find_by_node_id(member_id)
    is_other = holder is not None and holder.address != member.address and _has_unique_id(holder)
    return holder if is_other else None


def _are_two(member: Member, holder: Member) -> bool:
    """Whether a member with the name of `holder`, in whatever capitals, is somebody else."""
    theirs, id_ = holder.tags.get("id", "").lower(), member.tags.get("id", "").lower()
    if member.name != holder.name:
        return not id_ or id_ != theirs or holder.address != member.address
    return bool(id_ and theirs) and id_ != theirs and holder.address != member.address


def _described(member: Member) -> str:
    return f"Member '{member.name}' at {member.address} (node ID '{member.tags.get('id', '')}')"


def _check_place(member: Member, datacenter: str, segment: str) -> None:
    server = server_of(member)
    if server is None and member.tags.get("role") != "node":
        return  # a plain Serf agent is let in, and never enters the catalog
    theirs = member.tags.get("dc", "")
    if theirs != datacenter:
        raise MergeRefused(f"Member '{member.name}' part of wrong datacenter '{theirs}'")
    if member.tags.get("segment", "") != segment:
        raise MergeRefused(
            f"Member '{member.name}' part of wrong segment '{member.tags.get('segment', '')}' (expected '{segment}')"
        )


def check_wan_merge(members: Sequence[Member]) -> None:
    """The check of members that want into a WAN pool: servers only. Raises `MergeRefused` with Consul's text."""
    for member in members:
        if server_of(member) is None:
            raise MergeRefused(f"Member '{member.name}' is not a server")


def wan_merge_check(name: str, node_id: str, address: str, *, known: Callable[[], Known] = Nobody) -> Check:
    """The check of members that want into our WAN pool, where we are `name`: as `check_lan_merge`'s, for servers."""
    own = Member(name, address, tags={"id": node_id}, status=Status.ALIVE)

    def check(members: Sequence[Member]) -> None:
        check_wan_merge(members)
        ours = known()
        for member in members:
            _check_holders(member, own, ours, is_alone=len(members) == 1)

    return check
