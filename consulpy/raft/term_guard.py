"""Refuses implausibly high terms: if they were adopted, no terms would remain for later elections.

A term is a number of 64 bits that every server takes over from any other. Real servers take each; after the last one
follows 0, in which there are no votes.
"""

from typing import TYPE_CHECKING, Final

from consulpy.raft.messages import NUMBER_MAX

if TYPE_CHECKING:
    from consulpy.raft.server import RaftServer

#: Maximum distance of a plausible term beyond ours: more elections than there can have been.
TERM_LEAP_MAX: Final = 1 << 32


class TermGuard:
    """Checks the terms that other servers send."""

    def __init__(self, raft: "RaftServer") -> None:
        self._raft = raft

    def admits(self, term: int, sender: str) -> bool:
        """Whether a term of this server can be true; if not, that is logged. `sender`: its address.

        A server without a log takes every term.
        """
        raft = self._raft
        if term <= (raft.term + TERM_LEAP_MAX if raft.log.last_index else NUMBER_MAX):
            return True
        why = f"{sender} is in term {term}, which no election led to from {raft.term}: refused"
        raft.complaints.about("term", why)
        return False
