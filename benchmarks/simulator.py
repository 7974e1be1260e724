"""Speed of simulations at rest: nodes times virtual seconds per second of real time.

Runs in the python of the measured `consulpy`; real Consul has no simulator.
"""

import subprocess
from pathlib import Path

from processes import PROGRAMS
from report import OURS, Row, Sample
from task import Settings, Task

SCRIPT = """
import sys, time
from consulpy.testing.simulation import Simulation
nodes, virtual_s, layers = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
simulation = Simulation(1, nodes - 1, seed=1, layers=layers, traced=False)
simulation.run(2.0)  # warm up
began_s = time.perf_counter()
simulation.run(virtual_s)
print(time.perf_counter() - began_s)
"""
#: What is simulated, and how much faster than real time it is to be.
KINDS = (("gossip", "gossip alone", 10), ("agents", "whole agents", 3))


def tasks(settings: Settings) -> list[Task]:
    """Two rows, for consulpy only."""
    size, virtual_s = settings.members, 20.0
    return [_task(size, virtual_s, *kind) for kind in KINDS]


def _task(size: int, virtual_s: float, layers: str, what: str, target: int) -> Task:
    row = Row(f"simulation, {size} nodes, {what} (target: {target} times real time)", "nodes x virtual s/s")

    def measure(subject: tuple[str, Path]) -> dict[Row, Sample]:
        if subject[0] != OURS:
            return {}
        python = Path(PROGRAMS[OURS]).parent / "python"
        command = [str(python), "-c", SCRIPT, str(size), f"{virtual_s}", layers]
        output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300, cwd="/").stdout
        return {row: Sample(size * virtual_s / float(output))}

    return Task((row,), measure, rounds_max=3)
