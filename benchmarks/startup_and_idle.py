"""Start-up until HTTP, leader and DNS answer; then memory and CPU of an idle server and client."""

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
    """Whether the agent resolves its own node name."""
    command = ["dnsperf", "-s", agent.address, "-p", "8600", "-n", "1", "-t", "0.5", "-v"]
    question = f"{agent.node}.node.consul A\n"
    output = subprocess.run(command, input=question, capture_output=True, text=True, check=False, timeout=10).stdout
    return "> NOERROR" in output


@contextmanager
def setup(program: str, place: Path) -> Iterator[tuple[str, Path]]:
    """No setup: each measurement starts its own agents."""
    yield program, place


def tasks(settings: Settings) -> list[Task]:
    """One task: start a server and a client, and leave them idle."""

    def measure(subject: tuple[str, Path]) -> dict[Row, Sample]:
        program, place = subject
        directory = place / f"start-{program}-{time.monotonic_ns()}"
        directory.mkdir()
        return start_and_idle(program, directory, settings.idle_s)

    return [Task((HTTP, LEADER, DNS, *MEMORY.values(), *CPU.values()), measure, rounds_max=3)]


def start_and_idle(program: str, directory: Path, idle_s: float) -> dict[Row, Sample]:
    """Times from exec; memory and CPU while idle."""
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
            agent.wait_idle(8.0)
        before_s = {kind: agent.cpu_s() for kind, agent in running.items()}
        time.sleep(idle_s)
        for kind, agent in running.items():
            found[CPU[kind]] = Sample((agent.cpu_s() - before_s[kind]) * 60 / idle_s)
            found[MEMORY[kind]] = Sample(agent.resident_mib())
        return found
    finally:
        for agent in running.values():
            agent.close()


def full_memory(nodes: int, services: int) -> Task:
    """Memory of a server with a full catalog; must be the first task of its group."""
    row = Row(FULL.format(nodes, services), "RSS MiB", "<= 0.7", 1)
    return task(row, lambda agent: Sample(agent.resident_mib()), rounds_max=1)
