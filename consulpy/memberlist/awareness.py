"""Lifeguard's local health: how much we doubt ourselves, 0 (healthy) to `most - 1`. Source: docs/wire/gossip.md 5.6."""


class Awareness:
    """A score that failed probes and accusations raise, and good probes lower."""

    __slots__ = ("_most", "score")

    def __init__(self, most: int) -> None:
        self._most = most
        self.score = 0

    def apply(self, delta: int) -> None:
        """Change the score within its bounds."""
        self.score = min(max(self.score + delta, 0), self._most - 1)

    def scale_s(self, interval_s: float) -> float:
        """A probe interval, longer the less we trust ourselves."""
        return interval_s * (self.score + 1)
