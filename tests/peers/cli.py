"""A real Consul agent, and the command lines of real Consul and of consulpy."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from http.client import HTTPException
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.peers.process import spawn
from tests.peers.programs import PATIENCE_S, ROOT


def environment(address: str) -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("CONSUL")}
    return {**plain, "PYTHONPATH": str(ROOT), "CONSUL_HTTP_ADDR": f"{address}:8500"}


def run(program: list[str], address: str, *words: str) -> tuple[int, str, str]:
    """(exit status, output, errors)."""
    done = subprocess.run(
        [*program, *words], env=environment(address), capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    return done.returncode, done.stdout, done.stderr


def theirs(address: str, *words: str) -> tuple[int, str, str]:
    return run(["consul"], address, *words)


def ours(address: str, *words: str) -> tuple[int, str, str]:
    return run([sys.executable, "-m", "consulpy"], address, *words)


class RealAgent:
    """A real server or client with addresses of its own; a context manager."""

    def __init__(self, address: str, directory: Path, *flags: str, server: bool = True) -> None:
        self.address = address
        role = ["-server", "-bootstrap-expect", "1"] if server else []
        node = f"node-{address.rpartition('.')[2]}"
        self._leads = server
        self._log = (directory / f"{node}.log").open("wb")
        data = str(directory / node)
        self.process = spawn(
            ["consul", "agent", "-node", node, "-bind", address, "-client", address, "-data-dir", data, *role, *flags],
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def json(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://{self.address}:8500{path}", timeout=30) as answer:
            return json.load(answer)

    def __enter__(self) -> "RealAgent":
        try:
            deadline = time.monotonic() + PATIENCE_S
            while not self._is_ready():
                assert time.monotonic() < deadline, f"the real agent at {self.address} is not ready"
                time.sleep(0.1)
        except BaseException:
            self.close()
            raise
        return self

    def _is_ready(self) -> bool:
        """Whether a client answers; a server has registered itself too, after which it changes nothing by itself."""
        try:
            if not self._leads:
                return bool(self.json("/v1/agent/members"))
            nodes = self.json("/v1/catalog/nodes")
            return bool(nodes and nodes[0].get("TaggedAddresses"))
        except (OSError, HTTPException, ValueError):
            return False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE_S)
        self._log.close()
