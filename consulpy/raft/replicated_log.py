"""The log of commands of a server that is one of a quorum: the same `submit` as a single server's."""

from collections.abc import Callable
from typing import Any, Final

from consulpy.errors import NoLeader
from consulpy.metrics.registry import NOTHING, Measures
from consulpy.raft.interfaces import NotLeader
from consulpy.raft.machine import Raft
from consulpy.raft.messages import BARRIER
from consulpy.state.commands import Barrier, Command, Configuration, Noop
from consulpy.state.log import Done
from consulpy.state.store import Store

#: Commands that only stand for what the machine writes by itself.
_WRITTEN_ANYWAY: Final = (Configuration.TYPE, Noop.TYPE)


class ReplicatedLog:
    """A `consulpy.state.log.Log` that a quorum stores. `raft` is set before anything is submitted.

    `seconds`: the clock of `metrics`.
    """

    raft: Raft

    def __init__(self, store: Store, metrics: Measures = NOTHING, seconds: Callable[[], float] = lambda: 0.0) -> None:
        self.store = store
        self._metrics = metrics
        self._seconds = seconds

    def submit(self, command: Command, done: Done) -> None:
        """See `Log.submit`. `NoLeader`: nothing happened; "leadership lost": it may happen later, or never."""

        began_s = self._seconds()

        def finished(result: Any) -> None:
            self._metrics.sample("raft.commitTime", 1000 * (self._seconds() - began_s))
            done(NoLeader() if isinstance(result, NotLeader) else result)

        if command.TYPE in _WRITTEN_ANYWAY:
            done(None)
        elif command.TYPE == Barrier.TYPE:
            self.raft.propose_entry(BARRIER, None, finished)
        else:
            self._metrics.incr("raft.apply")
            self.raft.propose(command.encode(sparse=self.raft.is_alone), finished)

    def restore(self, new: Store, done: Done) -> None:
        """See `Log.restore`; done once a majority has it."""

        def finished(result: Any) -> None:
            done(NoLeader() if isinstance(result, NotLeader) else result)

        self.raft.snapshots.restore(new, finished, new.index)

    def close(self) -> None:
        """Take part no more."""
        raft: Raft | None = getattr(self, "raft", None)
        if raft is not None:
            raft.stop()
