"""The snapshot file, in the lines of real agents (docs/wire/gossip.md 6.11)."""

import contextlib
import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consulpy.errors import ConfigError
from consulpy.serf.disk import SnapshotFile
from consulpy.serf.events import MemberEvent, MemberEventKind
from consulpy.serf.members import Member
from consulpy.serf.snapshot import Snapshot, SnapshotDamaged, format_address, parse_address, replay

FILES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "gossip" / "snapshots.json").read_text()
)["files"]
BY_NAME = {file["name"]: file["text"] for file in FILES}


class MemoryStore:
    """A `SnapshotStore` without a disk."""

    def __init__(self, text: str = "") -> None:
        self.text = text
        self.waiting = ""
        self.syncs = 0
        self.replaced = 0
        self.aside: list[str] = []

    def read(self) -> str:
        return self.text

    def append(self, text: str) -> None:
        self.waiting += text

    def flush(self) -> None:
        self.text, self.waiting = self.text + self.waiting, ""

    def replace(self, text: str) -> None:
        self.text, self.waiting = text, ""
        self.replaced += 1

    def sync(self) -> None:
        self.flush()
        self.syncs += 1

    def set_aside(self, why: str) -> None:
        self.aside.append(why)
        self.text = ""

    def close(self) -> None:
        self.flush()


def joined(name: str, address: str = "127.0.0.1", port: int = 7946) -> MemberEvent:
    return MemberEvent(MemberEventKind.JOIN, [Member(name, address, port)])


def test_the_snapshot_of_a_killed_consul_server_names_who_was_there() -> None:
    replayed = replay(BY_NAME["consul server, killed"], rejoin_after_leave=False)
    assert replayed.alive == {"s1": ("127.10.0.1", 8301)}
    assert (replayed.clock, replayed.event_clock, replayed.query_clock) == (85, 3, 0)
    assert replayed.ignored == []


def test_the_snapshot_of_a_serf_agent_has_its_three_clocks() -> None:
    replayed = replay(BY_NAME["serf agent"], rejoin_after_leave=False)
    assert replayed.alive == {"f1": ("127.10.0.3", 7946), "f2": ("127.10.0.4", 7946)}
    assert (replayed.clock, replayed.event_clock, replayed.query_clock) == (516, 9, 6)


def test_a_graceful_leave_forgets_everybody_unless_a_rejoin_is_wanted() -> None:
    text = BY_NAME["consul client after SIGINT (graceful leave)"]
    assert replay(text, rejoin_after_leave=False).alive == {}
    assert replay(text, rejoin_after_leave=True).alive.keys() == {"c1", "s1", "pA"}


def test_what_is_written_reads_as_what_happened() -> None:
    store = MemoryStore()
    snapshot = Snapshot(store, rejoin_after_leave=False)
    snapshot.load()
    snapshot.member_event(joined("two words"), clock=1)
    snapshot.member_event(joined("n6", "::1", 8301), clock=5)
    snapshot.member_event(MemberEvent(MemberEventKind.FAILED, [Member("two words")]), clock=5)
    snapshot.user_event(3)
    snapshot.query(2)
    snapshot.flush()
    assert store.text == (
        "alive: two words 127.0.0.1:7946\nalive: n6 [::1]:8301\nclock: 4\nnot-alive: two words\n"
        "event-clock: 3\nquery-clock: 2\n"
    )
    replayed = replay(store.text, rejoin_after_leave=False)
    assert replayed.alive == {"n6": ("::1", 8301)}


def test_nothing_is_written_after_the_leave() -> None:
    store = MemoryStore()
    snapshot = Snapshot(store, rejoin_after_leave=False)
    snapshot.load()
    snapshot.leave()
    snapshot.member_event(joined("n2"), clock=9)
    snapshot.update_clock(10)
    snapshot.leave()
    snapshot.close()
    assert store.text == "leave\n"
    assert store.syncs >= 1


def test_a_large_file_is_rewritten_as_what_still_counts() -> None:
    store = MemoryStore()
    snapshot = Snapshot(store, rejoin_after_leave=False)
    snapshot.load()
    snapshot.member_event(joined("n1"), clock=1)
    for clock in range(2, 20_000):
        snapshot.update_clock(clock)
    snapshot.flush()
    assert store.replaced >= 1
    assert len(store.text) <= 128 * 1024
    assert replay(store.text, rejoin_after_leave=False).clock == 19_998
    assert replay(store.text, rejoin_after_leave=False).alive == {"n1": ("127.0.0.1", 7946)}


def test_an_unfinished_last_line_is_dropped_and_not_glued_to_the_next() -> None:
    store = MemoryStore("alive: n1 127.0.0.1:7946\nclock: 7\nalive: n2 127.0.0")
    snapshot = Snapshot(store, rejoin_after_leave=False)
    assert snapshot.load().alive == {"n1": ("127.0.0.1", 7946)}
    snapshot.member_event(joined("n3"), clock=1)
    snapshot.flush()
    assert replay(store.text, rejoin_after_leave=False).alive.keys() == {"n1", "n3"}


def test_unknown_lines_are_named_and_old_ones_skipped() -> None:
    replayed = replay("alive: n1 127.0.0.1:1\nfoo: bar\ncoordinate: {}\n# note\nclock: x\nalive: n2\n", False)
    assert replayed.ignored == ["foo: bar", "clock: x", "alive: n2"]


@pytest.mark.parametrize("text", ["\0\0\0\n", "hello\nworld\n"])
def test_a_file_that_is_no_snapshot_is_set_aside(text: str) -> None:
    with pytest.raises(SnapshotDamaged):
        replay(text, rejoin_after_leave=False)
    store = MemoryStore(text)
    assert Snapshot(store, rejoin_after_leave=False).load().alive == {}
    assert len(store.aside) == 1


def test_a_name_cannot_forge_a_line() -> None:
    store = MemoryStore()
    snapshot = Snapshot(store, rejoin_after_leave=False)
    snapshot.load()
    snapshot.member_event(joined("x\nleave"), clock=1)
    snapshot.flush()
    assert store.text == ""


@given(st.text(), st.booleans())
def test_any_text_is_a_snapshot_or_damaged(text: str, rejoin: bool) -> None:
    with contextlib.suppress(SnapshotDamaged):
        replay(text, rejoin)


@given(st.ip_addresses().map(str), st.integers(1, 65535))
def test_addresses_come_back(host: str, port: int) -> None:
    assert parse_address(format_address((host, port))) == (host, port)


# -- on disk


def test_the_file_is_made_and_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "serf" / "local.snapshot"
    file = SnapshotFile(path)
    assert file.read() == ""
    file.append("alive: n1 127.0.0.1:1\n")
    assert path.read_text() == ""
    file.flush()
    assert path.read_text() == "alive: n1 127.0.0.1:1\n"
    file.close()
    again = SnapshotFile(path)
    assert again.read() == "alive: n1 127.0.0.1:1\n"
    again.append("clock: 1\n")
    again.close()
    assert path.read_text().endswith("clock: 1\n")


def test_no_write_or_flush_happens_in_the_caller_s_thread(tmp_path: Path) -> None:
    """Each is a job for the disk's thread, in order; lines that come later are not in what was handed over before."""
    jobs: list[Callable[[], None]] = []
    path = tmp_path / "local.snapshot"
    file = SnapshotFile(path, jobs.append)
    file.read()
    file.append("clock: 1\n")
    file.flush()
    file.append("clock: 2\n")
    file.flush()  # while one is under way no second one is handed over
    file.replace("clock: 3\n")
    file.append("clock: 4\n")
    file.sync()
    file.close()
    assert path.read_text() == ""
    assert len(jobs) == 4

    seen = []
    for job in jobs:
        job()
        seen.append(path.read_text())
    assert seen == ["clock: 1\n", "clock: 3\n", "clock: 3\nclock: 4\n", "clock: 3\nclock: 4\n"]


def test_a_rewrite_leaves_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "local.snapshot"
    file = SnapshotFile(path)
    file.read()
    file.append("old\n")
    file.replace("clock: 9\n")
    file.append("clock: 10\n")
    file.sync()
    assert path.read_text() == "clock: 9\nclock: 10\n"
    assert [each.name for each in tmp_path.iterdir()] == ["local.snapshot"]
    file.close()


def test_a_damaged_file_is_kept_under_another_name(tmp_path: Path) -> None:
    path = tmp_path / "local.snapshot"
    path.write_bytes(b"\x00\x01\x02\n")
    store = SnapshotFile(path)
    assert Snapshot(store, rejoin_after_leave=False).load().alive == {}
    store.append("clock: 1\n")
    store.close()
    assert (tmp_path / "local.snapshot.damaged-1").read_bytes() == b"\x00\x01\x02\n"
    assert path.read_text() == "clock: 1\n"


def test_a_folder_that_cannot_be_made_is_the_users_mistake(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="failed to open snapshot"):
        SnapshotFile(tmp_path / "file" / "local.snapshot").read()


def test_a_snapshot_that_is_a_folder_is_the_users_mistake(tmp_path: Path) -> None:
    (tmp_path / "local.snapshot").mkdir()
    assert stat.S_ISDIR((tmp_path / "local.snapshot").stat().st_mode)
    with pytest.raises(ConfigError, match="failed to open snapshot"):
        SnapshotFile(tmp_path / "local.snapshot").read()
