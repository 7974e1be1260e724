"""Push/pull: two members exchange all that they know of all members, and the layer above its own state.

A dead member in somebody's state is only suspected here; one that left has left. Source: docs/wire/gossip.md 4.1.
"""

import math
from collections.abc import Iterable
from typing import Final

from consulpy.errors import MergeRefused
from consulpy.memberlist.members import Member, Members, State
from consulpy.memberlist.messages import Alive, Dead, NodeState, Suspect
from consulpy.memberlist.stream import PushPull, encode_nodes

#: Up to this many members push/pull happens every interval, then more rarely.
SCALE_FROM: Final = 32


def push_pull_scale(nodes: int) -> int:
    """By how much the interval grows: 1 up to 32 members, then ceil(log2(n) - log2(32)) + 1."""
    return 1 if nodes <= SCALE_FROM else math.ceil(math.log2(nodes) - math.log2(SCALE_FROM)) + 1


class StateExchange:
    """Our side of push/pulls: what we send (kept while nothing changes), and how what we got is merged."""

    def __init__(self, members: Members) -> None:
        self._members = members
        self._encoded: tuple[int, bytes, int] = (-1, b"", 0)

    def own_state(self) -> tuple[bytes, int]:
        """Our nodes, encoded, and how many they are."""
        members = self._members
        version, encoded, count = self._encoded
        if version != members.version:
            encoded = encode_nodes([_state_of(member) for member in members])
            count = len(members)
            self._encoded = (members.version, encoded, count)
        return encoded, count

    def check(self, remote: PushPull) -> None:
        """Raises `MergeRefused` if `remote`'s nodes speak versions that do not go with ours."""
        everybody = [*map(_state_of, self._members), *remote.nodes]
        alive = [node.vsn for node in everybody if node.state == State.ALIVE and len(node.vsn) >= 6]
        if not alive:
            return
        least, most = max(vsn[0] for vsn in alive), min(vsn[1] for vsn in alive)
        delegate_least, delegate_most = max(vsn[3] for vsn in alive), min(vsn[4] for vsn in alive)
        for node in everybody:
            vsn = node.vsn or (0,) * 6
            if not least <= vsn[2] <= most:
                raise MergeRefused(f"Node '{node.name}' protocol version ({vsn[2]}) is incompatible: [{least}, {most}]")
            if not delegate_least <= vsn[5] <= delegate_most:
                raise MergeRefused(
                    f"Node '{node.name}' delegate protocol version ({vsn[5]}) is incompatible: "
                    f"[{delegate_least}, {delegate_most}]"
                )

    def members_of(self, remote: PushPull, now_s: float) -> list[Member]:
        """The nodes of a push/pull as members, for the delegate's check."""
        return [
            Member(n.name, n.address, n.port, n.meta, n.vsn, n.incarnation, State(n.state), now_s) for n in remote.nodes
        ]

    def merge(self, nodes: Iterable[NodeState]) -> None:
        """Take what the other one knows."""
        members, me = self._members, self._members.config.name
        for node in nodes:
            known = members.by_name.get(node.name)
            if known is not None and _is_known(known, node):
                continue
            if node.state == State.ALIVE:
                members.alive(Alive(node.incarnation, node.name, node.address, node.port, node.meta, node.vsn))
            elif node.state == State.LEFT:
                members.dead(Dead(node.incarnation, node.name, node.name))
            else:
                members.suspect(Suspect(node.incarnation, node.name, me), "push/pull")


def _is_known(known: Member, node: NodeState) -> bool:
    """Whether merging `node` could change nothing: by far the most frequent case."""
    return (
        known.incarnation == node.incarnation
        and known.state == node.state == State.ALIVE
        and known.address == node.address
        and known.port == node.port
        and known.meta == node.meta
    )


def _state_of(member: Member) -> NodeState:
    return NodeState(
        member.name, member.address, member.port, member.meta, member.incarnation, int(member.state), member.vsn
    )
