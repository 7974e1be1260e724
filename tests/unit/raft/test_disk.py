"""What a server of a quorum stores: the SQLite file against a plain model; and files of single servers."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from consulpy.codec.msgpack import pack
from consulpy.errors import ConfigError
from consulpy.raft.configuration import Configuration, Server
from consulpy.raft.disk import TAKEN_OVER_TERM, RaftDatabase
from consulpy.raft.messages import BARRIER, CONFIGURATION, NOOP, LogEntry
from consulpy.raft.raft_db_file import is_real_server, read_real_server, set_aside
from consulpy.raft.storage import HardState, SnapshotMeta, SnapshotReader, StoredState, Update
from consulpy.raft.store_storage import StoreStorage
from consulpy.state.commands import KVS
from consulpy.state.disk import LogStore
from consulpy.state.snapshot import Snapshot
from consulpy.state.store import Store
from consulpy.structs.kv import DirEntry, KVRequest
from tests.harness.lone_server import former_file
from tests.unit.raft.simulated import Disk
from tests.unit.raft.test_boltdb import FILE as RAFT_DB

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


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.sqlite"


def entry(index: int, term: int, rng: Random) -> LogEntry:
    kind = rng.choice([0, 0, 0, 0, NOOP, BARRIER, CONFIGURATION])
    data = rng.randbytes(rng.randrange(1, 40)) if kind in (0, CONFIGURATION) else None
    return LogEntry(data, b"\x08\x01" if kind == 0 and rng.random() < 0.1 else None, index, term, kind)


def test_a_new_file_is_empty(path: Path) -> None:
    opened = Opened(path)
    assert opened.found.hard_state == HardState()
    assert opened.found.snapshot is None
    assert opened.entries == []


@pytest.mark.parametrize("seed", range(8))
def test_updates_survive_as_in_a_plain_model(path: Path, seed: int) -> None:
    rng = Random(seed)
    opened, model, term = Opened(path), Disk(), 1
    for _ in range(60):
        last = model.last_index
        update = Update()
        if rng.random() < 0.2:
            term += 1
            update.hard_state = HardState(term, term, "somebody:8300")
        if rng.random() < 0.3 and last > (model.snapshot.index if model.snapshot else 0):
            update.truncate_from = rng.randrange(model.snapshot.index + 1 if model.snapshot else 1, last + 2)
            last = min(last, update.truncate_from - 1)
        update.entries = [entry(last + 1 + number, term, rng) for number in range(rng.choice([0, 1, 1, 2, 30]))]
        opened.write(update)
        model.write(update)
        if rng.random() < 0.15 and model.last_index > (model.snapshot.index if model.snapshot else 0):
            index = rng.randrange((model.snapshot.index if model.snapshot else 0) + 1, model.last_index + 1)
            meta = SnapshotMeta(index, model.entries[index].term, CONFIGURATION_OF_ONE, 1)
            keep_from = rng.randrange(1, index + 2)
            opened.save(meta, Store(), keep_from)
            model.snapshot = meta
            model.keep_from(keep_from)
        if rng.random() < 0.3:
            opened.database.close()
            opened = Opened(path)
    opened.database.close()
    opened = Opened(path)
    assert opened.found.hard_state == model.hard_state
    assert opened.found.snapshot == model.snapshot
    first = min(model.entries, default=0)
    stored = {each.index: each for each in opened.entries}
    assert {index: each for index, each in stored.items() if index >= first} == model.entries or not model.entries
    for index in list(model.entries)[::7]:
        count = rng.randrange(1, 10)
        read = opened.database.read(index, count, 1 << 20)
        assert read == [model.entries[each] for each in range(index, index + count) if each in model.entries]


def test_reads_are_bounded_and_what_is_missing_is_an_error(path: Path) -> None:
    opened = Opened(path)
    opened.write(Update(entries=[LogEntry(b"x" * 100, None, index, 1, 0) for index in range(1, 11)]))
    assert len(opened.database.read(3, 100, 250)) == 2  # type: ignore[arg-type]
    assert len(opened.database.read(3, 100, 1)) == 1  # type: ignore[arg-type]
    assert isinstance(opened.database.read(11, 1, 1), Exception)
    (path.parent / "another").mkdir()
    assert isinstance(Opened(path.parent / "another" / "log.sqlite").database.read(1, 1, 1), Exception)


def test_a_snapshot_goes_out_and_in_as_real_servers_write_it(tmp_path: Path) -> None:
    store = Store()
    for index in range(1, 200):
        put(f"key/{index}", b"x" * 2000).apply(store, index)
    one, other = Opened(tmp_path / "one"), Opened(tmp_path / "other")
    meta = SnapshotMeta(199, 3, CONFIGURATION_OF_ONE, 1)
    one.save(meta, store, 200)
    body = one.sent(meta)
    assert body.startswith(pack({"LastIndex": 199}))

    other.write(Update(entries=[LogEntry(b"x", None, 1, 1, 0)]))
    installed = other.install(meta, body)
    assert installed.kv.table.get("key/7") == store.kv.table.get("key/7")
    other.database.close()
    again = Opened(tmp_path / "other")
    assert again.found.snapshot == meta
    assert again.entries == []
    assert list(Snapshot.of(again.found.state).records()) == list(Snapshot.of(store).records())


@pytest.mark.parametrize("body", [b"", b"\x81", b"garbage", pack({"LastIndex": 1}) + b"\x7f\xc0"])
def test_a_state_that_is_none_changes_nothing(path: Path, body: bytes) -> None:
    opened = Opened(path)
    opened.write(Update(HardState(4, 4, "a"), None, [LogEntry(b"x", None, 1, 1, 0)]))
    assert isinstance(opened.install(SnapshotMeta(9, 4, CONFIGURATION_OF_ONE, 1), body), Exception)
    assert opened.rows_of_snapshots == set()
    opened.database.close()
    again = Opened(path)
    assert (again.found.snapshot, len(again.entries), again.found.hard_state.term) == (None, 1, 4)


def filled(keys: int, size: int = 2000) -> Store:
    store = Store()
    for index in range(1, keys + 1):
        put(f"key/{index}", b"x" * size).apply(store, index)
    return store


def test_no_part_of_a_snapshot_on_its_way_is_large(tmp_path: Path) -> None:
    """What is sent, and what is received, is never whole in memory."""
    one, store = Opened(tmp_path / "one"), filled(1000)
    meta = SnapshotMeta(1000, 3, CONFIGURATION_OF_ONE, 1)
    one.save(meta, store, 1001)
    readers: list[Any] = []
    one.storage.open_snapshot(readers.append)
    sizes = [len(part) for part in parts_of(readers[0])]
    assert sum(sizes) > 2_000_000
    assert max(sizes) < 500_000
    other = Opened(tmp_path / "other")
    writer: Any = other.storage.receive_snapshot(1000)
    body = one.sent(meta)
    for at in range(0, len(body), 65536):
        writer.write(body[at : at + 65536], Taken())
        assert writer._size < 500_000
        assert len(writer._decoder._pending) < 100_000


def test_a_snapshot_that_is_being_sent_outlives_the_next_one(path: Path) -> None:
    opened, store = Opened(path), filled(400)
    first, second = (SnapshotMeta(index, 3, CONFIGURATION_OF_ONE, 1) for index in (400, 500))
    opened.save(first, store, 401)
    readers: list[Any] = []
    opened.storage.open_snapshot(readers.append)
    begun: list[Any] = []
    readers[0].read(begun.append)
    opened.save(second, filled(500), 501)
    rest = parts_of(readers[0])
    assert len(begun[0]) + sum(map(len, rest)) == readers[0].size
    assert opened.rows_of_snapshots == {400, 500}
    readers[0].close()
    assert opened.rows_of_snapshots == {500}
    assert opened.sent(second)


def test_a_snapshot_may_be_taken_while_another_one_is_received(path: Path) -> None:
    """Parts of both come by turns; each one is whole."""
    opened = Opened(path)
    meta = SnapshotMeta(900, 3, CONFIGURATION_OF_ONE, 1)
    body = pack({"LastIndex": 900}) + b"".join(Snapshot.of(filled(900)).records())
    writer = opened.storage.receive_snapshot(900)
    half = len(body) // 2
    writer.write(body[:half], Taken())
    opened.save(SnapshotMeta(300, 3, CONFIGURATION_OF_ONE, 1), filled(300), 301)
    writer.write(body[half:], Taken())
    assert opened.rows_of_snapshots == {300, 900}
    installed: list[Any] = []
    opened.storage.install_snapshot(meta, writer, keep_entries=False, done=installed.append)
    assert installed[0].kv.table.get("key/900") is not None
    opened.database.close()
    again = Opened(path)
    assert again.found.snapshot == meta
    assert list(Snapshot.of(again.found.state).records()) == list(Snapshot.of(filled(900)).records())


def test_a_snapshot_that_broke_off_leaves_nothing(path: Path) -> None:
    opened = Opened(path)
    kept = SnapshotMeta(50, 3, CONFIGURATION_OF_ONE, 1)
    opened.save(kept, filled(50), 51)
    body = pack({"LastIndex": 900}) + b"".join(Snapshot.of(filled(900)).records())
    writer = opened.storage.receive_snapshot(900)
    writer.write(body[:-100], Taken())
    assert opened.rows_of_snapshots == {50, 900}
    writer.close()
    assert opened.rows_of_snapshots == {50}
    writer = opened.storage.receive_snapshot(900)
    writer.write(body[:-100], Taken())
    opened.database.close()  # a crash
    again = Opened(path)
    assert again.rows_of_snapshots == {50}
    assert again.found.snapshot == kept


def test_a_snapshot_that_is_overtaken_by_an_installed_one_is_given_up(path: Path) -> None:
    """Whoever waits for it hears that, or no other one would ever be taken."""
    jobs: list[Callable[[], None]] = []
    opened = Opened(path)
    storage = StoreStorage(opened.database, OWN, jobs.append, run)
    saved: list[Any] = []
    storage.save_snapshot(SnapshotMeta(300, 3, CONFIGURATION_OF_ONE, 1), Snapshot.of(filled(300)), 301, saved.append)
    jobs.pop(0)()
    writer = storage.receive_snapshot(900)
    writer.write(pack({"LastIndex": 900}) + b"".join(Snapshot.of(filled(9)).records()), Taken())
    installed: list[Any] = []
    storage.install_snapshot(
        SnapshotMeta(900, 3, CONFIGURATION_OF_ONE, 1), writer, keep_entries=False, done=installed.append
    )
    while jobs:
        jobs.pop(0)()
    assert [str(each) for each in saved] == ["the state was replaced meanwhile"]
    assert installed[0].kv.table.get("key/9") is not None
    assert opened.rows_of_snapshots == {900}


@pytest.fixture
def single_server(path: Path) -> Store:
    """A data directory of a server of one, before it had Raft."""
    store = Store()
    rows = []
    for number in range(100):
        command = put(f"key/{number}")
        command.apply(store, number + 1)
        rows.append((number + 1, b"\xff" + pack([command.encode(sparse=True)])))
    former_file(path, 2, rows)
    return store


def test_what_an_installed_snapshot_is_known_as_survives(path: Path) -> None:
    opened = Opened(path)
    database, meta = opened.database, SnapshotMeta(9, 2, CONFIGURATION_OF_ONE, 1)

    def unconfirmed() -> tuple[int, int]:
        return database.load_raft(OWN, lambda *_: None).unconfirmed

    def install() -> None:
        job = database.begin_snapshot(9)
        assert database.add_to_snapshot(job, list(Snapshot.of(filled(3)).records())) is None
        assert database.finish_install(job, meta, keep_entries=False) is None

    install()
    assert unconfirmed() == (9, 2)
    assert database.write(Update(entries=[LogEntry(b"x", None, 10, 2, 0)], confirmed=(8, 2))) is None
    assert unconfirmed() == (9, 2)
    assert database.write(Update(entries=[LogEntry(b"x", None, 11, 2, 0)], confirmed=(9, 2))) is None
    assert unconfirmed() == (0, 0)
    install()
    assert database.write(Update(HardState(3, 3, "b"), discards_all=True)) is None
    found = database.load_raft(OWN, lambda *_: None)
    assert (found.hard_state, found.snapshot, found.entries, found.unconfirmed) == (
        HardState(3, 3, "b"),
        None,
        [],
        (9, 2),
    )


def test_a_single_servers_file_is_taken_over_whole(path: Path, single_server: Store) -> None:
    opened = Opened(path)
    found = opened.found
    assert found.snapshot == SnapshotMeta(100, TAKEN_OVER_TERM, CONFIGURATION_OF_ONE, 100)
    assert found.hard_state.term == TAKEN_OVER_TERM
    assert list(Snapshot.of(found.state).records()) == list(Snapshot.of(single_server).records())
    opened.write(Update(entries=[LogEntry(put("more").encode(), None, 101, 3, 0)]))
    opened.database.close()
    again = Opened(path)
    assert [each.index for each in again.entries] == [101]
    again.database.close()
    with pytest.raises(ConfigError, match="newer"):  # and the old program says so, instead of reading half of it
        LogStore(str(path), lambda level, text: None)


def test_a_file_that_cannot_be_read_stays_and_the_server_does_not_start(path: Path) -> None:
    opened = Opened(path)
    opened.write(Update(HardState(5, 5, "a"), None, [LogEntry(b"x", None, 1, 1, 0)]))
    opened.database._connection.execute("UPDATE entries SET data = x'fe01'")
    opened.database.close()
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="remove-peer"):
        Opened(path)
    assert path.read_bytes() == before
    path.with_name("log.sqlite-wal").unlink(missing_ok=True)
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(ConfigError, match="remove-peer"):
        Opened(path)
    assert path.exists()


def test_a_failed_write_leaves_nothing_behind(path: Path) -> None:
    opened = Opened(path)
    opened.write(Update(HardState(1, 1, "a"), None, [LogEntry(b"one", None, 1, 1, 0)]))
    opened.database._connection.execute("PRAGMA query_only = 1")
    done: list[Any] = []
    opened.storage.write(Update(HardState(2, 2, "b"), 1, [LogEntry(b"other", None, 1, 2, 0)]), done.append)
    assert isinstance(done[0], Exception)
    opened.database._connection.execute("PRAGMA query_only = 0")
    opened.database.close()
    again = Opened(path)
    assert again.found.hard_state.term == 1
    assert [each.data for each in again.entries] == [b"one"]


def test_a_real_servers_directory_is_adopted(tmp_path: Path) -> None:
    folder = tmp_path / "raft"
    snapshots = folder / "snapshots"
    for name, index, is_whole in (("3-40-1", 40, True), ("4-45-2", 45, True), ("4-46-3", 46, False)):
        (snapshots / name).mkdir(parents=True)
        store = Store()
        put(f"up to {index}").apply(store, 1)
        state = pack({"LastIndex": index}) + b"".join(Snapshot.of(store).records())
        (snapshots / name / "state.bin").write_bytes(state if is_whole else state[:-3])
        servers = [{"Suffrage": 0, "ID": "own", "Address": "127.0.0.1:8300"}]
        term = int(name[0])
        meta = {"Index": index, "Term": term, "Configuration": {"Servers": servers}, "ConfigurationIndex": 1}
        (snapshots / name / "meta.json").write_text(json.dumps(meta | {"Size": len(state)}))
    (folder / "raft.db").write_bytes(RAFT_DB)
    assert is_real_server(tmp_path)
    found = read_real_server(tmp_path)
    assert found.snapshot == SnapshotMeta(45, 4, CONFIGURATION_OF_ONE, 1)

    opened = Opened(tmp_path / "log.sqlite")
    assert opened.database.adopt(found.hard_state, found.snapshot, found.records, found.entries) is None
    opened.database.close()
    again = Opened(tmp_path / "log.sqlite")
    assert again.found.hard_state == found.hard_state
    assert again.found.hard_state.term == 4
    assert again.found.snapshot == found.snapshot
    assert again.found.state.kv.table.get("up to 45") is not None
    assert again.entries == found.entries
    assert set_aside(tmp_path).name == "raft.taken-over"
    assert not is_real_server(tmp_path)


def test_a_real_servers_log_that_cannot_be_read_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "raft").mkdir()
    (tmp_path / "raft" / "raft.db").write_bytes(RAFT_DB[:5000])
    with pytest.raises(ConfigError, match="join as a new one"):
        read_real_server(tmp_path)
    (tmp_path / "raft" / "raft.db").write_bytes(RAFT_DB)
    with pytest.raises(ConfigError, match=r"begins at \d+, its snapshot ends at 0"):
        read_real_server(tmp_path)
    (tmp_path / "raft" / "wal").mkdir()
    with pytest.raises(ConfigError, match="newer version"):
        read_real_server(tmp_path)
    assert (tmp_path / "raft" / "raft.db").read_bytes() == RAFT_DB


@pytest.mark.parametrize("name", ["raft/raft.db", "raft/wal/00000000.wal", "raft/snapshots/2-7-1/meta.json"])
def test_whatever_a_real_server_leaves_is_noticed(tmp_path: Path, name: str) -> None:
    """Else a server would start empty beside it."""
    (tmp_path / "raft").mkdir()
    assert not is_real_server(tmp_path), "a client agent's"
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("x")
    assert is_real_server(tmp_path)
    with pytest.raises(ConfigError, match="join as a new one"):
        read_real_server(tmp_path)


def lost(path: Path, name: str) -> None:
    path.with_name(name).unlink(missing_ok=True)


def emptied(path: Path, name: str) -> None:
    path.with_name(name).write_bytes(b"")


@pytest.mark.parametrize("damage", [lost, emptied])
@pytest.mark.parametrize("name", ["log.sqlite", "log.sqlite-wal"])
def test_who_lost_its_log_does_not_begin_anew_under_its_id(
    tmp_path: Path, name: str, damage: Callable[[Path, str], None]
) -> None:
    """It would vote a second time in a term, and lack what it acknowledged."""
    killed = tmp_path / "killed" / "log.sqlite"
    killed.parent.mkdir()
    opened = Opened(tmp_path / "log.sqlite")
    opened.write(Update(HardState(5, 5, "a"), None, [LogEntry(b"x", None, 1, 1, 0)]))
    for each in tmp_path.glob("log.*"):
        (killed.parent / each.name).write_bytes(each.read_bytes())
    opened.database.close()
    assert Opened(tmp_path / "log.sqlite").found.hard_state.term == 5, "closed, it is one file"
    damage(killed, name)
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"missing or empty.*remove-peer"):
            Opened(killed)
    database = RaftDatabase(str(killed), lambda level, text: None, alone=True)  # its vote is its own affair
    assert database.load_raft(OWN, lambda *_: None).hard_state == HardState()
    database.close()
    assert Opened(killed).found.hard_state == HardState()


def test_a_server_alone_keeps_its_log_when_another_program_has_merged_its_write_ahead_log(tmp_path: Path) -> None:
    """As a backup tool does that opens the files of a server that was killed."""
    killed = tmp_path / "killed" / "log.sqlite"
    killed.parent.mkdir()
    opened = Opened(tmp_path / "log.sqlite")
    opened.write(Update(HardState(5, 5, "a"), None, [LogEntry(b"x", None, 1, 1, 0)]))
    for each in tmp_path.glob("log.*"):
        (killed.parent / each.name).write_bytes(each.read_bytes())
    opened.database.close()
    connection = sqlite3.connect(killed)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.close()
    database = RaftDatabase(str(killed), lambda level, text: None, alone=True)
    assert database.load_raft(OWN, lambda *_: None).hard_state == HardState(5, 5, "a")
    database.close()


@pytest.mark.parametrize(
    ("last", "why"),
    [
        (HardState(6, 6, "b"), "was in term 6 before, and is in 5"),
        (HardState(5, 5, "b"), "voted in term 5, and does not know it"),
    ],
)
def test_a_log_whose_end_is_lost_is_noticed_by_its_term(tmp_path: Path, last: HardState, why: str) -> None:
    killed = tmp_path / "killed" / "log.sqlite"
    killed.parent.mkdir()
    opened = Opened(tmp_path / "log.sqlite")
    opened.database.set_servers(3)
    opened.write(Update(HardState(5, 4, "a"), None, [LogEntry(b"x", None, 1, 1, 0)]))
    opened.write(Update(last))
    for each in tmp_path.glob("log.*"):
        (killed.parent / each.name).write_bytes(each.read_bytes())
    opened.database.close()
    written = killed.with_name("log.sqlite-wal")
    written.write_bytes(written.read_bytes()[:-1])
    with pytest.raises(ConfigError, match=why):
        Opened(killed)


def test_one_of_several_does_not_begin_anew_although_it_began_alone(path: Path) -> None:
    database = RaftDatabase(str(path), lambda level, text: None, alone=True)
    database.load_raft(OWN, lambda *_: None)
    database.write(Update(HardState(1, 1, "a")))
    database.set_servers(3)
    database.close()
    path.write_bytes(b"")
    with pytest.raises(ConfigError, match="remove-peer"):
        RaftDatabase(str(path), lambda level, text: None, alone=True)
    path.with_name("log.begun").write_bytes(b"")  # nothing is known then
    with pytest.raises(ConfigError, match="remove-peer"):
        RaftDatabase(str(path), lambda level, text: None, alone=True)
