"""A snapshot that stands where no entry is: an operator's restore or recovery, or a leader's snapshot after one.

A restore is stored by the leader before any other server has it (docs/wire/raft.md 10). If that leader is lost then,
the others elect one that never saw it, and commit other entries at its index. A server that comes back with such a
snapshot must neither go on from it nor count as having what the new leader wrote: a server of Consul 1.8.7 stays with
the restored state for ever. Here it gives the snapshot up and takes the new leader's log from its beginning. Until that
log is as long as what it gave up it votes as if it still had it, and does not stand: what it acknowledged before the
snapshot may be missing from it meanwhile.
"""

from typing import TYPE_CHECKING

from consulpy.raft.configuration import Configuration

if TYPE_CHECKING:
    from consulpy.raft.server import RaftServer


class Unconfirmed:
    """Term and index of the newest such snapshot, until an entry after it is committed; (0, 0) if there is none."""

    def __init__(self, raft: "RaftServer") -> None:
        self._raft = raft
        self.position = (0, 0)

    @property
    def is_in_force(self) -> bool:
        """Whether the state of this server is such a snapshot, and nothing after it is known to be committed."""
        log = self._raft.log
        return self.position != (0, 0) and self.position == (log.snapshot_term, log.snapshot_index)

    @property
    def is_missing(self) -> bool:
        """Whether such a snapshot was given up, and the log is still older than it was."""
        return self.position > (self._raft.log.last_term, self._raft.log.last_index)

    @property
    def vote_position(self) -> tuple[int, int]:
        """Term and index that a candidate's log must reach to get this server's vote."""
        return max(self.position, (self._raft.log.last_term, self._raft.log.last_index))

    def committed(self, index: int) -> None:
        """Entries up to `index` are committed, hence those before it as well."""
        if (self._raft.log.term(index) or 0, index) > self.position:
            self._raft.persistence.confirm(self.position[1], self.position[0])
            self.position = (0, 0)

    def gives_way(self, index: int, term: int) -> bool:
        """Whether the entry of the leader at `index` shows that the snapshot was never committed; it is given up then.

        Terms in a log never fall, and an elected leader has all that was committed.
        """
        own_term, own_index = self.position
        differs = term > own_term or (index == own_index and term != own_term)
        if not (self.is_in_force and index <= own_index and differs):
            return False
        raft = self._raft
        raft.observer.say(
            "warn",
            f"the snapshot up to {own_index}, restored in term {own_term}, was never committed, the leader has entry "
            f"{index} of term {term}: it is given up, and the leader's log taken from its beginning",
        )
        raft.persistence.discard_all()
        raft.configurations.replace(Configuration(), 0)
        raft.begin_again(index)
        return True
