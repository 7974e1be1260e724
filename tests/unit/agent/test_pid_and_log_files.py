"""The pid file and the log file that an operator asked for."""

import dataclasses
import errno
import os
import threading
from pathlib import Path

import pytest
from twisted.logger import LogEvent, Logger, formatEvent, globalLogPublisher
from twisted.python.logfile import LogFile

from consulpy.agent.process.agent_files import AgentFiles
from consulpy.agent.process.log_file import AgentLogFile
from consulpy.config.schema import RuntimeConfig
from consulpy.errors import ConfigError


def test_the_pid_file_is_there_while_the_agent_runs(tmp_path: Path) -> None:
    path = tmp_path / "agent.pid"
    files = AgentFiles(dataclasses.replace(RuntimeConfig(), pid_file=str(path)), lambda: 0.0)
    assert path.read_text() == str(os.getpid())
    files.close()
    files.close()
    assert not path.exists()


@pytest.mark.parametrize("rotate_bytes", [0, 200])
def test_the_log_goes_into_a_file_too(tmp_path: Path, rotate_bytes: int) -> None:
    config = dataclasses.replace(RuntimeConfig(), log_file=str(tmp_path / "logs") + "/", log_rotate_bytes=rotate_bytes)
    files = AgentFiles(config, lambda: 0.0)
    for number in range(10):
        Logger("consulpy.serf").warn("line {number}", number=number)
    files.close()
    Logger("consulpy.serf").warn("too late")
    written = sorted((tmp_path / "logs").iterdir())
    text = "".join(path.read_text() for path in written)
    assert all(f"agent.serf: line {number}" in text for number in range(10))
    assert "too late" not in text
    assert (len(written) > 1) == bool(rotate_bytes)


def test_lines_wait_for_a_disk_that_hangs_and_too_many_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, path = threading.Event(), tmp_path / "agent.log"
    monkeypatch.setattr("consulpy.agent.process.log_file.LINES_MAX", 3)
    files = AgentFiles(dataclasses.replace(RuntimeConfig(), log_file=str(path)), lambda: 0.0)
    monkeypatch.setattr(LogFile, "write", lambda self, text: go_on.wait(10) and self._file.write(text.encode()))

    for number in range(12):
        Logger("consulpy.serf").warn("line {number}", number=number)
    assert path.read_text() == "", "nobody waited"
    go_on.set()
    files.close()

    text = path.read_text()
    assert text.count(": line ") in (3, 4)
    assert f"{12 - text.count(': line ')} lines of the log were dropped" in text


def test_a_full_disk_is_said_once_and_the_file_goes_on_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, is_full, real_write = tmp_path / "agent.log", True, LogFile.write

    def write(self: LogFile, text: str) -> None:
        if is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real_write(self, text)  # type: ignore[no-untyped-call]

    monkeypatch.setattr(LogFile, "write", write)
    said: list[str] = []

    def observe(event: LogEvent) -> None:
        said.append(formatEvent(event))

    globalLogPublisher.addObserver(observe)
    log_file = AgentLogFile(dataclasses.replace(RuntimeConfig(), log_file=str(path)), lambda: 0.0, lambda job: job())
    try:
        for number in range(50):
            Logger("consulpy.serf").warn("line {number}", number=number)
        assert [text for text in said if "line" not in text.split()[0]] == [
            f"the log file {path} cannot be written, its lines are lost until it can: No space left on device"
        ]
        is_full = False
        Logger("consulpy.serf").warn("there is room")
    finally:
        log_file.close()
        globalLogPublisher.removeObserver(observe)
    text = path.read_text()
    assert "there is room" in text
    assert "51 lines of the log were dropped" in text


def test_a_rotation_that_failed_leaves_a_file_that_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "agent.log"
    config = dataclasses.replace(RuntimeConfig(), log_file=str(path))
    log_file = AgentLogFile(config, lambda: 0.0, lambda job: job())
    try:
        log_file._file._file.close()
        Logger("consulpy.serf").warn("after it")
    finally:
        log_file.close()
    assert "after it" in path.read_text()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="missing"):
        AgentFiles(dataclasses.replace(RuntimeConfig(), pid_file=str(tmp_path / "missing" / "agent.pid")), lambda: 0.0)


@pytest.mark.parametrize(("most", "kept"), [(0, 3), (2, 2), (-1, 0)])
def test_the_log_begins_anew_after_its_time(tmp_path: Path, most: int, kept: int) -> None:
    """`log_rotate_max_files`: 0 keeps all old ones, less than 0 none."""
    now_s = 0.0
    config = dataclasses.replace(
        RuntimeConfig(), log_file=str(tmp_path / "agent.log"), log_rotate_duration_s=3600.0, log_rotate_max_files=most
    )
    files = AgentFiles(config, lambda: now_s, lambda job: job())
    for hour in range(4):
        now_s = hour * 3600.0 + 1.0
        Logger("consulpy.serf").warn("hour {hour}", hour=hour)
        Logger("consulpy.serf").warn("again")
    files.close()
    assert "hour 3" in (tmp_path / "agent.log").read_text()
    assert "hour 2" not in (tmp_path / "agent.log").read_text()
    assert len(list(tmp_path.glob("agent.log.*"))) == kept
