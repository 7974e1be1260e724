"""Writes follow one another in the order asked for, however soon each of them is over."""

from typing import Any

from twisted.internet.task import Clock

from consulpy.raft.log import RaftLog
from consulpy.raft.messages import LogEntry
from consulpy.raft.persistence import IN_A_TURN_MAX, Persistence
from consulpy.raft.storage import Done, Update

#: Far more than the interpreter's limit of nested calls.
CHAIN = 5_000


class InlineStorage:
    """Every write is over when the call returns."""

    def __init__(self) -> None:
        self.indexes: list[int] = []

    def write(self, update: Update, done: Done) -> None:
        self.indexes += [entry.index for entry in update.entries]
        done(None)


class Chain:
    """Each entry is proposed when the one before it is durable, as a client that writes one key after another."""

    def __init__(self, length: int) -> None:
        self.clock = Clock()
        self.storage = InlineStorage()
        self.errors: list[Exception] = []
        storage: Any = self.storage
        self.persistence = Persistence(storage, RaftLog(), self.clock, lambda: None, self.errors.append)
        self._length = length

    def propose(self) -> None:
        index = self.persistence.durable_index + 1
        if index <= self._length:
            self.persistence.append([LogEntry(b"", None, index, 1)])
            self.persistence.after(self.propose)
            self.persistence.flush()


def test_a_chain_of_writes_does_not_nest() -> None:
    chain = Chain(CHAIN)

    chain.propose()
    while chain.clock.getDelayedCalls():
        chain.clock.advance(0)

    assert chain.storage.indexes == list(range(1, CHAIN + 1))
    assert chain.errors == []


def test_a_chain_of_writes_leaves_room_for_others_in_the_turn() -> None:
    chain = Chain(CHAIN)

    chain.propose()

    assert len(chain.storage.indexes) == IN_A_TURN_MAX
