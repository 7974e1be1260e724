"""What a server of a quorum stores: the SQLite file against a plain model; and files of single servers."""

from pathlib import Path
from random import Random
from typing import Any

import pytest

from consulpy.errors import ConfigError
from consulpy.raft.messages import LogEntry
from consulpy.raft.storage import HardState, SnapshotMeta, Update
from consulpy.state.store import Store
from tests.unit.raft.log_file import CONFIGURATION_OF_ONE, Opened, entry
from tests.unit.raft.simulated import Disk


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.sqlite"


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
