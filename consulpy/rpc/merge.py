"""Merge checks: which members may join the gossip pools.

Source: docs/wire/gossip.md 9.2 and 9.3; Consul's `merge.go`.
"""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from consulpy.errors import MergeRefused
from consulpy.rpc.server_metadata import build_of, server_of
from consulpy.serf.members import Member, Status

#: Agents before this build have node ids that are not unique.
_UNIQUE_IDS_SINCE: Final = (0, 8, 5)
#: The default port of LAN gossip.
LAN_PORT: Final = 8301

Check = Callable[[Sequence[Member]], None]


class MemberLookup(Protocol):
    """Looks up the members of a pool, case-insensitively (`consulpy.serf.membership.NameHolders`)."""

    def find_by_name(self, name: str) -> Member | None:
        """The member with a name."""

    def find_by_node_id(self, node_id: str) -> Member | None:
        """The member with an id."""


class NoMembers:
    """A pool without members."""

    def find_by_name(self, name: str) -> Member | None:  # noqa: ARG002
        """None."""
        return None

    def find_by_node_id(self, node_id: str) -> Member | None:  # noqa: ARG002
        """None."""
        return None


def check_lan_merge(
    node_name: str,
    node_id: str,
    address: str,
    datacenter: str,
    *,
    segment: str = "",
    known: Callable[[], MemberLookup] = NoMembers,
) -> Check:
    """The merge check of the LAN pool: for the member list of a join, or one alive message.

    `known()`: the current members. The check raises `MergeRefused` with Consul's texts. One rule is not Consul's: the
    name or id of a live member is not given to another node at another address. In real Consul both nodes
    contend for it, and neither operator is notified; and as gossip compares names by case, but catalog and DNS do not,
    a node can take over a member's entries with its name in other capitals.
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
    """Refuse two members with one id."""
    member_id = member.tags.get("id", "")
    if not member_id:
        return
    if member_id == own.tags["id"] and member.name != own.name:
        text = f"Member '{member.name}' has conflicting node ID '{member_id}' with this agent's ID"
        raise _id_refused(text, member, own)
    other = by_id.setdefault(member_id, member)
    if other is not member and other.name != member.name and _has_unique_id(other) and _has_unique_id(member):
        text = f"Member '{member.name}' has conflicting node ID '{member_id}' with member '{other.name}'"
        raise _id_refused(text, member, other)


def _id_refused(text: str, member: Member, holder: Member) -> MergeRefused:
    ours, theirs = (f"{each.name} at {each.address}" for each in (holder, member))
    return MergeRefused(text, "node-id-conflict", ours, theirs)


def _has_unique_id(member: Member) -> bool:
    build = build_of(member.tags)
    return build is not None and build >= _UNIQUE_IDS_SINCE


def _check_holders(member: Member, own: Member, known: MemberLookup, *, is_alone: bool) -> None:
    """Refuse the name or id of another live member; those of a dead one may be taken over.

    In a list only exactly equal names refuse the whole join: real agents may have admitted
    members that this agent refuses later, one by one.
    """
    if member.is_gone:
        return
    holder = own if member.name.lower() == own.name.lower() else known.find_by_name(member.name)
    if holder is not None and not is_alone and member.name != holder.name:
        return
    if holder is not None and holder.status is Status.ALIVE and _are_two(member, holder):
        raise MergeRefused(
            f"{_described(member)} has the name of a live member at {holder.address} "
            f"(node ID '{holder.tags.get('id', '')}'): give one of them another node_name",
            "name-conflict",
            f"{holder.name} at {holder.address}",
            f"{member.name} at {member.address}",
        )
    holder = _holder_of_id(member, own, known) if is_alone else None
    if holder is not None and holder.name != member.name and holder.status is Status.ALIVE:
        text = f"{_described(member)} has the node ID of a live member, '{holder.name}' at {holder.address}"
        raise _id_refused(text, member, holder)


def _holder_of_id(member: Member, own: Member, known: MemberLookup) -> Member | None:
    """Another member with the id of `member`. One at the same address is the same agent, renamed."""
    member_id = member.tags.get("id", "").lower()
    if member_id and member_id == own.tags["id"].lower():
        return own
    holder = known.find_by_node_id(member_id)
    is_other = holder is not None and holder.address != member.address and _has_unique_id(holder)
    return holder if is_other else None


def _are_two(member: Member, holder: Member) -> bool:
    """Whether a member with the name of `holder` (case-insensitively) is another node."""
    theirs, id_ = holder.tags.get("id", "").lower(), member.tags.get("id", "").lower()
    if member.name != holder.name:
        return not id_ or id_ != theirs or holder.address != member.address
    return bool(id_ and theirs) and id_ != theirs and holder.address != member.address


def _described(member: Member) -> str:
    return f"Member '{member.name}' at {member.address} (node ID '{member.tags.get('id', '')}')"


def _check_place(member: Member, datacenter: str, segment: str) -> None:
    server = server_of(member)
    if server is None and member.tags.get("role") != "node":
        return  # a plain Serf agent may join; it is not in the catalog
    theirs = member.tags.get("dc", "")
    if theirs != datacenter:
        text = f"Member '{member.name}' part of wrong datacenter '{theirs}'"
        raise MergeRefused(text, "wrong-datacenter", datacenter, theirs)
    if member.tags.get("segment", "") != segment:
        raise MergeRefused(
            f"Member '{member.name}' part of wrong segment '{member.tags.get('segment', '')}' (expected '{segment}')"
        )


def check_lan_join(members: Sequence[Member]) -> None:
    """The check of a pool joined as a LAN: raises `MergeRefused` for a WAN pool of servers.

    The other side refuses a client without an answer, and a server would merge both pools. Real Consul joins it.
    """
    here = [member for member in members if not member.is_gone]
    if here and all(map(is_wan_name, here)):
        raise MergeRefused(f"Member '{here[0].name}' is of the WAN pool, join the LAN port (8301)", "wan-port")


def is_wan_name(member: Member) -> bool:
    """Whether a member is a server under its name in the WAN pool, NAME.DATACENTER.

    A LAN server without a WAN pool may have such a name too: one at the usual LAN port does not count.
    """
    tags = member.tags
    if member.port == LAN_PORT:
        return False
    named = bool(tags.get("dc")) and member.name.endswith(f".{tags.get('dc')}")
    return named and tags.get("role") == "consul" and "wan_join_port" not in tags


def check_wan_merge(members: Sequence[Member]) -> None:
    """The check of a WAN pool: servers only. Raises `MergeRefused` with Consul's text."""
    for member in members:
        if server_of(member) is None:
            raise MergeRefused(f"Member '{member.name}' is not a server")


def wan_merge_check(name: str, node_id: str, address: str, *, known: Callable[[], MemberLookup] = NoMembers) -> Check:
    """The merge check of the WAN pool, for the server `name`: as `check_lan_merge`, and servers only."""
    own = Member(name, address, tags={"id": node_id}, status=Status.ALIVE)

    def check(members: Sequence[Member]) -> None:
        check_wan_merge(members)
        ours = known()
        for member in members:
            _check_holders(member, own, ours, is_alone=len(members) == 1)

    return check
