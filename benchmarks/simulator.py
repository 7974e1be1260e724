"""Speed of the simulator: members times virtual seconds per second of real time.

Runs in the python of the measured `consulpy`; real Consul has no simulator.
"""

import subprocess
from pathlib import Path

from processes import PROGRAMS
from report import OURS, Row, Sample
from task import Settings, Task

SCRIPT = """
import sys, time
from consulpy.testing.simulation.cluster import Cluster
cluster = Cluster(int(sys.argv[1]), settled=True)
cluster.run(2.0)  # warm up
began_s = time.perf_counter()
cluster.run(float(sys.argv[2]))
print(time.perf_counter() - began_s)
"""


def tasks(settings: Settings) -> list[Task]:
    """One row, for consulpy only."""
    size, virtual_s = settings.members, 20.0
    row = Row(f"simulator, {size} settled members (target: 10 times real time)", "members x virtual s/s")

    def measure(subject: tuple[str, Path]) -> dict[Row, Sample]:
        if subject[0] != OURS:
            return {}
        python = Path(PROGRAMS[OURS]).parent / "python"
        command = [str(python), "-c", SCRIPT, str(size), f"{virtual_s}"]
        output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120, cwd="/").stdout
        return {row: Sample(size * virtual_s / float(output))}

    return [Task((row,), measure, rounds_max=3)]
