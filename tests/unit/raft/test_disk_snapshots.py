"""Snapshots in the file of the Raft log: taken, sent and received in parts, given up, known after a restart."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from consulpy.codec.msgpack import pack
from consulpy.errors import ConfigError
from consulpy.raft.disk import RaftDatabase
from consulpy.raft.messages import LogEntry
from consulpy.raft.storage import HardState, SnapshotMeta, Update
from consulpy.raft.store_storage import StoreStorage
from consulpy.state.snapshot import Snapshot
from consulpy.state.store import Store
from tests.unit.raft.log_file import CONFIGURATION_OF_ONE, OWN, Opened, Taken, filled, parts_of, put, run


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.sqlite"


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


def test_a_snapshot_with_a_wrong_byte_is_refused_by_one_of_several(path: Path) -> None:
    """As a real server's is by its checksum: the states would differ."""
    opened = Opened(path)
    opened.save(SnapshotMeta(3, 1, CONFIGURATION_OF_ONE, 1), filled(3), 4)
    opened.database.close()
    connection = sqlite3.connect(path)
    ((row,),) = connection.execute("SELECT data FROM snapshot").fetchall()
    connection.execute("UPDATE snapshot SET data = ?", (row.replace(b"xxx", b"xyx", 1),))
    connection.commit()
    connection.close()
    with pytest.raises(ConfigError, match=r"checksum of a part of the snapshot is wrong.*remove-peer"):
        Opened(path)
    lines: list[str] = []
    alone = RaftDatabase(str(path), lambda _level, text: lines.append(text), alone=True)
    state = alone.load_raft(OWN, lambda *_: None).state
    assert state is not None
    assert state.kv.table.get("key/3") is not None, "nobody else has it"
    assert "some of the state may be wrong" in lines[0]
    alone.close()


def test_a_snapshot_of_an_earlier_version_has_no_checksum(path: Path) -> None:
    opened = Opened(path)
    opened.save(SnapshotMeta(3, 1, CONFIGURATION_OF_ONE, 1), filled(3), 4)
    opened.database.close()
    connection = sqlite3.connect(path)
    ((row,),) = connection.execute("SELECT data FROM snapshot").fetchall()
    connection.execute("UPDATE snapshot SET data = ?", (row[5:],))
    connection.commit()
    connection.close()
    state = Opened(path).found.state
    assert state is not None
    assert state.kv.table.get("key/3") is not None
