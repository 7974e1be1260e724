"""Detects the leader's death by its connections (docs/wire/raft.md 23.3)."""

from collections.abc import Callable

from consulpy.raft.stream import RaftStream


class LeaderWatch:
    """Detects the end of the leader's program.

    `leader()`: the address of the leader that is known. `refuses(address, answered)`: dials and says whether the
    connection was refused. `died(address)`: called then.
    """

    def __init__(
        self,
        leader: Callable[[], str],
        refuses: Callable[[str, Callable[[bool], None]], None],
        died: Callable[[str], None],
    ) -> None:
        self._leader = leader
        self._refuses = refuses
        self._died = died
        self._streams: set[RaftStream] = set()

    def opened(self, stream: RaftStream) -> None:
        """A server opened a connection."""
        self._streams.add(stream)

    def lost(self, stream: RaftStream) -> None:
        """A connection was closed. If it was the leader's last one, and new ones are refused, the leader is dead."""
        self._streams.discard(stream)
        leader = stream.leader
        if leader and leader == self._leader() and not any(each.leader == leader for each in self._streams):
            self._refuses(leader, lambda refused: self._died(leader) if refused else None)
