"""Push/pull: two members exchange all that they know of all members, and the layer above its own state.

A dead member in somebody's state is only suspected here; one that left has left. Source: docs/wire/gossip.md 4.1.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Final

from consulpy.errors import MergeRefused
from consulpy.memberlist.member import Member, State
from consulpy.memberlist.members import Members
from consulpy.memberlist.messages import Alive, Dead, NodeState, Suspect, encode_node
from consulpy.memberlist.stream import PushPull

#: Up to this many members push/pull happens every interval, then more rarely.
SCALE_FROM: Final = 32


def push_pull_scale(nodes: int) -> int:
    """By how much the interval grows: 1 up to 32 members, then ceil(log2(n) - log2(32)) + 1."""
    return 1 if nodes <= SCALE_FROM else math.ceil(math.log2(nodes) - math.log2(SCALE_FROM)) + 1


class _Versions:
    """Which versions there are among members: of all, and of those that are alive."""

    __slots__ = ("alive", "all")

    def __init__(self, nodes: Sequence[Member | NodeState] = ()) -> None:
        self.all = {node.vsn for node in nodes}
        self.alive = {node.vsn for node in nodes if node.state == State.ALIVE}


class StateExchange:
    """Our side of push/pulls: what we send, and how what we got is merged."""

    def __init__(self, members: Members) -> None:
        self._members = members
        #: The versions of our members and who has them, for the membership's version in front.
        self._versions: tuple[int, _Versions] = (-1, _Versions())

    def own_state(self) -> tuple[bytes, int]:
        """Our nodes, encoded, and how many they are."""
        encoded = [
            encode_node(each.name, each.address, each.port, each.meta, each.incarnation, each.state, each.vsn)
            for each in self._members
        ]
        return b"".join(encoded), len(encoded)

    def check(self, remote: PushPull) -> None:
        """Raises `MergeRefused` if `remote`'s nodes speak versions that do not go with ours."""
        if self._versions[0] != self._members.version:
            self._versions = (self._members.version, _Versions(self._members.order))
        ours, theirs = self._versions[1], _Versions(remote.nodes)
        alive = [vsn for vsn in ours.alive | theirs.alive if len(vsn) >= 6]
        if not alive:
            return
        least, most = max(vsn[0] for vsn in alive), min(vsn[1] for vsn in alive)
        delegate_least, delegate_most = max(vsn[3] for vsn in alive), min(vsn[4] for vsn in alive)
        for versions in ours.all | theirs.all:
            vsn = versions or (0,) * 6
            if least <= vsn[2] <= most and delegate_least <= vsn[5] <= delegate_most:
                continue
            name = next(node.name for node in (*remote.nodes, *self._members) if node.vsn == versions)
            if not least <= vsn[2] <= most:
                raise MergeRefused(f"Node '{name}' protocol version ({vsn[2]}) is incompatible: [{least}, {most}]")
            raise MergeRefused(
                f"Node '{name}' delegate protocol version ({vsn[5]}) is incompatible: "
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
        and known.vsn == node.vsn
    )
