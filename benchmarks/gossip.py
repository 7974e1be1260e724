"""Gossip between processes: convergence of joins, events, leaves and failures."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from random import random
from statistics import median

from processes import NETWORKS, Running, until
from report import Row, Sample
from task import Settings, Task

ALIVE, LEFT, FAILED = 1, 3, 4
TIMEOUT_S = 60.0
#: Events of a round, and the least pause between two, in seconds: one alone takes 0.1 to 0.6 s, as timers' phases fall.
EVENTS = 11
PAUSE_S = 1.5


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
        event_s = median(_event_s(agents, f"benchmark-{number}") for number in range(EVENTS))
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


def _event_s(agents: list[Running], name: str) -> float:
    """Seconds until an event that the first agent fires is known to all."""
    time.sleep(PAUSE_S + random() * 0.2)  # at any time of the gossip interval
    path = f"/v1/event/list?name={name}"
    began_s = time.monotonic()
    agents[0].put(f"/v1/event/fire/{name}", b"x")
    return _converged(agents, began_s, lambda agent: bool(json.loads(agent.http(path) or b"[]")))


def _converged(agents: list[Running], began_s: float, has_it: Callable[[Running], bool]) -> float:
    """Seconds from `began_s` until `has_it` is true for each agent."""
    for agent in agents:
        until(lambda a=agent: has_it(a), began_s + TIMEOUT_S, lambda a=agent: f"{a.program} {a.node}: not in time")
    return time.monotonic() - began_s
