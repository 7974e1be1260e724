"""Start-up until HTTP, leader and DNS answer; then memory and CPU at rest of a server and of a client."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from processes import NETWORKS, Running
from report import Row, Sample
from task import Settings, Task, task

HTTP = Row("start-up until HTTP answers, slower of server and client", "s", "", 2)
LEADER = Row("start-up until the server leads", "s", "<= 0.3", 2)
DNS = Row("start-up until DNS answers", "s", "<= 0.3", 2)
MEMORY = {kind: Row(f"memory of a {kind} at rest", "RSS MiB", "<= 1.0", 1) for kind in ("server", "client")}
CPU = {kind: Row(f"CPU of a {kind} at rest", "s a minute", "<= 1.5", 2) for kind in ("server", "client")}
FULL = "memory of a server with {} nodes and {} services"


def dns_answers(agent: Running) -> bool:
    """Whether it finds its own node by DNS."""
    command = ["dnsperf", "-s", agent.address, "-p", "8600", "-n", "1", "-t", "0.5", "-v"]
    asked = f"{agent.node}.node.consul A\n"
    told = subprocess.run(command, input=asked, capture_output=True, text=True, check=False, timeout=10).stdout
    return "> NOERROR" in told


@contextmanager
def scene(program: str, place: Path) -> Iterator[tuple[str, Path]]:
    """Nothing runs yet: each measurement starts its own agents."""
    yield program, place


def tasks(settings: Settings) -> list[Task]:
    """One task: it starts a server and a client, and lets them rest."""

    def measure(subject: tuple[str, Path]) -> dict[Row, Sample]:
        program, place = subject
        directory = place / f"start-{program}-{time.monotonic_ns()}"
        directory.mkdir()
        return start_and_rest(program, directory, settings.rest_s)

    return [Task((HTTP, LEADER, DNS, *MEMORY.values(), *CPU.values()), measure, most=3)]


def start_and_rest(program: str, directory: Path, rest_s: float) -> dict[Row, Sample]:
    """Times from exec; memory and CPU after everything settled."""
    network = NETWORKS[program]
    server = Running(program, "one", f"{network}.2", directory, "-server", "-bootstrap-expect", "1")
    client = Running(program, "two", f"{network}.3", directory, "-retry-join", server.address)
    running = {"server": server, "client": client}
    try:
        http_s = max(agent.wait(lambda a=agent: a.http("/v1/agent/members") is not None) for agent in running.values())
        found = {HTTP: Sample(http_s), LEADER: Sample(server.wait(server.leads))}
        found[DNS] = Sample(server.wait(lambda: dns_answers(server)))
        client.wait(lambda: len(client.members()) == 2)
        for agent in running.values():
            agent.settle(8.0)
        before_s = {kind: agent.cpu_s() for kind, agent in running.items()}
        time.sleep(rest_s)
        for kind, agent in running.items():
            found[CPU[kind]] = Sample((agent.cpu_s() - before_s[kind]) * 60 / rest_s)
            found[MEMORY[kind]] = Sample(agent.resident_mib())
        return found
    finally:
        for agent in running.values():
            agent.close()


def full_memory(nodes: int, services: int) -> Task:
    """The memory of the server of a scene that has a full catalog; must be its first task."""
    row = Row(FULL.format(nodes, services), "RSS MiB", "<= 0.7", 1)
    return task(row, lambda agent: Sample(agent.resident_mib()), most=1)
