"""The state of a lone server: what was acknowledged survives everything, and the file tells its user what is wrong."""

import os
import queue
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from consulpy.codec.msgpack import pack
from consulpy.errors import ConfigError, RPCError
from consulpy.raft import snapshots
from consulpy.state import compaction
from consulpy.state.commands import Register
from consulpy.state.snapshot import Snapshot
from consulpy.state.store import Store
from consulpy.structs.requests import RegisterRequest
from consulpy.structs.service import NodeService
from tests.harness.lone_server import LoneServer, Threads, former_file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.sqlite"


def node(name: str, address: str = "10.0.0.1") -> Register:
    return Register(RegisterRequest(datacenter="dc1", node=name, address=address))


def records(store: Store) -> list[bytes]:
    return list(Snapshot.of(store).records())


def compacting(path: Path, monkeypatch: pytest.MonkeyPatch, after: int, threads: Threads | None = None) -> LoneServer:
    """A server that takes a snapshot after so many entries, however large its state is."""
    monkeypatch.setattr(snapshots, "ENTRIES_PER_ROW", 0)
    monkeypatch.setattr(snapshots, "HURRY", 1)
    return LoneServer(path, threads, snapshot_threshold=after)


def test_applied_commands_survive_a_restart(path: Path) -> None:
    results: list[Any] = []
    with LoneServer(path) as server:
        for name in ("a", "b", "c"):
            server.submit(node(name), results.append)
        before = records(server.store)
    assert results == [None, None, None]
    with LoneServer(path) as server:
        assert server.names == ["a", "b", "c"]
        assert records(server.store) == before


def test_a_refused_command_answers_its_error_and_is_refused_again_at_a_restart(path: Path) -> None:
    results: list[Any] = []
    bad = RegisterRequest(node="a", address="1.1.1.1", check=None, checks=None)
    bad.service = NodeService()
    with LoneServer(path) as server:
        server.submit(Register(bad), results.append)
        server.submit(node("b"), results.append)
        index = server.store.index
    assert str(results[0]) == "failed inserting service: failed inserting service: object missing primary index"
    with LoneServer(path) as server:
        assert server.names == ["b"], "the node of the refused registration was not written either"
        assert server.store.index == index


def test_nothing_is_acknowledged_or_applied_before_it_is_stored(path: Path) -> None:
    done: list[Any] = []
    with LoneServer(path, Threads()) as server:
        server.submit(node("a"), done.append)
        assert not done
        assert not server.names
        server.threads.step()
        assert done == [None]
        assert server.names == ["a"]


def test_commands_submitted_during_a_commit_share_the_next_one(path: Path) -> None:
    done: list[Any] = []
    with LoneServer(path, Threads()) as server:
        for number in range(10):
            server.submit(node(f"n{number}"), done.append)
        server.threads.step()
        assert len(done) == 1
        server.threads.step()
        assert len(done) == 10
        assert not server.threads.jobs


def test_a_closed_server_acknowledges_nothing(path: Path) -> None:
    done: list[Any] = []
    server = LoneServer(path, Threads())
    server.submit(node("a"), done.append)
    server.close()
    server.submit(node("late"), done.append)
    assert all(isinstance(result, RPCError) for result in done)
    assert len(done) == 2


def test_with_real_threads_everything_is_stored_once_and_in_order(path: Path) -> None:
    back: queue.Queue[Callable[[], None]] = queue.Queue()
    done: list[int] = []
    with LoneServer(path) as server:
        storage: Any = server.raft.storage
        storage._run = lambda job: threading.Thread(target=job).start()
        storage._hand_back = back.put
        for number in range(300):
            server.submit(node(f"n{number:03}"), lambda _result, number=number: done.append(number))
        while len(done) < 300:
            back.get(timeout=60)()
            server.clock.advance(0)
    assert done == list(range(300))
    with LoneServer(path) as server:
        assert len(server.names) == 300


def test_too_many_waiting_commands_are_refused(path: Path) -> None:
    done: list[Any] = []
    with LoneServer(path, Threads(), proposals=3) as server:
        for number in range(5):
            server.submit(node(f"n{number}"), done.append)
        assert [type(result) for result in done] == [RPCError, RPCError]


def test_a_full_disk_fails_writes_and_reads_go_on(path: Path) -> None:
    done: list[Any] = []
    with LoneServer(path) as server:
        server.submit(node("a"), done.append)
        connection = server.database._connection
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count={pages}")
        big = RegisterRequest(node="b", address="1.1.1.1", node_meta={"k": "x" * 100_000})
        server.submit(Register(big), done.append)
        assert "full" in str(done[-1])
        assert server.names == ["a"]
        connection.execute("PRAGMA max_page_count=1000000")
        server.clock.advance(2)
        server.submit(node("c"), done.append)
        assert done[-1] is None
        before = records(server.store)
    with LoneServer(path) as server:
        assert records(server.store) == before
        assert server.names == ["a", "c"]


# Snapshots


def test_a_compacted_log_has_the_same_state(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with compacting(path, monkeypatch, 50) as server:
        for number in range(120):
            server.submit(node(f"n{number % 30}", f"10.0.0.{number}"))
        before, index = records(server.store), server.store.index
        assert server.entries < 50
    assert any("snapshot taken" in text for text in server.lines)
    with LoneServer(path) as server:
        assert server.entries < 55
        assert server.store.index == index
        assert records(server.store) == before


def test_writes_go_on_while_a_snapshot_is_encoded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[Any] = []
    with compacting(path, monkeypatch, 6, Threads()) as server:
        for number in range(4):
            server.submit(node(f"n{number}"), done.append)
            server.threads.step()
        assert len(done) == 4
        assert server.threads.jobs, "a snapshot is to be encoded"
        server.submit(node("meanwhile"), done.append)
        server.step_all()
        assert len(done) == 5
        assert any("snapshot taken" in text for text in server.lines)
        before = records(server.store)
    with LoneServer(path) as server:
        assert server.names == ["meanwhile", "n0", "n1", "n2", "n3"]
        assert records(server.store) == before


@pytest.mark.parametrize("steps", range(1, 14))
def test_killed_during_a_snapshot_nothing_is_missing(path: Path, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step is a place to die, those of the first snapshot too."""
    monkeypatch.setattr(compaction, "STEP_RECORDS", 10)
    monkeypatch.setattr(compaction, "PART_BYTES", 200)
    server = compacting(path, monkeypatch, 24, Threads())
    for number in range(24):
        server.submit(node(f"n{number}"))
    server.threads.step()
    server.threads.step()  # all are stored: a snapshot begins
    for number in range(steps):
        server.submit(node(f"meanwhile{number}"))
        for _ in range(min(2, len(server.threads.jobs))):
            server.threads.step()
    acknowledged, copy = set(server.names), path.with_name("copy")
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", f"{copy}{suffix}")
    with LoneServer(copy) as after:
        assert acknowledged <= set(after.names)
        after.submit(node("after"))
    with compacting(copy, monkeypatch, 1) as again:
        assert acknowledged | {"after"} <= set(again.names)
    server.close()


def test_of_a_large_state_the_log_grows_longer(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it goes into each snapshot: a write among a hundred rows must not cost ten times one among ten."""
    monkeypatch.setattr(snapshots, "ENTRIES_PER_ROW", 2)
    monkeypatch.setattr(snapshots, "HURRY", 1)
    with LoneServer(path, snapshot_threshold=10) as server:
        for number in range(40):
            server.submit(node(f"n{number}"))
        grown = server.entries
        assert grown >= 40  # as many rows as entries
        for number in range(36):
            server.submit(node("n0", f"10.0.0.{number + 2}"))
        assert server.entries == grown + 36
        for number in range(8):
            server.submit(node("n1", f"10.0.1.{number}"))
        assert server.entries < 10


def test_a_threshold_that_is_configured_is_kept_to(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator's choice, as in Consul: `raft_snapshot_threshold`."""
    monkeypatch.setattr(snapshots, "HURRY", 1)
    with LoneServer(path, snapshot_threshold=10, snapshot_spares_large_states=False) as server:
        for number in range(60):
            server.submit(node(f"n{number}"))
        assert server.entries < 20


def test_a_snapshot_of_a_state_that_was_replaced_is_not_finished(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with compacting(path, monkeypatch, 6, Threads()) as server:
        for number in range(4):
            server.submit(node(f"n{number}"))
        server.threads.step()
        server.threads.step()  # a snapshot begins
        restored = Store()
        node("other").apply(restored, 1)
        done: list[Any] = []
        server.log.restore(restored, done.append)
        job = server.database.begin_snapshot(4)
        for _ in range(10):
            server.step_all()
            server.clock.advance(0.5)
        assert done == [None]
        assert server.names == ["other"]
        assert server.database.add_to_snapshot(job, []) is not None
    with LoneServer(path) as server:
        assert server.names == ["other"]


# Files that cannot be used


def test_others_may_not_read_the_file(path: Path) -> None:
    """Tokens stand in it."""
    with LoneServer(path) as server:
        server.submit(node("a"))
        for suffix in ("", "-wal"):
            assert Path(f"{path}{suffix}").stat().st_mode & 0o077 == 0


def test_a_file_that_is_no_database_is_kept_aside(path: Path) -> None:
    path.write_bytes(b"my diary, do not delete" * 100)
    with LoneServer(path) as server:
        server.submit(node("a"))
        assert server.names == ["a"]
    assert Path(f"{path}.bad-1").read_bytes().startswith(b"my diary")
    assert "bad-1" in server.lines[0]


def test_another_programs_database_is_kept_aside(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE recipes (name TEXT)")
    connection.close()
    with LoneServer(path) as server:
        assert server.names == []
    assert sqlite3.connect(f"{path}.bad-1").execute("SELECT count(*) FROM recipes").fetchone() == (0,)


def test_a_damaged_page_puts_the_file_aside(path: Path) -> None:
    with LoneServer(path) as server:
        for number in range(200):
            server.submit(node(f"n{number}"))
    data = bytearray(path.read_bytes())
    data[5000:] = os.urandom(len(data) - 5000)
    path.write_bytes(data)
    with LoneServer(path) as server:
        assert server.names == []
    assert Path(f"{path}.bad-1").exists()


def together(*names: str) -> bytes:
    """A row of format 2."""
    return b"\xff" + pack([node(name).encode(sparse=True) for name in names])


@pytest.mark.parametrize(
    ("version", "rows"),
    [
        (1, [(1, node("a").encode()), (2, node("b").encode())]),
        (2, [(1, together("a", "b"))]),
        (2, [(1, together("a")), (2, node("b").encode())]),
    ],
)
def test_a_file_of_before_is_read_and_gone_on_with(path: Path, version: int, rows: list[tuple[int, bytes]]) -> None:
    former_file(path, version, rows)
    with LoneServer(path) as server:
        assert server.names == ["a", "b"]
        server.submit(node("c"))
    with LoneServer(path) as server:
        assert server.names == ["a", "b", "c"]


@pytest.mark.parametrize(
    "rows",
    [
        [(1, b"")],
        [(1, b"\x33")],
        [(1, b"\x00\xc1")],
        [(1, b"\x00\x81\xa4Node\x07")],
        [(1, b"\xff")],
        [(1, b"\xff\x07")],
        [(1, b"\xff\x91\x07")],
        [(1, b"\xff\x91")],
        [(1, together("a")), (3, together("c"))],
    ],
)
def test_a_file_of_before_that_cannot_be_read_is_kept_aside(path: Path, rows: list[tuple[int, bytes]]) -> None:
    former_file(path, 2, rows)
    with LoneServer(path) as server:
        assert server.names == []
        server.submit(node("b"))
    assert Path(f"{path}.bad-1").exists()
    with LoneServer(path) as server:
        assert server.names == ["b"]


def test_a_newer_format_is_not_touched(path: Path) -> None:
    with LoneServer(path) as server:
        server.database._connection.execute("PRAGMA user_version=99")
    with pytest.raises(ConfigError, match="newer consulpy"):
        LoneServer(path)
    assert not Path(f"{path}.bad-1").exists()


def test_a_second_agent_is_told_what_to_do(path: Path) -> None:
    program = (
        "import sys\n"
        "from consulpy.errors import ConfigError\n"
        "from consulpy.raft.disk import RaftDatabase\n"
        "try: RaftDatabase(sys.argv[1], print)\n"
        "except ConfigError as error: print(error)\n"
    )
    command = [sys.executable, "-c", program, str(path)]
    with LoneServer(path):
        said = subprocess.run(command, capture_output=True, text=True, timeout=90)
    assert "in use by another agent" in said.stdout
    assert "-data-dir" in said.stdout
    said = subprocess.run(command, capture_output=True, text=True, timeout=90)
    assert said.stdout == "", "the lock ends with its holder"


def test_a_folder_that_is_not_there_is_the_users_fault(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="-data-dir"):
        LoneServer(tmp_path / "no" / "log.sqlite")


def test_a_folder_that_takes_no_files_is_the_users_fault() -> None:
    with pytest.raises(ConfigError, match="-data-dir"):
        LoneServer("/proc/self/log.sqlite")  # not even root may write there


# kill -9

CHILD = """
import sys
from consulpy.raft import snapshots
from consulpy.state.commands import Register
from consulpy.structs.requests import RegisterRequest
from tests.harness.lone_server import LoneServer

snapshots.ENTRIES_PER_ROW, snapshots.HURRY = 0, 1
server = LoneServer(sys.argv[1], snapshot_threshold=40)
number = int(sys.argv[2])
while True:
    command = Register(RegisterRequest(node=f"n{number % 50}", address=str(number)))
    server.submit(command, lambda result: print(number, flush=True))
    number += 1
"""


def test_kill_9_loses_nothing_that_was_acknowledged(path: Path) -> None:
    """At whatever moment, snapshots included."""
    number, rounds = 0, 8
    for round_number in range(rounds):
        command = [sys.executable, "-c", CHILD, str(path), str(number)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        first = child.stdout.readline()
        assert first, "the child died by itself"
        time.sleep(0.02 + 0.013 * round_number)
        child.send_signal(signal.SIGKILL)
        acknowledged = [int(first), *(int(line) for line in child.stdout if line.endswith("\n"))]
        child.wait()
        with LoneServer(path) as server:
            assert not [text for text in server.lines if "cannot be used" in text]
            kept = sorted(int(each.address) for each in server.store.catalog.nodes(None)[1])
            assert kept[-1] >= acknowledged[-1]
            assert kept == list(range(max(0, kept[-1] - 49), kept[-1] + 1)), "none between is missing"
        number = kept[-1] + 1
    assert number > rounds


# Restoring a snapshot


def test_a_restored_state_survives_and_its_index_goes_beyond_both(path: Path) -> None:
    restored = Store()
    for index, name in enumerate("abcdefgh", 1):
        node(name).apply(restored, index)
    with LoneServer(path) as server:
        server.submit(node("old"))
        done: list[Any] = []
        server.log.restore(restored, done.append)
        for _ in range(10):
            server.clock.advance(0.5)
        assert done == [None]
        assert server.names == list("abcdefgh")
        assert server.store.index > 8
        index = server.store.index
        server.submit(node("y"), done.append)
        assert server.store.index > index
    with LoneServer(path) as server:
        assert server.names == [*"abcdefgh", "y"]
