"""The real programs that tests start end with the tests."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.peers.programs import eventually

ROOT = Path(__file__).parents[2]
_STARTS_ONE = """
import time
from tests.peers.process import spawn
print(spawn(["sleep", "60"]).pid, flush=True)
time.sleep(60)
"""


def test_a_program_ends_with_the_test_process_that_is_killed() -> None:
    """A time limit of a test ends its process without running any `finally`."""
    tests = subprocess.Popen([sys.executable, "-c", _STARTS_ONE], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert tests.stdout is not None
    with tests.stdout:
        pid = int(tests.stdout.readline())
    eventually(lambda: Path(f"/proc/{pid}/comm").read_text() == "sleep\n", "what ties its life to the tests' has run")
    tests.send_signal(signal.SIGKILL)
    tests.wait(60)
    deadline = time.monotonic() + 60
    while is_running(pid):
        assert time.monotonic() < deadline, "it outlived the tests"
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    """Whether the process is there, and not only as a zombie."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
