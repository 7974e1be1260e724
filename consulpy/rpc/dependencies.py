"""Dependencies of a reply, recorded for the caches that keep it after the call."""

from consulpy.state.watch import WatchSet


class DependencySet(WatchSet):
    """The watched keys of the reads that are recorded, and the counters that they incremented: (name, labels)."""

    __slots__ = ("are_followed", "counts", "is_outdated")

    def __init__(self) -> None:
        super().__init__()
        self.counts: list[tuple[str, dict[str, str]]] = []
        #: Whether the reply takes several turns, in which changes are noticed; whether one of the keys changed.
        self.are_followed = self.is_outdated = False

    def outdate(self) -> None:
        """One of the keys changed."""
        self.is_outdated = True
