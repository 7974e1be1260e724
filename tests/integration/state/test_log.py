"""The log of commands: what was acknowledged survives everything, and the file tells its user what is wrong."""

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from consulpy.errors import ConfigError, RPCError
from consulpy.state import compaction
from consulpy.state import log as log_module
from consulpy.state.commands import Register
from consulpy.state.disk import FORMAT
from consulpy.state.log import LocalLog, MemoryLog
from consulpy.state.snapshot import Snapshot
from consulpy.state.store import Store
from consulpy.structs.requests import RegisterRequest


def inline(job: Callable[[], None]) -> None:
    job()


class Threads:
    """Runs jobs when the test says so: what was handed to the thread, and what it handed back."""

    def __init__(self) -> None:
        self.jobs: list[Callable[[], None]] = []

    def run(self, job: Callable[[], None]) -> None:
        self.jobs.append(job)

    def step(self) -> None:
        self.jobs.pop(0)()


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "state.db")


def node(name: str, address: str = "10.0.0.1") -> Register:
    return Register(RegisterRequest(datacenter="dc1", node=name, address=address))


def opened(path: str, **options: Any) -> LocalLog:
    return LocalLog(Store(), path, **{"run": inline, "hand_back": inline, "entries_per_row": 0, **options})


def register(store: Store, name: str) -> None:
    node(name).apply(store, store.index + 1)


def names(log: LocalLog) -> list[str]:
    return [each.node for each in log.store.catalog.nodes(None)[1]]


def records(store: Store) -> list[bytes]:
    return list(Snapshot.of(store).records())


@contextlib.contextmanager
def closing(log: LocalLog) -> Iterator[LocalLog]:
    yield log
    log.close()


def test_applied_commands_survive_a_restart(path: str) -> None:
    with closing(opened(path)) as log:
        results: list[Any] = []
        for name in ("a", "b", "c"):
            log.submit(node(name), results.append)
        before, index = records(log.store), log.store.index
    assert results == [None, None, None]
    with closing(opened(path)) as log:
        assert names(log) == ["a", "b", "c"]
        assert log.store.index == index == 3
        assert records(log.store) == before


def test_a_refused_command_answers_its_error_takes_an_index_and_is_refused_again_at_replay(path: str) -> None:
    with closing(opened(path)) as log:
        results: list[Any] = []
        bad = RegisterRequest(node="a", address="1.1.1.1", check=None, checks=None)
        from consulpy.structs.service import NodeService

        bad.service = NodeService()
        log.submit(Register(bad), results.append)
        log.submit(node("b"), results.append)
    assert str(results[0]) == "failed inserting service: failed inserting service: object missing primary index"
    with closing(opened(path)) as log:
        assert names(log) == ["b"], "the node of the refused registration was not written either"
        assert log.store.index == 2


def test_commands_submitted_during_a_commit_share_the_next_one(path: str) -> None:
    threads = Threads()
    log = opened(path, run=threads.run)
    done: list[Any] = []
    for number in range(10):
        log.submit(node(f"n{number}"), done.append)
    threads.step()
    assert (log.commits, len(done)) == (1, 1)
    threads.step()
    assert (log.commits, len(done)) == (2, 10)
    assert not threads.jobs
    log.close()


def test_an_awaited_commit_is_applied_inline(path: str) -> None:
    """What the reactor read together is one commit; a command that a result leads to goes into the next one."""
    turns: list[Any] = []
    sizes: list[int] = []

    def call(job: Any, done: Any, size: int, meanwhile: Any) -> None:
        sizes.append(size)
        meanwhile()
        job()
        done()

    log = opened(path, run=Threads().run, call=call, later=turns.append)
    done: list[Any] = []
    log.submit(node("a"), lambda _: log.submit(node("c"), done.append))
    log.submit(node("b"), done.append)
    assert not log.commits

    while turns:
        turns.pop(0)()

    assert sizes == [2, 1]
    assert done == [None, None]
    assert names(log) == ["a", "b", "c"]
    log.close()
    with closing(opened(path)) as again:
        assert names(again) == ["a", "b", "c"]


def test_a_commit_handed_back_is_applied_then(path: str) -> None:
    threads = Threads()
    log = opened(path, run=threads.run)
    done: list[Any] = []
    log.submit(node("a"), done.append)
    assert not done
    threads.step()
    assert done == [None]
    log.close()


def test_nothing_is_acknowledged_or_applied_before_it_is_stored(path: str) -> None:
    threads = Threads()
    log = opened(path, run=threads.run)
    done: list[Any] = []
    log.submit(node("a"), done.append)
    assert not done
    assert log.store.index == 0
    threads.step()
    assert done == [None]
    log.close()


def test_closing_stores_what_is_pending(path: str) -> None:
    threads = Threads()
    log = opened(path, run=threads.run)
    done: list[Any] = []
    for number in range(5):
        log.submit(node(f"n{number}"), done.append)
    log.close()
    assert done == [None] * 5
    threads.step()  # the thread comes too late, and harms nothing
    assert done == [None] * 5
    log.submit(node("late"), done.append)
    assert isinstance(done[-1], RPCError)
    with closing(opened(path)) as log:
        assert len(names(log)) == 5


def test_with_real_threads_everything_is_stored_once_and_in_order(path: str) -> None:
    import queue

    back: queue.Queue[Callable[[], None]] = queue.Queue()
    log = opened(path, run=lambda job: threading.Thread(target=job).start(), hand_back=back.put)
    done: list[int] = []
    for number in range(300):
        log.submit(node(f"n{number:03}"), lambda _result, number=number: done.append(number))
    while len(done) < 300:
        back.get(timeout=10)()
    log.close()
    assert done == list(range(300))
    with closing(opened(path)) as log:
        assert log.store.index == 300


def test_too_many_waiting_commands_are_refused(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "PENDING_LIMIT", 3)
    log = opened(path, run=Threads().run)
    done: list[Any] = []
    for number in range(5):
        log.submit(node(f"n{number}"), done.append)
    assert [type(result) for result in done] == [RPCError]
    log.close()


def test_a_full_disk_fails_writes_and_reads_go_on(path: str) -> None:
    log = opened(path)
    done: list[Any] = []
    log.submit(node("a"), done.append)
    connection = log._database._connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count={pages}")
    big = RegisterRequest(node="b", address="1.1.1.1", node_meta={"k": "x" * 100_000})
    log.submit(Register(big), done.append)
    assert "full" in str(done[-1])
    assert names(log) == ["a"]
    connection.execute("PRAGMA max_page_count=1000000")
    log.submit(node("c"), done.append)
    assert done[-1] is None
    before = records(log.store)
    log.close()
    with closing(opened(path)) as log:
        assert records(log.store) == before
        assert names(log) == ["a", "c"]


def test_a_failed_commit_is_never_replayed(path: str) -> None:
    """An error of `fsync` may leave entries in the file whose callers were told that they failed."""
    with closing(opened(path)) as log:
        log.submit(node("a"), lambda _: None)
        log._database.append(2, [node("ghost").encode(), node("ghost2").encode()])
        log._database._torn = True  # its caller was told of an error
        log.submit(node("b"), lambda _: None)
    with closing(opened(path)) as log:
        assert names(log) == ["a", "b"]


def test_a_compacted_log_has_the_same_state(path: str) -> None:
    said: list[str] = []
    with closing(opened(path, compact_after=50, say=lambda _, text: said.append(text))) as log:
        for number in range(120):
            log.submit(node(f"n{number % 30}", f"10.0.0.{number}"), lambda _: None)
        before = records(log.store)
        assert log.entries < 50
    assert any("compacted" in text for text in said)
    with closing(opened(path)) as log:
        assert log.entries < 50
        assert log.store.index == 120
        assert records(log.store) == before


def test_writes_go_on_while_a_snapshot_is_encoded(path: str) -> None:
    threads = Threads()
    log = opened(path, run=threads.run, compact_after=3)
    done: list[Any] = []
    for number in range(4):
        log.submit(node(f"n{number}"), done.append)
    threads.step()
    threads.step()  # four entries: now a snapshot is to be encoded
    assert len(done) == 4
    log.submit(node("meanwhile"), done.append)
    while threads.jobs:
        threads.step()
    assert len(done) == 5
    before = records(log.store)
    log.close()
    with closing(opened(path)) as log:
        assert names(log) == ["meanwhile", "n0", "n1", "n2", "n3"]
        assert log.entries <= 1
        assert records(log.store) == before


@pytest.mark.parametrize("steps", range(1, 14))
def test_killed_during_a_compaction_nothing_is_missing(path: str, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step of each compaction is a place to die, the first snapshot's too."""
    monkeypatch.setattr(compaction, "STEP_RECORDS", 10)
    monkeypatch.setattr(compaction, "PART_BYTES", 200)
    threads = Threads()
    log = opened(path, run=threads.run, compact_after=20)
    for number in range(24):
        log.submit(node(f"n{number}"), lambda _: None)
    threads.step()
    threads.step()  # all are stored: a compaction begins
    for number in range(steps):
        log.submit(node(f"meanwhile{number}"), lambda _: None)
        for _ in range(min(2, len(threads.jobs))):
            threads.step()
    stored = log.store.index
    for suffix in ("", "-wal"):
        shutil.copy(path + suffix, f"{path}-copy{suffix}")
    with closing(opened(f"{path}-copy")) as after:
        assert after.store.index >= stored
        assert set(names(log)) <= set(names(after))
        after.submit(node("after"), lambda _: None)
    with closing(opened(f"{path}-copy", compact_after=1)) as again:
        assert "after" in names(again)
        assert again.entries == 0
    log.close()


def test_a_snapshot_of_a_state_that_was_replaced_is_not_finished(path: str) -> None:
    threads = Threads()
    log = opened(path, run=threads.run, compact_after=3)
    for number in range(4):
        log.submit(node(f"n{number}"), lambda _: None)
    threads.step()
    threads.step()  # four entries: a compaction begins
    restored = Store()
    register(restored, "other")
    log.restore(restored, lambda _: None)
    job = log._database.begin_snapshot(4)
    while threads.jobs:
        threads.step()
    assert names(log) == ["other"]
    assert log._database.add_to_snapshot(job, []) is not None
    assert log._database.finish_snapshot(job) is not None
    log.close()
    with closing(opened(path)) as log:
        assert names(log) == ["other"]


def test_of_a_large_state_the_log_grows_longer(path: str) -> None:
    """All of it goes into each snapshot: a write among a hundred rows must not cost ten times one among ten."""
    with closing(opened(path, compact_after=10, entries_per_row=2)) as log:
        for number in range(40):
            log.submit(node(f"n{number}"), lambda _: None)
        assert log.entries == 40  # as many rows as entries
        for number in range(39):
            log.submit(node("n0", f"10.0.0.{number + 2}"), lambda _: None)
        assert log.entries == 79

        log.submit(node("n1", "10.0.0.2"), lambda _: None)

        assert log.entries == 0


def test_a_long_log_is_compacted_at_start(path: str) -> None:
    with closing(opened(path)) as log:
        for number in range(60):
            log.submit(node(f"n{number}"), lambda _: None)
    with closing(opened(path, compact_after=50)) as log:
        assert log.entries == 0
        assert len(names(log)) == 60


# Files that cannot be used


def test_others_may_not_read_the_file(path: str) -> None:
    """Tokens stand in it."""
    with closing(opened(path)) as log:
        log.submit(node("a"), lambda _: None)
        for suffix in ("", "-wal"):
            assert Path(path + suffix).stat().st_mode & 0o077 == 0


def test_a_file_that_is_no_database_is_kept_aside(path: str) -> None:
    Path(path).write_bytes(b"my diary, do not delete" * 100)
    said: list[str] = []
    with closing(opened(path, say=lambda _, text: said.append(text))) as log:
        log.submit(node("a"), lambda _: None)
        assert names(log) == ["a"]
    assert Path(path + ".bad-1").read_bytes().startswith(b"my diary")
    assert "bad-1" in said[0]


def test_another_programs_database_is_kept_aside(path: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE recipes (name TEXT)")
    connection.close()
    with closing(opened(path)) as log:
        assert log.store.index == 0
    assert sqlite3.connect(path + ".bad-1").execute("SELECT count(*) FROM recipes").fetchone() == (0,)


@pytest.mark.parametrize("data", [b"", b"\x33", b"\x00\xc1", b"\x00\x81\xa4Node\x07"])
def test_an_entry_that_cannot_be_decoded_puts_the_file_aside(path: str, data: bytes) -> None:
    with closing(opened(path)) as log:
        log.submit(node("a"), lambda _: None)
        log._database.append(2, [data])
    said: list[str] = []
    with closing(opened(path, say=lambda _, text: said.append(text))) as log:
        assert log.store.index == 0
        assert names(log) == []
        log.submit(node("b"), lambda _: None)
    assert Path(path + ".bad-1").exists()
    assert said
    with closing(opened(path)) as log:
        assert names(log) == ["b"]


def test_a_file_of_before_is_read_and_gone_on_with(path: str) -> None:
    """Format 1 had a row for each command."""
    with closing(opened(path)) as log:
        rows = [(index, node(name).encode()) for index, name in enumerate("ab", 1)]
        log._database._connection.executemany("INSERT INTO entries VALUES (?, ?)", rows)
        log._database._connection.execute("PRAGMA user_version=1")
    with closing(opened(path)) as log:
        log.submit(node("c"), lambda _: None)
    with closing(opened(path)) as log:
        assert names(log) == ["a", "b", "c"]
        assert log._database._connection.execute("PRAGMA user_version").fetchone() == (FORMAT,)


@pytest.mark.parametrize("row", [b"\xff", b"\xff\x07", b"\xff\x91\x07", b"\xff\x91"])
def test_a_row_that_is_no_list_of_commands_puts_the_file_aside(path: str, row: bytes) -> None:
    with closing(opened(path)) as log:
        log._database._connection.execute("INSERT INTO entries VALUES (1, ?)", (row,))
    with closing(opened(path)) as log:
        assert log.store.index == 0
    assert Path(path + ".bad-1").exists()


def test_a_missing_entry_puts_the_file_aside(path: str) -> None:
    with closing(opened(path)) as log:
        for index, name in enumerate("abc", 1):
            log._database.append(index, [node(name).encode()])
        log._database._connection.execute("DELETE FROM entries WHERE idx = 2")
    with closing(opened(path)) as log:
        assert log.store.index == 0
    assert Path(path + ".bad-1").exists()


def test_a_damaged_page_puts_the_file_aside(path: str) -> None:
    with closing(opened(path)) as log:
        for number in range(200):
            log.submit(node(f"n{number}"), lambda _: None)
    data = bytearray(Path(path).read_bytes())
    data[5000:9000] = os.urandom(4000)
    Path(path).write_bytes(data)
    with closing(opened(path)) as log:
        assert log.store.index == 0
    assert Path(path + ".bad-1").exists()


def test_a_newer_format_is_not_touched(path: str) -> None:
    with closing(opened(path)) as log:
        log._database._connection.execute("PRAGMA user_version=99")
    with pytest.raises(ConfigError, match="newer consulpy"):
        opened(path)
    assert not Path(path + ".bad-1").exists()


def test_a_second_agent_is_told_what_to_do(path: str) -> None:
    program = (
        "import sys\n"
        "from consulpy.errors import ConfigError\n"
        "from consulpy.state.log import LocalLog\n"
        "from consulpy.state.store import Store\n"
        "try: LocalLog(Store(), sys.argv[1], run=lambda j: j(), hand_back=lambda j: j())\n"
        "except ConfigError as error: print(error)\n"
    )
    with closing(opened(path)):
        said = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, timeout=30)
    assert "in use by another agent" in said.stdout
    assert "-data-dir" in said.stdout
    said = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, timeout=30)
    assert said.stdout == "", "the lock ends with its holder"


def test_a_folder_that_is_not_there_is_the_users_fault(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="-data-dir"):
        opened(str(tmp_path / "no" / "state.db"))


def test_a_folder_that_takes_no_files_is_the_users_fault() -> None:
    with pytest.raises(ConfigError, match="-data-dir"):
        opened("/proc/self/state.db")  # not even root may write there


# kill -9

CHILD = """
import sys
from consulpy.state.commands import Register
from consulpy.state.log import LocalLog
from consulpy.state.store import Store
from consulpy.structs.requests import RegisterRequest

log = LocalLog(Store(), sys.argv[1], run=lambda job: job(), hand_back=lambda job: job(), compact_after=40,
               entries_per_row=0)
number = int(sys.argv[2])
while True:
    command = Register(RegisterRequest(node=f"n{number % 50}", address=str(number)))
    log.submit(command, lambda result: print(number, flush=True))
    number += 1
"""


def test_kill_9_loses_nothing_that_was_acknowledged(path: str) -> None:
    """At whatever moment, compaction included."""
    number, rounds = 0, 8
    for round_number in range(rounds):
        child = subprocess.Popen([sys.executable, "-c", CHILD, path, str(number)], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        first = child.stdout.readline()
        assert first, "the child died by itself"
        time.sleep(0.02 + 0.013 * round_number)
        child.send_signal(signal.SIGKILL)
        acknowledged = [int(first), *(int(line) for line in child.stdout if line.endswith("\n"))]
        child.wait()
        said: list[str] = []
        with closing(opened(path, say=lambda _, text, said=said: said.append(text))) as log:
            assert not [text for text in said if "cannot be used" in text]
            kept = max(int(each.address) for each in log.store.catalog.nodes(None)[1])
            assert kept >= acknowledged[-1]
            assert log.store.index == kept + 1, "every number once"
        number = kept + 1
    assert number > rounds


def test_the_log_of_a_dev_agent_works_alike() -> None:
    log = MemoryLog(Store())
    done: list[Any] = []

    def and_another(result: Any) -> None:
        done.append(result)
        if len(done) < 3:
            log.submit(node(f"n{len(done)}"), and_another)

    log.submit(node("first"), and_another)
    assert done == [None] * 3
    assert log.store.index == 3
    log.close()


def test_a_receiver_that_fails_harms_nobody(path: str) -> None:
    said: list[str] = []
    with closing(opened(path, say=lambda _, text: said.append(text))) as log:
        log.submit(node("a"), lambda _: 1 / 0)
        log.submit(node("b"), lambda _: None)
        assert names(log) == ["a", "b"]
    assert "ZeroDivisionError" in said[0]
