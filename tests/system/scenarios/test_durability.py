"""Nothing that was acknowledged is lost by kill -9 at any moment."""

import json
import random
import threading
import time
from pathlib import Path

from tests.harness.effort import cases
from tests.peers.programs import ask, eventually, hosts

OURS = "127.42.0.1"
ROUNDS = max(3, cases(6))


def test_acknowledged_registrations_survive_a_loop_of_kills(tmp_path: Path) -> None:
    """A writer registers nodes while the server is killed again and again: no acknowledged one is lost."""
    rng = random.Random(2026)
    acknowledged: list[str] = []
    done = threading.Event()

    def write() -> None:
        number = 0
        while not done.is_set():
            name = f"node-{number:05d}"
            body = json.dumps({"Node": name, "Address": "127.0.0.9"}).encode()
            try:
                if ask(f"{OURS}:8500/v1/catalog/register", "PUT", body, within_s=2.0) is True:
                    acknowledged.append(name)
                    number += 1
            except (OSError, ValueError):
                time.sleep(0.02)

    with hosts(tmp_path, None) as (host,):
        flags = ["-node", "a", "-bind", OURS, "-client", OURS, "-data-dir", "data", "-server", "-bootstrap-expect", "1"]
        writer = threading.Thread(target=write, daemon=True)
        for round_number in range(ROUNDS):
            program = host.start(f"run{round_number}", "consulpy", "agent", *flags)
            eventually(lambda: ask(f"{OURS}:8500/v1/status/leader"), "it leads")
            if round_number == 0:
                writer.start()
            time.sleep(0.3 + rng.random())
            program.kill()
        done.set()
        writer.join(10)
        host.start("last", "consulpy", "agent", *flags)
        eventually(lambda: ask(f"{OURS}:8500/v1/status/leader"), "it leads")
        found = {node["Node"] for node in ask(f"{OURS}:8500/v1/catalog/nodes")}
        assert len(acknowledged) > 20
        assert set(acknowledged) <= found
