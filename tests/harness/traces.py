"""Traces of simulations that ran in processes of their own."""

import os
import subprocess
import sys
from pathlib import Path


def traces_in_processes(script: str, folder: Path) -> list[bytes]:
    """The traces that `script` writes to the file it is given, in two processes with other orders of sets."""
    traces = []
    for hash_seed in ("0", "4711"):
        path = folder / hash_seed
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        subprocess.run([sys.executable, "-c", script, str(path)], check=True, env=environment, timeout=120)
        traces.append(path.read_bytes())
    return traces
