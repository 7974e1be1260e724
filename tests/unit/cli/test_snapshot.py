"""`consulpy snapshot`: files are verified before they count, and old ones of our own make room."""

import gzip
import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from consulpy.cli.main import main
from consulpy.cli.snapshot import expired
from consulpy.client import Client
from consulpy.state import archive
from tests.harness.archives import written

GOOD = written(7, 2, [archive.Voter("id", "127.0.0.1:8300")], [], unix_ms=5000)


@pytest.fixture(autouse=True)
def server(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What the servers answer, and what they were given."""
    state = [GOOD]
    monkeypatch.setattr(Client, "snapshot", lambda _self, **_: (7, state[0]))
    monkeypatch.setattr(Client, "restore_snapshot", lambda _self, data, **_: state.append(data))
    return state


def test_a_saved_file_is_verified_and_private(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "backup.snap"
    assert main(["snapshot", "save", str(path)]) == 0
    assert capsys.readouterr().out == "Saved and verified snapshot to index 7\n"
    assert path.read_bytes() == GOOD
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["backup.snap"]


def test_a_device_or_a_pipe_is_not_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Other than by Consul: `snapshot save /dev/stdout` by root would take that name away from all programs."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    assert main(["snapshot", "save", str(path)]) == 1
    assert "is no regular file" in capsys.readouterr().err
    assert path.is_fifo()
    assert [each.name for each in tmp_path.iterdir()] == ["pipe"]


def test_a_damaged_snapshot_never_gets_the_name(
    tmp_path: Path, server: list[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    server[0] = GOOD[:-30]
    path = tmp_path / "backup.snap"
    path.write_bytes(GOOD)
    assert main(["snapshot", "save", str(path)]) == 1
    assert "Error verifying snapshot file: failed to decompress snapshot: unexpected EOF" in capsys.readouterr().err
    assert path.read_bytes() == GOOD


def test_inspecting_says_what_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "backup.snap"
    path.write_bytes(GOOD)
    assert main(["snapshot", "inspect", str(path)]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "ID           2-7-5000"
    assert shown[2:] == ["Index        7", "Term         2", "Version      1"]
    assert main(["snapshot", "inspect", "-format=json", str(path)]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "ID": "2-7-5000",
        "Size": int(shown[1].split()[1]),
        "Index": 7,
        "Term": 2,
        "Version": 1,
    }


def test_restoring_sends_the_file(tmp_path: Path, server: list[bytes], capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "backup.snap"
    path.write_bytes(GOOD)
    assert main(["snapshot", "restore", str(path)]) == 0
    assert server[1:] == [GOOD]
    assert capsys.readouterr().out == "Restored snapshot\n"


@pytest.mark.parametrize("action", ["restore", "inspect"])
def test_a_file_that_is_not_there(action: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "nothing"
    assert main(["snapshot", action, str(path)]) == 1
    assert capsys.readouterr().err == f"Error opening snapshot file: open {path}: no such file or directory\n"


@pytest.mark.parametrize("action", ["save", "restore", "inspect"])
def test_one_file_is_wanted(action: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["snapshot", action]) == 1
    assert capsys.readouterr().err.startswith("Missing FILE argument\n")
    assert main(["snapshot", action, "a", "b"]) == 1
    assert capsys.readouterr().err.startswith("Too many arguments (expected 1, got 2)\n")


def test_the_agent_keeps_the_last_ones(tmp_path: Path) -> None:
    for name in ("consul-1000000000000.snap", "consul-1000000000001.snap", "mine.snap"):
        (tmp_path / name).touch()
    words = ["snapshot", "agent", "-interval", "0s", "-retain", "2", "-local-path", str(tmp_path)]
    assert main(words) == 0
    names = {each.name for each in tmp_path.iterdir()}
    assert {"consul-1000000000001.snap", "mine.snap"} < names
    assert len(names) == 3


def test_only_our_own_files_expire() -> None:
    ours = [f"consul-{1_000_000_000_000 + number}.snap" for number in range(5)]
    assert expired([*reversed(ours), "consul-1.snap", "backup.snap"], 3) == ours[:2]
    assert expired(ours, 9) == []


def test_a_tar_ends_where_go_expects_its_end() -> None:

    tar = gzip.decompress(GOOD)
    with tarfile.open(fileobj=io.BytesIO(tar)) as found:
        last = found.getmembers()[-1]
    assert len(tar) == last.offset_data + 512 * -(-last.size // 512) + 1024
