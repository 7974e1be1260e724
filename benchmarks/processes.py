"""Agents of real Consul and consulpy: started, awaited, filled with data; their memory and CPU."""

import http.client
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from report import OURS, THEIRS

#: The two programs that are compared: name and path. `--consulpy` changes ours.
PROGRAMS = {THEIRS: "consul", OURS: str(Path(sys.executable).parent / "consulpy")}
#: The network of each: two servers run side by side without contact.
NETWORKS = {THEIRS: "127.71.1", OURS: "127.71.2"}
#: Connections that each agent accepts from the benchmark.
CONNECTIONS_MAX = 15000
_CONFIG = {"limits": {"http_max_conns_per_client": CONNECTIONS_MAX}, "disable_update_check": True, "log_level": "warn"}
#: Tool -> Debian package.
PACKAGES = {"dnsperf": "dnsperf", "wrk": "wrk"}


def missing() -> list[str]:
    """A line for each tool that is not installed, saying how to get it."""
    lines = [f"{tool}: apt-get install {package}" for tool, package in PACKAGES.items() if not shutil.which(tool)]
    if not shutil.which(PROGRAMS[THEIRS]):
        lines.append("consul (the real one): run tests/peers/install")
    if not shutil.which(PROGRAMS[OURS]):
        lines.append(f"{PROGRAMS[OURS]} does not exist: pip install the wheel, or name it with --consulpy PATH")
    return lines


def machine() -> str:
    """The machine and the versions of the programs, in one line."""
    cpu = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in cpu if "model name" in line), platform.machine())
    versions = (
        subprocess.run([path, "version"], capture_output=True, text=True, check=True, timeout=30).stdout.splitlines()[0]
        for path in PROGRAMS.values()
    )
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return f"{model}, {os.cpu_count()} cores, load average {load}; {'; '.join(versions)}; {platform.platform()}"


class Running:
    """A started agent. Raises `FileExistsError` if another one has its address: that one would be measured."""

    def __init__(self, program: str, node: str, address: str, directory: Path, *flags: str) -> None:
        self.program, self.node, self.address = program, node, address
        if self.http("/v1/status/leader") is not None:
            raise FileExistsError(f"another agent answers at {address}:8500: end it, or run in a network namespace")
        config = directory / f"{program}-{node}.json"
        config.write_text(json.dumps(_CONFIG))
        command = [PROGRAMS[program], "agent", "-node", node, "-bind", address, "-client", address]
        command += ["-config-file", str(config), "-data-dir", str(directory / f"{program}-{node}"), *flags]
        self._log = directory / f"{program}-{node}.log"
        self.started_s = time.monotonic()
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)

    def wait(self, ready: Callable[[], bool], within_s: float = 60.0) -> float:
        """Seconds from its start until `ready`. Raises `TimeoutError` with the end of its log."""
        until(ready, self.started_s + within_s, lambda: f"{self.program} is not ready: {self.log_end()}")
        return time.monotonic() - self.started_s

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def log_end(self) -> str:
        return self.log()[-600:]

    def http(self, path: str) -> bytes | None:
        """The body of a GET, None without a response."""
        try:
            with urllib.request.urlopen(f"http://{self.address}:8500{path}", timeout=10) as answer:
                body: bytes = answer.read()
                return body
        except (urllib.error.URLError, OSError):
            return None

    def put(self, path: str, body: object = None) -> None:
        """PUT JSON. Raises `urllib.error.HTTPError`."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(f"http://{self.address}:8500{path}", data, method="PUT")
        urllib.request.urlopen(request, timeout=10).close()

    def leads(self) -> bool:
        """Whether there is a leader and the agent is in the catalog."""
        body = self.http("/v1/catalog/nodes")
        return body is not None and body.strip() not in (b"[]", b"null")

    def members(self) -> dict[str, int]:
        """Member name -> Serf status (1 alive, 3 left, 4 failed)."""
        return {member["Name"]: member["Status"] for member in json.loads(self.http("/v1/agent/members") or b"[]")}

    def resident_mib(self) -> float:
        fields = dict(line.split(":", 1) for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines())
        return int(fields["VmRSS"].split()[0]) / 1024

    def cpu_s(self) -> float:
        """CPU seconds used so far."""
        parts = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")

    def wait_idle(self, within_s: float = 20.0) -> None:
        """Wait until it uses hardly any CPU, at most `within_s` seconds."""
        end_s = time.monotonic() + within_s
        while time.monotonic() < end_s:
            before_s = self.cpu_s()
            time.sleep(0.4)
            if self.cpu_s() - before_s <= 0.03:
                return

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


def until(ready: Callable[[], bool], end_s: float, why: Callable[[], str]) -> None:
    """Poll `ready` every 5 ms until monotonic time `end_s`. Raises `TimeoutError`."""
    while not ready():
        if time.monotonic() > end_s:
            raise TimeoutError(why())
        time.sleep(0.005)


def server(program: str, directory: Path, *flags: str) -> Running:
    """Start a single durable server; it leads. Raises `TimeoutError`."""
    agent = Running(program, "one", f"{NETWORKS[program]}.1", directory, "-server", "-bootstrap-expect", "1", *flags)
    try:
        agent.wait(agent.leads)
    except BaseException:
        agent.close()
        raise
    return agent


def fill(agent: Running, nodes: int, services: int, named: dict[str, int], agents: int = 1) -> None:
    """Register external nodes, services spread over them, and the services `named` (name -> number of instances).

    `agents`: how many are in the catalog already. Raises `RuntimeError`.
    """
    bodies: list[dict[str, object]] = []
    for number in range(nodes):
        node = {"Node": f"node-{number}", "Address": f"10.9.{number // 250}.{number % 250 + 1}"}
        bodies.append({**node, "Check": {"Name": "up", "CheckID": "up", "Status": "passing"}})
        mine = [f"service-{at}" for at in range(number, services, nodes)]
        mine += [name for name, instances in named.items() if number < instances]
        bodies += [{**node, "Service": {"Service": name, "Port": 8000, "Tags": ["v1"]}} for name in mine]
    workers = [threading.Thread(target=_register, args=(agent.address, bodies[at::16])) for at in range(16)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    known = json.loads(agent.http("/v1/catalog/nodes") or b"[]")
    if len(known) != nodes + agents:
        raise RuntimeError(f"{agent.program} has {len(known)} nodes of {nodes + agents} after registering them")


def _register(address: str, bodies: list[dict[str, object]]) -> None:
    """Register over one connection. `fill` notices errors by counting nodes."""
    connection = http.client.HTTPConnection(address, 8500, timeout=30)
    for body in bodies:
        connection.request("PUT", "/v1/catalog/register", json.dumps(body))
        connection.getresponse().read()
    connection.close()


@contextmanager
def temporary_directory() -> Iterator[Path]:
    """A directory for data and logs, removed afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="consulpy-benchmark-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
