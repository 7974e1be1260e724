"""A file of the Raft log as its tests open it, and what they write to it."""

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from consulpy.raft.configuration import Configuration, Server
from consulpy.raft.disk import RaftDatabase
from consulpy.raft.messages import BARRIER, CONFIGURATION, NOOP, LogEntry
from consulpy.raft.storage import SnapshotMeta, SnapshotReader, StoredState, Update
from consulpy.raft.store_storage import StoreStorage
from consulpy.state.commands import KVS
from consulpy.state.snapshot import Snapshot
from consulpy.state.store import Store
from consulpy.structs.kv import DirEntry, KVRequest

OWN = Server("127.0.0.1:8300", "own")
CONFIGURATION_OF_ONE = Configuration.of([OWN])


def run(job: Callable[[], None]) -> None:
    job()


def put(key: str, value: bytes = b"v") -> KVS:
    return KVS(KVRequest(op="set", dir_ent=DirEntry(key=key, value=value)))


class Taken:
    """Counts the pieces that were taken."""

    count = 0

    def __call__(self) -> None:
        self.count += 1


def parts_of(reader: SnapshotReader) -> list[bytes]:
    parts: list[Any] = []
    while not parts or parts[-1]:
        reader.read(parts.append)
        assert isinstance(parts[-1], bytes), parts[-1]
    return parts


class Opened:
    """The file, opened."""

    def __init__(self, path: Path) -> None:
        self.database = RaftDatabase(str(path), lambda level, text: None)
        self.storage = StoreStorage(self.database, OWN, run, run)
        self.found: StoredState = self.storage.load()

    def write(self, update: Update) -> None:
        done: list[Any] = []
        self.storage.write(update, done.append)
        assert done == [None]

    def save(self, meta: SnapshotMeta, store: Store, keep_from: int) -> None:
        done: list[Any] = []
        self.storage.save_snapshot(meta, Snapshot.of(store), keep_from, done.append)
        assert done == [None]

    def sent(self, meta: SnapshotMeta) -> bytes:
        """The newest snapshot, as it goes over the wire."""
        readers: list[Any] = []
        self.storage.open_snapshot(readers.append)
        (reader,) = readers
        assert reader.meta == meta
        body = b"".join(parts_of(reader))
        assert len(body) == reader.size
        reader.close()
        return body

    def install(self, meta: SnapshotMeta, body: bytes, piece: int = 7000) -> Any:
        """The store of a snapshot that comes in pieces, or what is wrong with it."""
        writer, done = self.storage.receive_snapshot(meta.index), Taken()
        for at in range(0, len(body), piece):
            writer.write(body[at : at + piece], done)
        assert done.count == len(range(0, len(body), piece))
        installed: list[Any] = []
        self.storage.install_snapshot(meta, writer, keep_entries=False, done=installed.append)
        return installed[0]

    @property
    def rows_of_snapshots(self) -> set[int]:
        """The indexes of the snapshots that have parts in the file."""
        return {index for (index,) in self.database._connection.execute("SELECT DISTINCT idx FROM snapshot")}

    @property
    def entries(self) -> list[LogEntry]:
        return list(self.found.entries)


def entry(index: int, term: int, rng: Random) -> LogEntry:
    kind = rng.choice([0, 0, 0, 0, NOOP, BARRIER, CONFIGURATION])
    data = rng.randbytes(rng.randrange(1, 40)) if kind in (0, CONFIGURATION) else None
    return LogEntry(data, b"\x08\x01" if kind == 0 and rng.random() < 0.1 else None, index, term, kind)


def filled(keys: int, size: int = 2000) -> Store:
    store = Store()
    for index in range(1, keys + 1):
        put(f"key/{index}", b"x" * size).apply(store, index)
    return store
