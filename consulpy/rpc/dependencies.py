"""Dependencies of a reply, recorded for the caches that keep it after the call."""

from consulpy.state.watch import WatchSet


class DependencySet(WatchSet):
    """The watched keys of the reads that are recorded, and the counters that they incremented: (name, labels)."""

    __slots__ = ("counts",)

    def __init__(self) -> None:
        super().__init__()
        self.counts: list[tuple[str, dict[str, str]]] = []
