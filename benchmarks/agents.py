"""Real Consul and consulpy side by side: starting them, waiting for them, and reading what they cost.

Each benchmark alternates the two, takes medians and prints ratios: single figures of a noisy machine mean little.
"""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
#: The two programs that are compared: name and command.
PROGRAMS = {"consul": ["consul"], "consulpy": [str(BIN / "consulpy")]}


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def machine() -> str:
    """One line on where this was measured."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    version = subprocess.run(["consul", "version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return f"{model}, {os.cpu_count()} cores, load {load}; {version}, Python {platform.python_version()}"


class Running:
    """One agent that runs."""

    def __init__(self, program: str, node: str, address: str, directory: Path, *flags: str) -> None:
        self.address = address
        data = directory / f"{program}-{node}"
        command = [*PROGRAMS[program], "agent", "-node", node, "-bind", address, "-client", address]
        self._log = (directory / f"{program}-{node}.log").open("wb")
        self.started_s = time.monotonic()
        self.process = subprocess.Popen(
            [*command, "-data-dir", str(data), *flags], env=environment(), stdout=self._log, stderr=subprocess.STDOUT
        )

    def wait(self, ready: Callable[[], bool], within_s: float = 60.0) -> float:
        """Seconds from its start until `ready`. Raises `TimeoutError`."""
        while not ready():
            if time.monotonic() - self.started_s > within_s:
                raise TimeoutError(f"{self.process.args} is not ready after {within_s} s")
            time.sleep(0.005)
        return time.monotonic() - self.started_s

    def http(self, path: str) -> bytes | None:
        """The body that its HTTP API answers, None while it doesn't."""
        try:
            with urllib.request.urlopen(f"http://{self.address}:8500{path}", timeout=2) as answer:
                body: bytes = answer.read()
                return body
        except (urllib.error.URLError, OSError):
            return None

    def leads(self) -> bool:
        """Whether it knows a leader and has itself in the catalog."""
        body = self.http("/v1/catalog/nodes")
        return body is not None and body.strip() not in (b"[]", b"null")

    def memory_mib(self) -> tuple[float, float]:
        """Resident and private memory in MiB."""
        fields = {}
        for line in Path(f"/proc/{self.process.pid}/smaps_rollup").read_text().splitlines()[1:]:
            key, _, value = line.partition(":")
            fields[key] = int(value.split()[0])
        return fields["Rss"] / 1024, (fields["Private_Clean"] + fields["Private_Dirty"]) / 1024

    def cpu_s(self) -> float:
        """CPU seconds that it used so far."""
        parts = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._log.close()


@contextmanager
def workplace() -> Iterator[Path]:
    """A directory for data and logs, gone afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="consulpy-benchmark-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
