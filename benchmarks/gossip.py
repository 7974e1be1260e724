"""Gossip between processes: convergence of joins, events, leaves and failures."""

import json
import time
from collections.abc import Callable
from pathlib import Path

from processes import NETWORKS, Running, until
from report import Row, Sample
from task import Settings, Task

ALIVE, LEFT, FAILED = 1, 3, 4
TIMEOUT_S = 60.0


def tasks(settings: Settings) -> list[Task]:
    """A task of four rows for each number of agents, which it starts."""
    return [_task(size) for size in settings.agents]


def _task(size: int) -> Task:
    rows = tuple(
        Row(f"gossip, {size} agents: {what}", "s", "<= 1.0", 2)
        for what in ("all know all after joining", "an event is everywhere", "a leave is known", "a failure is known")
    )

    def measure(subject: tuple[str, Path]) -> dict[Row, Sample]:
        program, place = subject
        directory = place / f"gossip-{program}-{time.monotonic_ns()}"
        directory.mkdir()
        return dict(zip(rows, map(Sample, spread(program, directory, size)), strict=True))

    return Task(rows, measure, rounds_max=3)


def spread(program: str, directory: Path, size: int) -> tuple[float, float, float, float]:
    """Seconds of join, event, leave and failure, each until the last agent has it. Raises `TimeoutError`."""
    agents: list[Running] = []
    try:
        for number in range(size):
            flags = () if number else ("-server", "-bootstrap-expect", "1")
            agents.append(Running(program, f"n{number}", f"{NETWORKS[program]}.{10 + number}", directory, *flags))
        for agent in agents:
            agent.wait(lambda a=agent: a.http("/v1/agent/members") is not None)
        first = agents[0]
        first.wait(first.leads)
        began_s = time.monotonic()
        for agent in agents[1:]:
            agent.put(f"/v1/agent/join/{first.address}")
        join_s = _converged(agents, began_s, lambda agent: list(agent.members().values()).count(ALIVE) == size)
        for agent in agents:
            agent.wait_idle(3.0)
        began_s = time.monotonic()
        first.put("/v1/event/fire/benchmark", b"x")
        event_s = _converged(agents, began_s, lambda agent: bool(json.loads(agent.http("/v1/event/list") or b"[]")))
        leaver, failing = agents[-1], agents[-2]
        began_s = time.monotonic()
        leaver.process.terminate()  # a client leaves on SIGTERM by default
        leave_s = _converged(agents[:-1], began_s, lambda agent: agent.members()[leaver.node] == LEFT)
        began_s = time.monotonic()
        failing.process.kill()
        failure_s = _converged(agents[:-2], began_s, lambda agent: agent.members()[failing.node] == FAILED)
        return join_s, event_s, leave_s, failure_s
    finally:
        for agent in agents:
            agent.close()


def _converged(agents: list[Running], began_s: float, has_it: Callable[[Running], bool]) -> float:
    """Seconds from `began_s` until `has_it` is true for each agent."""
    for agent in agents:
        until(lambda a=agent: has_it(a), began_s + TIMEOUT_S, lambda a=agent: f"{a.program} {a.node}: not in time")
    return time.monotonic() - began_s
