"""A server whose log is missing, empty or older than it was does not begin anew under its id."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from consulpy.errors import ConfigError
from consulpy.raft.disk import RaftDatabase
from consulpy.raft.messages import LogEntry
from consulpy.raft.storage import HardState, Update
from tests.unit.raft.log_file import OWN, Opened


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.sqlite"


def copied_as_it_is(folder: Path) -> Path:
    """A copy of the open log: the files that a killed server leaves."""
    killed = folder / "killed" / "log.sqlite"
    killed.parent.mkdir()
    for each in folder.glob("log.*"):
        (killed.parent / each.name).write_bytes(each.read_bytes())
    return killed


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
    opened = Opened(tmp_path / "log.sqlite")
    opened.write(Update(HardState(5, 5, "a"), None, [LogEntry(b"x", None, 1, 1, 0)]))
    killed = copied_as_it_is(tmp_path)
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
    opened = Opened(tmp_path / "log.sqlite")
    opened.write(Update(HardState(5, 5, "a"), None, [LogEntry(b"x", None, 1, 1, 0)]))
    killed = copied_as_it_is(tmp_path)
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
    opened = Opened(tmp_path / "log.sqlite")
    opened.database.set_servers(3)
    opened.write(Update(HardState(5, 4, "a"), None, [LogEntry(b"x", None, 1, 1, 0)]))
    opened.write(Update(last))
    killed = copied_as_it_is(tmp_path)
    opened.database.close()
    written = killed.with_name("log.sqlite-wal")
    written.write_bytes(written.read_bytes()[:-1])
    with pytest.raises(ConfigError, match=why):
        Opened(killed)


def killed_with_damage(folder: Path, *, before_the_end: int) -> Path:
    """The files of a killed server that made three writes; the write-ahead log is damaged in the last or an earlier."""
    opened = Opened(folder / "log.sqlite")
    sizes = []
    for index in (1, 2, 3):
        opened.write(Update(None, None, [LogEntry(b"x" * 100, None, index, 1, 0)]))
        sizes.append((folder / "log.sqlite-wal").stat().st_size)
    killed = copied_as_it_is(folder)
    opened.database.close()
    written = killed.with_name("log.sqlite-wal")
    data = bytearray(written.read_bytes())
    data[sizes[-1 - before_the_end] - 8] ^= 1
    written.write_bytes(data)
    return killed


def test_a_log_that_is_damaged_before_its_end_is_refused_by_one_of_several(tmp_path: Path) -> None:
    """It reads as one that ends there: acknowledged entries would be missing."""
    killed = killed_with_damage(tmp_path, before_the_end=1)
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"log.sqlite-wal is damaged.*remove-peer"):
            Opened(killed)
    lines: list[str] = []
    alone = RaftDatabase(str(killed), lambda _level, text: lines.append(text), alone=True)
    assert [entry.index for entry in alone.load_raft(OWN, lambda *_: None).entries] == [1]
    assert "is damaged" in lines[0]
    alone.close()


@pytest.mark.parametrize("pages", [1, 3, 6])
def test_a_log_whose_file_is_cut_is_refused(tmp_path: Path, pages: int) -> None:
    opened = Opened(tmp_path / "log.sqlite")
    opened.write(Update(None, None, [LogEntry(b"x" * 2000, None, index, 1, 0) for index in range(1, 201)]))
    opened.database._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    opened.write(Update(None, None, [LogEntry(b"x", None, 201, 1, 0)]))
    killed = copied_as_it_is(tmp_path)
    opened.database.close()
    killed.write_bytes(killed.read_bytes()[: pages * 4096 + 100])
    with pytest.raises(ConfigError, match=r"malformed.*remove-peer"):
        Opened(killed)


def test_a_last_write_that_was_cut_off_is_none(tmp_path: Path) -> None:
    """It was not acknowledged."""
    assert len(Opened(killed_with_damage(tmp_path, before_the_end=0)).found.entries) == 2


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
