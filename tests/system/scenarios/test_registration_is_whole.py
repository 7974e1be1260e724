"""kill -9 while services are being registered: after the restart each is there with all its checks, or not at all."""

import json
import random
import threading
from pathlib import Path

from tests.harness.effort import cases
from tests.peers.programs import ask, eventually, hosts

OURS = "127.78.0.60"
ROUNDS, CHECKS = cases(20), 4


def test_a_registration_is_kept_whole_or_not_at_all(tmp_path: Path) -> None:
    rng = random.Random(2026)
    acknowledged: list[str] = []
    flags = ["-log-level", "debug", "-node", "a", "-bind", OURS, "-client", OURS, "-data-dir", "data"]

    def write(first: int) -> None:
        for number in range(first, first + 100_000):
            checks = [{"CheckID": f"{number}-{check}", "TTL": "10m"} for check in range(CHECKS)]
            body = json.dumps({"ID": f"s{number}", "Name": "web", "Checks": checks}).encode()
            try:
                ask(f"{OURS}:8500/v1/agent/service/register", "PUT", body, within_s=5.0)
            except (OSError, ValueError):
                return
            acknowledged.append(f"s{number}")

    with hosts(tmp_path, None) as (host,):
        for number in range(ROUNDS + 1):
            program = host.start(f"run{number}", "consulpy", "agent", *flags)
            services = eventually(lambda: [ask(f"{OURS}:8500/v1/agent/services")], "it answers")[0]
            checks = ask(f"{OURS}:8500/v1/agent/checks")
            owners = [check["ServiceID"] for check in checks.values()]
            assert set(acknowledged) <= services.keys()
            assert {name: owners.count(name) for name in services} == dict.fromkeys(services, CHECKS)
            assert set(owners) == services.keys()
            line = next(line for line in program.output.splitlines() if "without a result yet: " in line)
            unknown = line.partition("without a result yet: ")[2].strip()
            assert set(unknown.split(", ")) == (set(checks) or {"none"})
            writer = threading.Thread(target=write, args=(number * 1_000_000,), daemon=True)
            if number < ROUNDS:
                before = len(acknowledged)
                writer.start()
                eventually(lambda before=before: len(acknowledged) > before, "something is registered")
                threading.Event().wait(rng.random() * 0.1)
                program.kill()
                writer.join(10)
        assert len(acknowledged) >= ROUNDS
