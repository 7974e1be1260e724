"""A server that is alone in its quorum, on a real file: Raft, state and disk, without a network."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet.task import Clock

from consulpy.raft.configuration import Configuration, Server
from consulpy.raft.disk import RaftDatabase
from consulpy.raft.interfaces import Observer, Role, Settings
from consulpy.raft.machine import Raft
from consulpy.raft.replicated_log import ReplicatedLog
from consulpy.raft.state_machine import StoreMachine
from consulpy.raft.store_storage import StoreStorage
from consulpy.state.disk import APPLICATION_ID
from consulpy.state.store import Store

OWN = Server("127.0.0.1:8300", "own")


class Threads:
    """The disk thread. Jobs wait in it until the test runs them, unless it is `eager`."""

    def __init__(self, *, eager: bool = False) -> None:
        self.is_eager = eager
        self.jobs: list[Callable[[], None]] = []

    def run(self, job: Callable[[], None]) -> None:
        if self.is_eager:
            job()
        else:
            self.jobs.append(job)

    def step(self) -> None:
        self.jobs.pop(0)()


class LoneServer(Observer):
    """Leads when it is made. `lines`: what it logged."""

    def __init__(self, path: Path | str, threads: Threads | None = None, **settings: Any) -> None:
        self.lines: list[str] = []
        self.clock: Any = Clock()
        self.threads = threads or Threads(eager=True)
        self.log = ReplicatedLog(Store())
        self.database = RaftDatabase(str(path), self.say, alone=True)
        nobody: Any = None
        self.raft = self.log.raft = Raft(
            OWN.id,
            OWN.address,
            Settings(**{"trailing_logs": 0, **settings}),
            clock=self.clock,
            rng=Random(1),
            storage=StoreStorage(self.database, OWN, self.threads.run, lambda job: job()),
            sender=nobody,
            state_machine=StoreMachine(self.log.store, say=self.say),
            observer=self,
            later=lambda job: job(),
        )
        self.raft.start()
        if not self.raft.log.last_index:
            self.raft.bootstrap(Configuration.of([OWN]))
        while self.raft.role is not Role.LEADER or self.raft.applied_index < self.raft.log.last_index:
            self.clock.advance(0.1)
            self.step_all()

    def say(self, level: str, text: str) -> None:
        self.lines.append(f"{level} {text}")

    @property
    def store(self) -> Store:
        return self.log.store

    @property
    def names(self) -> list[str]:
        return [each.node for each in self.store.catalog.nodes(None)[1]]

    @property
    def entries(self) -> int:
        """How many entries stand after the snapshot."""
        return self.raft.log.last_index - self.raft.log.snapshot_index

    def submit(self, command: Any, done: Callable[[Any], Any] = lambda _: None) -> None:
        self.log.submit(command, done)
        self.clock.advance(0)

    def step_all(self) -> None:
        """Let the disk thread do all that it has."""
        while self.threads.jobs:
            self.threads.step()
            self.clock.advance(0)

    def close(self) -> None:
        self.raft.stop()
        self.step_all()
        self.raft.storage.close()  # type: ignore[attr-defined]

    def __enter__(self) -> "LoneServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def former_file(path: Path | str, version: int, rows: list[tuple[int, bytes]]) -> None:
    """A file of a version without Raft."""
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE entries (idx INTEGER PRIMARY KEY, data BLOB NOT NULL)")
    connection.execute("CREATE TABLE snapshot (part INTEGER PRIMARY KEY, idx INTEGER NOT NULL, data BLOB NOT NULL)")
    connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version={version}")
    connection.executemany("INSERT INTO entries VALUES (?, ?)", rows)
    connection.commit()
    connection.close()
