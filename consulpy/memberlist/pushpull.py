"""Push/pull: two members exchange their member lists and the delegate's state.

A dead member in a peer's list is only suspected; a left one is left. Source: docs/wire/gossip.md 4.1.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Final

from consulpy.errors import MergeRefused
from consulpy.memberlist.member import Member, State
from consulpy.memberlist.members import Members
from consulpy.memberlist.messages import Alive, Dead, Suspect
from consulpy.memberlist.node_state import NodeState, node_of
from consulpy.memberlist.stream import PushPull

#: Number of members up to which push/pull happens in every interval.
SCALE_FROM: Final = 32


def push_pull_scale(nodes: int) -> int:
    """Factor by which the push/pull interval grows: 1 up to 32 members, then ceil(log2(n) - log2(32)) + 1."""
    return 1 if nodes <= SCALE_FROM else math.ceil(math.log2(nodes) - math.log2(SCALE_FROM)) + 1


class _Versions:
    """Protocol versions among members: of all, and of the alive ones."""

    __slots__ = ("alive", "all")

    def __init__(self, nodes: Sequence[Member | NodeState] = ()) -> None:
        self.all: set[tuple[int, ...]] = set()
        self.alive: set[tuple[int, ...]] = set()
        last: tuple[int, ...] | None = None
        for node in nodes:
            vsn, is_alive = node.vsn, node.state == State.ALIVE
            if vsn is last and is_alive:  # nearly all are alive, and of one version
                continue
            self.all.add(vsn)
            if is_alive:
                self.alive.add(vsn)
                last = vsn


class PushPullState:
    """The local side of push/pulls: encodes our member list, checks and merges those of peers."""

    def __init__(self, members: Members) -> None:
        self._members = members
        #: Cached: the member list's version and the protocol versions in it.
        self._versions: tuple[int, _Versions] = (-1, _Versions())

    def own_state(self) -> tuple[bytes, int]:
        """Our encoded nodes, and their number."""
        encoded = [(each.node or node_of(each)).encode() for each in self._members]
        return b"".join(encoded), len(encoded)

    def check(self, remote: PushPull) -> None:
        """Raises `MergeRefused` if `remote`'s nodes speak protocol versions incompatible with ours."""
        if self._versions[0] != self._members.version:
            self._versions = (self._members.version, _Versions(self._members.probe_order))
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
        """The nodes of a push/pull as members, for the delegate's check. `now_s`: the clock's seconds."""
        return [
            Member(n.name, n.address, n.port, n.meta, n.vsn, n.incarnation, State(n.state), now_s) for n in remote.nodes
        ]

    def merge(self, nodes: Iterable[NodeState]) -> None:
        """Merge nodes of a peer's member list."""
        members, me = self._members, self._members.config.name
        for node in nodes:
            known = members.by_name.get(node.name)
            if known is not None:
                if known.node is node and not node.state:  # alive
                    continue
                if _is_known(known, node):
                    known.node = node
                    continue
            if node.state == State.ALIVE:
                members.handle_alive(Alive(node.incarnation, node.name, node.address, node.port, node.meta, node.vsn))
            elif node.state == State.LEFT:
                members.handle_dead(Dead(node.incarnation, node.name, node.name))
            else:
                members.handle_suspect(Suspect(node.incarnation, node.name, me), "push/pull")


def _is_known(known: Member, node: NodeState) -> bool:
    """Fast path: whether merging `node` changes nothing, by far the most frequent case."""
    return (
        known.incarnation == node.incarnation
        and known.state == node.state == State.ALIVE
        and known.address == node.address
        and known.port == node.port
        and known.meta == node.meta
        and known.vsn == node.vsn
    )
