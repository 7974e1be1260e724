"""The log to syslog, in the form in which a socket got it from a real agent."""

import os
import socket
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from twisted.logger import LogLevel

from consulpy.agent.process.syslog import SyslogSink
from consulpy.config.flags import AgentFlags
from consulpy.config.load import read
from consulpy.config.schema import RuntimeConfig
from consulpy.errors import ConfigError
from tests.fakes.config import FakeHost


def config(**values: Any) -> RuntimeConfig:
    return read(AgentFlags(values={"data_dir": "/x", "enable_syslog": True, **values}), FakeHost())


def event(level: LogLevel, text: str) -> dict[str, Any]:
    return {"log_time": 0.0, "log_level": level, "log_namespace": "consulpy.serf.x", "log_format": text}


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as found:
        found.bind(str(tmp_path / "log"))
        found.settimeout(5)
        yield found


def sink(tmp_path: Path, **values: Any) -> SyslogSink:
    return SyslogSink(
        config(**values), (str(tmp_path / "none"), str(tmp_path / "log")), lambda: datetime(2026, 11, 8, 2, 3, 4)
    )


@pytest.mark.parametrize(
    ("level", "facility", "priority"),
    [
        (LogLevel.info, "LOCAL0", 133),
        (LogLevel.warn, "local7", 188),
        (LogLevel.error, "DAEMON", 27),
        (LogLevel.critical, "AUTHPRIV", 82),
    ],
)
def test_a_line_is_a_datagram(
    tmp_path: Path, listening: socket.socket, level: LogLevel, facility: str, priority: int
) -> None:
    sink(tmp_path, syslog_facility=facility)(event(level, "text"))
    head, _, line = listening.recv(4096).decode().partition(": ")
    assert head == f"<{priority}>Nov  8 02:03:04 consulpy[{os.getpid()}]"
    assert line.startswith("1970-01-01T00:00:00.000Z [")
    assert line.endswith("agent.serf: text\n")


def test_the_level_is_the_configurations(tmp_path: Path, listening: socket.socket) -> None:
    talkative = sink(tmp_path, log_level="WARN")
    talkative(event(LogLevel.info, "not this"))
    talkative(event(LogLevel.warn, "this"))
    assert b"this" in listening.recv(4096)


def test_a_syslog_that_is_started_anew_is_found(tmp_path: Path, listening: socket.socket) -> None:
    talking = sink(tmp_path)
    listening.close()
    talking(event(LogLevel.info, "lost"))
    (tmp_path / "log").unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as again:
        again.bind(str(tmp_path / "log"))
        again.settimeout(5)
        talking(event(LogLevel.info, "there"))
        assert b"there" in again.recv(4096)


def test_it_never_waits(tmp_path: Path, listening: socket.socket) -> None:
    """Nobody reads: what does not fit is dropped."""
    talking = sink(tmp_path)
    for number in range(5000):
        talking(event(LogLevel.info, f"{number} " + "x" * 1000))
    assert b" 0 x" in listening.recv(4096)


def test_without_a_syslog_the_agent_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"enable_syslog \(-syslog\): no syslog listens at "):
        sink(tmp_path)
    with pytest.raises(ConfigError, match=r"syslog_facility: expected one of KERN, .* LOCAL7, not 'nope'"):
        sink(tmp_path, syslog_facility="nope")


def test_the_name_is_that_of_twistd_s_prefix(tmp_path: Path, listening: socket.socket) -> None:
    SyslogSink(config(), (str(tmp_path / "log"),), tag="web")(event(LogLevel.info, "text"))
    assert f" web[{os.getpid()}]: " in listening.recv(4096).decode()
