"""Lifeguard's local health multiplier: the local node's score, 0 (healthy) to `max_score - 1`. Source:
docs/wire/gossip.md 5.6.
"""


class Awareness:
    """The local health score: raised by failed probes and by refutations, lowered by successful probes."""

    __slots__ = ("_max_score", "score")

    def __init__(self, max_score: int) -> None:
        self._max_score = max_score
        self.score = 0

    def apply(self, delta: int) -> None:
        """Add `delta` to the score, within its bounds."""
        self.score = min(max(self.score + delta, 0), self._max_score - 1)

    def scale_s(self, interval_s: float) -> float:
        """A probe interval in seconds, multiplied by the score plus one."""
        return interval_s * (self.score + 1)
