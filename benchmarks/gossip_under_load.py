"""Suspicions between a server under full DNS and HTTP load and its peers."""

import re
import threading
import time
from pathlib import Path

import load_generators
from processes import NETWORKS, Running, server
from report import THEIRS, Row, Sample
from task import Settings, Task

#: In the log of either program.
_SUSPICION = re.compile(r"suspect \S+ has failed", re.IGNORECASE)
PEERS = 3


def tasks(settings: Settings) -> list[Task]:
    """One task: a server with real Consul clients as its peers."""
    seconds = max(8.0, 10 * settings.seconds)
    row = Row(f"suspicions among a server and {PEERS} Consul clients in {seconds:g} s of full load", "count", "")

    def measure(subject: tuple[str, Path]) -> dict[Row, Sample]:
        program, place = subject
        directory = place / f"load-{program}-{time.monotonic_ns()}"
        directory.mkdir()
        return {row: Sample(float(suspicions(program, directory, seconds)))}

    return [Task((row,), measure, rounds_max=2)]


def suspicions(program: str, directory: Path, seconds: float) -> int:
    """Suspicions logged by the server and its peers while both load generators run. Raises `TimeoutError`."""
    agents = [server(program, directory)]
    questions = directory / "questions"
    questions.write_text("one.node.consul A\n")
    try:
        for number in range(PEERS):
            address = f"{NETWORKS[program]}.{200 + number}"
            agents.append(Running(THEIRS, f"peer{number}", address, directory, "-retry-join", agents[0].address))
        agents[0].wait(lambda: len(agents[0].members()) == 1 + PEERS)
        for agent in agents:
            agent.wait_idle(5.0)
        before = sum(len(_SUSPICION.findall(agent.log())) for agent in agents)
        dns_load = threading.Thread(target=load_generators.dns, args=(agents[0], questions, seconds))
        dns_load.start()
        load_generators.http(agents[0], "/v1/catalog/nodes", seconds)
        dns_load.join()
        return sum(len(_SUSPICION.findall(agent.log())) for agent in agents) - before
    finally:
        for agent in agents:
            agent.close()
