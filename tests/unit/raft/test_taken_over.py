"""What a server takes over: the log of a server alone of an earlier version, and a real server's directory."""

import errno
import fcntl
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from consulpy.codec.msgpack import pack
from consulpy.errors import ConfigError
from consulpy.raft.disk import TAKEN_OVER_TERM
from consulpy.raft.messages import LogEntry
from consulpy.raft.raft_db_file import is_real_server, locked, read_real_server, set_aside
from consulpy.raft.storage import SnapshotMeta, Update
from consulpy.state.disk import LogStore
from consulpy.state.snapshot import Snapshot
from consulpy.state.store import Store
from tests.harness.lone_server import former_file
from tests.unit.raft.log_file import CONFIGURATION_OF_ONE, Opened, put
from tests.unit.raft.test_boltdb import FILE as RAFT_DB


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.sqlite"


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


@pytest.fixture
def real_server(tmp_path: Path) -> Path:
    """A real server's directory: its newest snapshot is broken."""
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
    return tmp_path


def test_a_real_servers_directory_is_adopted(tmp_path: Path, real_server: Path) -> None:
    assert is_real_server(real_server)
    found = read_real_server(real_server)
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


def test_the_log_of_a_real_server_that_runs_is_not_taken(real_server: Path) -> None:
    """BoltDB holds a lock on the file: else there would be two of one server, and its writes would go astray."""
    program = (
        "import fcntl, sys; file = open(sys.argv[1]); fcntl.flock(file, fcntl.LOCK_EX); print(flush=True); input()"
    )
    log = real_server / "raft" / "raft.db"
    with subprocess.Popen(
        [sys.executable, "-c", program, str(log)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as running:
        assert running.stdout is not None
        running.stdout.readline()
        with pytest.raises(ConfigError, match=r"raft\.db is in use: a real Consul server runs"), locked(real_server):
            pytest.fail("two servers of one name")
        running.communicate(b"\n")
    with locked(real_server), log.open() as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with locked(real_server / "nothing"):
        """There is no log: reading says so."""


@pytest.mark.parametrize(
    "name", ["raft.db", "snapshots", "snapshots/4-45-2/meta.json", "snapshots/4-45-2/state.bin", "snapshots/3-40-1"]
)
def test_what_this_user_may_not_read_is_neither_broken_nor_missing(
    real_server: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """It is not advised to give the data up, nor gone on from an older snapshot."""
    denied = real_server / "raft" / name

    def deny(method: str) -> None:
        given = getattr(Path, method)

        def checked(self: Path, *arguments: Any, **keywords: Any) -> Any:
            if self == denied or denied in self.parents:
                raise PermissionError(errno.EACCES, "Permission denied", str(self))
            return given(self, *arguments, **keywords)

        monkeypatch.setattr(Path, method, checked)

    deny("open")
    deny("iterdir")
    with pytest.raises(ConfigError, match=f"{denied}.* may not be read by this user: change its owner"):
        read_real_server(real_server)


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
