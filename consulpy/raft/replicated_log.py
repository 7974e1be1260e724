"""The log of commands of a server with Raft, of a quorum of one or more."""

from typing import Any, Final

from consulpy.errors import NoLeader
from consulpy.raft.interfaces import NotLeader
from consulpy.raft.machine import Raft
from consulpy.raft.messages import BARRIER
from consulpy.raft.own_commands import OwnCommands
from consulpy.state.commands import Barrier, Command, Configuration, Noop
from consulpy.state.log import Done
from consulpy.state.store import Store

#: Commands that only stand for what the machine writes by itself.
_WRITTEN_ANYWAY: Final = (Configuration.TYPE, Noop.TYPE)


class ReplicatedLog:
    """A `consulpy.state.log.Log` that a quorum stores. `raft` is set before anything is submitted."""

    raft: Raft

    def __init__(self, store: Store) -> None:
        self.store = store
        self.own = OwnCommands()

    def submit(self, command: Command, done: Done) -> None:
        """See `Log.submit`. `NoLeader`: nothing happened; "leadership lost": it may happen later, or never."""

        def finished(result: Any) -> None:
            done(NoLeader() if isinstance(result, NotLeader) else result)

        if command.TYPE in _WRITTEN_ANYWAY:
            done(None)
        elif command.TYPE == Barrier.TYPE:
            self.raft.propose_entry(BARRIER, None, finished)
        else:
            data = command.encode(sparse=self.raft.is_alone)
            self.own.add(command, data)
            self.raft.propose(data, finished)

    def restore(self, new: Store, done: Done) -> None:
        """See `Log.restore`; done once a majority has it."""

        def finished(result: Any) -> None:
            done(NoLeader() if isinstance(result, NotLeader) else result)

        self.raft.snapshots.restore(new, finished, new.index)

    def close(self) -> None:
        """Stop Raft."""
        raft: Raft | None = getattr(self, "raft", None)
        if raft is not None:
            raft.stop()
