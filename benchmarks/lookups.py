"""Node look-ups by DNS and HTTP, side by side with real Consul: queries per second and ratios.

python benchmarks/lookups.py [ROUNDS]        needs dnsperf and wrk (Debian packages)
"""

import json
import re
import shutil
import statistics
import subprocess
import sys
import urllib.request
from pathlib import Path

from agents import PROGRAMS, Running, machine, workplace

ADDRESS = "127.62.0.1"
SECONDS = 3
NODES = 10
#: Name -> what is asked: lines of a dnsperf file, or a path.
DNS = {
    "DNS node A, 1 name": ["bench.node.consul A"],
    "DNS node A, 10 names": [f"node-{number}.node.consul A" for number in range(NODES)],
    "DNS no such node": ["nobody.node.consul A"],
}
HTTP = {
    "HTTP status/leader": "/v1/status/leader",
    "HTTP agent/members": "/v1/agent/members",
    "HTTP catalog/node": "/v1/catalog/node/bench",
    "HTTP catalog/nodes": "/v1/catalog/nodes",
    "HTTP health/node": "/v1/health/node/bench",
}


def dns_rate(directory: Path, questions: list[str]) -> float:
    file = directory / "questions"
    file.write_text("\n".join(questions) + "\n")
    command = ["dnsperf", "-s", ADDRESS, "-p", "8600", "-d", str(file), "-l", str(SECONDS), "-c", "4", "-q", "64"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    found = re.search(r"Queries per second:\s+([\d.]+)", said)
    assert found, said
    return float(found[1])


def http_rate(path: str) -> float:
    command = ["wrk", "-t", "1", "-c", "16", "-d", f"{SECONDS}s", f"http://{ADDRESS}:8500{path}"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    found = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert found, said
    assert "Non-2xx" not in said, said
    return float(found[1])


def one_round(program: str, directory: Path) -> dict[str, float]:
    agent = Running(program, "bench", ADDRESS, directory, "-server", "-bootstrap-expect", "1")
    try:
        agent.wait(agent.leads)
        for number in range(NODES):
            body = json.dumps({"Node": f"node-{number}", "Address": f"10.0.0.{number}"}).encode()
            url = f"http://{ADDRESS}:8500/v1/catalog/register"
            urllib.request.urlopen(urllib.request.Request(url, data=body, method="PUT"), timeout=10).close()
        found = {name: dns_rate(directory, questions) for name, questions in DNS.items()}
        found |= {name: http_rate(path) for name, path in HTTP.items()}
        return found
    finally:
        agent.close()


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    results: dict[str, list[dict[str, float]]] = {program: [] for program in PROGRAMS}
    print(machine())
    for _ in range(rounds):
        for program in PROGRAMS:
            with workplace() as directory:
                results[program].append(one_round(program, directory))
    print(f"{f'per second, median of {rounds}':28} {'consul':>9} {'consulpy':>9} {'ratio':>7}")
    for name in results["consul"][0]:
        theirs, ours = (statistics.median(found[name] for found in results[program]) for program in PROGRAMS)
        print(f"{name:28} {theirs:9.0f} {ours:9.0f} {ours / theirs:7.2f}")


if __name__ == "__main__":
    missing = [name for name in ("consul", "dnsperf", "wrk") if not shutil.which(name)]
    if missing:
        sys.exit(f"not installed: {', '.join(missing)} (tests/peers/install; apt-get install dnsperf wrk)")
    main()
