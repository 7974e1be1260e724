"""A command that is ended by a signal ends what it runs, and what that has started."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from consulpy.cli import signals
from tests.peers.cli import RealAgent, environment
from tests.peers.process import spawn
from tests.peers.programs import PATIENCE_S

pytestmark = pytest.mark.peers

ADDRESS = "127.36.2.10"
#: A child that starts a child, says both pids, and waits.
SCRIPT = 'sleep 300 & echo "$$ $!" > {file}; wait'


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealAgent]:
    with RealAgent(ADDRESS, tmp_path_factory.mktemp("agent")) as agent:
        yield agent


def is_running(pid: int) -> bool:
    with suppress(FileNotFoundError):
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    return False


def eventually(what: Callable[[], bool], within_s: float = PATIENCE_S) -> bool:
    end_s = time.monotonic() + within_s
    while not what():
        if time.monotonic() > end_s:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGINT])
@pytest.mark.parametrize("command", ["watch -type services", "lock -verbose some/prefix"])
def test_nothing_is_left_behind(agent: RealAgent, tmp_path: Path, command: str, number: signal.Signals) -> None:
    file = tmp_path / "pids"
    program = [sys.executable, "-m", "consulpy", *command.split(), SCRIPT.format(file=file)]
    process = spawn(program, env=environment(ADDRESS), stdout=subprocess.DEVNULL)
    assert eventually(lambda: file.exists() and len(file.read_text().split()) == 2)
    pids = [int(pid) for pid in file.read_text().split()]

    os.kill(process.pid, number)

    process.wait(60)
    is_end = command.startswith("lock") or number in (signal.SIGTERM, signal.SIGINT)  # as in Consul
    assert process.returncode == (0 if is_end else 128 + number)
    assert eventually(lambda: not any(is_running(pid) for pid in pids)), "the child or its child still runs"


@pytest.mark.parametrize("command", ["watch -type services", "lock some/prefix", "lock -pass-stdin some/prefix"])
def test_a_killed_command_leaves_no_child_that_goes_on(agent: RealAgent, tmp_path: Path, command: str) -> None:
    """It would go on without its lock. Other than of Consul, whose child stays."""
    file = tmp_path / "pids"
    program = [sys.executable, "-m", "consulpy", *command.split(), f'echo "$$" > {file}; exec sleep 300']
    process = spawn(program, env=environment(ADDRESS), stdout=subprocess.DEVNULL)
    assert eventually(lambda: file.exists() and bool(file.read_text().strip()))
    pid = int(file.read_text())

    os.kill(process.pid, signal.SIGKILL)

    process.wait(60)
    assert eventually(lambda: not is_running(pid))


@pytest.mark.parametrize("command", ["watch -type services", "lock some/prefix"])
def test_signals_that_mean_nothing_do_nothing(agent: RealAgent, tmp_path: Path, command: str) -> None:
    """Go's programs ignore them; Python's end at once, and what they run stays."""
    file = tmp_path / "pids"
    program = [sys.executable, "-m", "consulpy", *command.split(), SCRIPT.format(file=file)]
    process = spawn(program, env=environment(ADDRESS), stdout=subprocess.DEVNULL)
    assert eventually(lambda: file.exists() and len(file.read_text().split()) == 2)
    for number in signals.IGNORED:
        os.kill(process.pid, number)
    time.sleep(0.2)
    assert process.poll() is None
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(60) == 0


def test_a_watch_that_waits_for_a_change_ends_well(agent: RealAgent, tmp_path: Path) -> None:
    file = tmp_path / "ran"
    program = [sys.executable, "-m", "consulpy", "watch", "-type", "services", f"touch {file}"]
    process = spawn(program, env=environment(ADDRESS))
    assert eventually(file.exists)
    time.sleep(0.5)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(60) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_exec_takes_its_session_with_it(agent: RealAgent, number: signal.Signals) -> None:
    program = [sys.executable, "-m", "consulpy", "exec", "-wait=30s", "sleep 1"]
    process = spawn(program, env=environment(ADDRESS), stdout=subprocess.DEVNULL)
    assert eventually(lambda: bool(agent.json("/v1/session/list")))

    os.kill(process.pid, number)

    process.wait(60)
    assert agent.json("/v1/session/list") == []


def test_a_signal_while_a_child_is_started_comes_when_the_child_is_known() -> None:
    started: list[bool] = []

    def start() -> None:
        with signals.raised(), signals.after_start():
            os.kill(os.getpid(), signal.SIGTERM)
            started.append(True)

    with pytest.raises(signals.Ended):
        start()
    assert started
