"""twistd and `consulpy agent` write the same log: lines, names and levels, in text, JSON and files."""

import os
import re
import signal
from pathlib import Path

import pytest

from consulpy.agent.process.logs import LogSink
from consulpy.agent.process.twistd_log import TwistdLog
from tests.peers.programs import Host, ask, eventually, hosts

ADDRESS = "127.0.66.1"
WAYS = {"agent": ["consulpy", "agent"], "twistd": ["twistd", "-n", "--pidfile=", "consulpy"]}
FLAGS = ["-server", "-bootstrap-expect=1", "-node=n1", f"-bind={ADDRESS}", f"-client={ADDRESS}"]
NODE_ID = "-node-id=11111111-2222-3333-4444-555555555501"


def life(host: Host, name: str, command: list[str], *flags: str) -> str:
    """The output of an agent that leads, reloads and is ended."""
    program = host.start(name, *command, *FLAGS, NODE_ID, f"-data-dir={host.directory / name}", *flags)
    eventually(lambda: "leads datacenter" in program.output, "a leader")
    program.process.send_signal(signal.SIGHUP)
    eventually(lambda: "reloaded" in program.output, "a reload")
    program.terminate()
    return program.output


def without_times(log: str) -> str:
    """Turns that were late because the machine is busy are left out."""
    lines = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", log).splitlines()
    return "\n".join(line for line in lines if "a turn of the reactor took" not in line)


@pytest.mark.parametrize("flags", [[], ["-log-json"]], ids=["plain", "json"])
def test_the_lines_are_the_same(tmp_path: Path, flags: list[str]) -> None:
    with hosts(tmp_path, None) as (host,):
        logs = {name: without_times(life(host, name, command, *flags)) for name, command in WAYS.items()}
    assert logs["twistd"] == logs["agent"]
    assert "this server leads" in logs["agent"]


def test_a_daemon_writes_them_to_its_file(tmp_path: Path) -> None:
    with hosts(tmp_path, None) as (host,):
        host.run("twistd", "--logfile=log", "consulpy", *FLAGS, f"-data-dir={tmp_path / 'data'}")
        pid = int((host.directory / "twistd.pid").read_text())
        try:
            eventually(lambda: ask(f"{ADDRESS}:8500/v1/status/leader"), "a leader")
        finally:
            os.kill(pid, signal.SIGTERM)
        log = host.directory / "log"
        eventually(lambda: "shutting down without a leave" in log.read_text(), "its end")
        assert all(re.match(r"[\d-]+T[\d:.]+Z \[(INFO|WARN)\] +agent", line) for line in log.read_text().splitlines())


def test_an_observer_that_was_named_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing is opened beside it."""
    monkeypatch.setattr(LogSink, "__init__", None)
    reactor, config = None, None
    assert TwistdLog(config, {"logger": print, "nodaemon": True}, reactor).observer is None  # type: ignore[arg-type]
    assert TwistdLog(config, {"logfile": "-"}, reactor).observer is None  # type: ignore[arg-type]
