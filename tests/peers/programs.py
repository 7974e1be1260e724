"""Real programs (consulpy, Consul, Serf): started, queried and stopped, on loopback or in network namespaces."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.peers.process import spawn

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
#: Programs in place of those that a machine lacks; the real ones are found first.
STAND_INS = Path(__file__).with_name("stand_ins")
#: Timeout of one step of a program in seconds; generous, because CI has two slow cores that many programs share.
PATIENCE_S = 90.0


def environment() -> dict[str, str]:
    """The environment of our programs: the checkout's plugin is found, output is not buffered."""
    path = f"{BIN}:{os.environ['PATH']}:{STAND_INS}"
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "PATH": path}


def eventually(check: Callable[[], Any], what: str, within_s: float = PATIENCE_S) -> Any:
    """Call `check` until it returns something true, and return that; errors of requests count as false."""
    deadline = time.monotonic() + within_s
    last: Any = None
    while (began_s := time.monotonic()) < deadline:
        try:
            last = check()
            if last:
                return last
        except (OSError, ValueError, KeyError, IndexError, AssertionError, subprocess.SubprocessError) as error:
            last = error
        took_s = time.monotonic() - began_s
        time.sleep(min(max(0.1, 2 * took_s), 1.0))  # a check that runs a program leaves two thirds to what it waits for
    raise AssertionError(f"not within {within_s:.0f} s: {what}; last seen: {last!r}")


class Program:
    """One process and its output."""

    def __init__(self, command: list[str], log: Path, cwd: Path, prefix: tuple[str, ...] = ()) -> None:
        self.command = command
        self.log = log
        self._file = log.open("ab")
        self.process = spawn(
            [*prefix, *command], cwd=cwd, env=environment(), stdout=self._file, stderr=subprocess.STDOUT
        )

    @property
    def output(self) -> str:
        """Its output so far."""
        return self.log.read_text(errors="replace")

    def interrupt(self, within_s: float = PATIENCE_S) -> int:
        """Send SIGINT and wait for the end; its exit status."""
        self.process.send_signal(signal.SIGINT)
        return self.wait(within_s)

    def terminate(self, within_s: float = PATIENCE_S) -> int:
        """Send SIGTERM and wait for the end; its exit status."""
        self.process.terminate()
        return self.wait(within_s)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.process.kill()
        self.process.wait(PATIENCE_S)

    def wait(self, within_s: float = PATIENCE_S) -> int:
        """Wait for its end; its exit status."""
        try:
            return self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.command} did not end in {within_s} s:\n{self.output[-4000:]}") from None

    def close(self) -> None:
        """Kill it if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE_S)
        self._file.close()


class Host:
    """Where programs run: this machine, or a network namespace of it."""

    def __init__(self, directory: Path, namespace: str | None = None) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._prefix = ("ip", "netns", "exec", namespace) if namespace else ()
        self.programs: list[Program] = []

    def start(self, name: str, *command: str) -> Program:
        """Start a program in the background; its output goes to NAME.log."""
        program = Program(list(command), self.directory / f"{name}.log", self.directory, self._prefix)
        self.programs.append(program)
        return program

    def run(self, *command: str, check: bool = True, within_s: float = PATIENCE_S) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        done = subprocess.run(
            [*self._prefix, *command],
            cwd=self.directory,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done

    def output(self, *command: str) -> str:
        """Run a command; its output."""
        return self.run(*command).stdout

    def close(self) -> None:
        """Kill all programs that still run."""
        for program in self.programs:
            program.close()


@contextmanager
def hosts(directory: Path, *namespaces: str | None) -> Iterator[list[Host]]:
    """Hosts whose programs are killed at the end."""
    made = [Host(directory / f"host{number}", name) for number, name in enumerate(namespaces, 1)]
    try:
        yield made
    finally:
        for host in made:
            host.close()


def ask(url: str, method: str = "GET", body: bytes | None = None, within_s: float = 30.0) -> Any:
    """Send an HTTP request; its JSON, or text. Raises ValueError with the text for an error status."""
    request = urllib.request.Request(f"http://{url}", data=body, method=method)
    try:
        with urllib.request.urlopen(request, timeout=within_s) as answer:
            text = answer.read().decode()
    except urllib.error.HTTPError as error:
        raise ValueError(f"{error.code}: {error.read().decode()}") from None
    try:
        return json.loads(text)
    except ValueError:
        return text


def logged_warnings(log: str) -> list[str]:
    """Warnings and errors in an agent's log, but for what our agent says of a busy machine: its turns take long."""
    lines = [line for line in log.splitlines() if "[WARN]" in line or "[ERR" in line]
    return [line for line in lines if "a turn of the reactor took" not in line]


#: Names of member statuses, which are numbers in the HTTP API.
STATUS = {0: "none", 1: "alive", 2: "leaving", 3: "left", 4: "failed"}


def members(http: str) -> dict[str, str]:
    """Name -> status of the members that the agent at `http` (host:port) knows."""
    return {member["Name"]: STATUS[member["Status"]] for member in ask(f"{http}/v1/agent/members")}
