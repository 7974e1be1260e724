"""DNS: queries a second and CPU per query, real Consul and consulpy one after the other.

    python benchmarks/dns.py [ROUNDS [SECONDS]]

One server each with the same catalog: 1,000 nodes, a service of one instance, one of three, one of a hundred. dnsperf
asks from 4 sockets with 64 questions in flight, over UDP. Rounds alternate the two; the table has medians, and their
ratio. The last line is about a catalog that changes ten times a second.
"""

import json
import re
import shutil
import statistics
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agents import PROGRAMS, Running, machine, workplace

ADDRESSES = {"consul": "127.34.1.1", "consulpy": "127.34.1.2"}
NODES = 1000
SERVICES = {"one": 1, "three": 3, "hundred": 100}
CHANGES_PER_S = 10
#: What is measured: name -> questions, extra flags of dnsperf.
RUNS: dict[str, tuple[list[str], list[str]]] = {
    "A of one node": (["node-7.node.consul A"], []),
    "A of 1,000 nodes": ([f"node-{number}.node.consul A" for number in range(NODES)], []),
    "A of 1,000 unknown nodes": ([f"nobody-{number}.node.consul A" for number in range(NODES)], []),
    "A of a service, 1 instance": (["one.service.consul A"], []),
    "SRV of a service, 3 instances": (["three.service.consul SRV"], []),
    "A of a service, 100 instances, EDNS": (["hundred.service.consul A"], ["-e"]),
    "SRV of a service, 100 instances, EDNS": (["hundred.service.consul SRV"], ["-e"]),
}


def register(address: str, body: dict[str, object]) -> None:
    request = urllib.request.Request(
        f"http://{address}:8500/v1/catalog/register", json.dumps(body).encode(), method="PUT"
    )
    urllib.request.urlopen(request, timeout=10).close()


def fill(address: str) -> None:
    for number in range(NODES):
        node: dict[str, object] = {"Node": f"node-{number}", "Address": f"10.9.{number // 250}.{number % 250 + 1}"}
        register(address, node)
        for name, instances in SERVICES.items():
            if number < instances:
                register(address, {**node, "Service": {"Service": name, "Port": 8000}})


def measure(agent: Running, questions: Path, seconds: int, flags: list[str]) -> tuple[float, float]:
    """Queries a second, and the agent's CPU microseconds for each. Raises `RuntimeError` if some got no answer."""
    before = agent.cpu_s()
    command = ["dnsperf", "-s", agent.address, "-p", "8600", "-d", str(questions), "-c", "4", "-q", "64"]
    told = subprocess.run([*command, "-l", str(seconds), *flags], capture_output=True, text=True, check=True).stdout
    used = agent.cpu_s() - before
    completed, lost = (int(re.findall(rf"Queries {word}: +(\d+)", told)[0]) for word in ("completed", "lost"))
    rate = float(re.findall(r"Queries per second: +([\d.]+)", told)[0])
    if not completed or lost > completed / 1000:
        raise RuntimeError(f"{agent.address}: {completed} answers, {lost} lost")
    return rate, 1e6 * used / completed


@contextmanager
def changing(address: str) -> Iterator[None]:
    """Meanwhile the catalog changes, some times a second."""
    over = threading.Event()

    def change() -> None:
        number = 0
        while not over.wait(1 / CHANGES_PER_S):
            number += 1
            register(address, {"Node": "restless", "Address": "10.8.0.1", "NodeMeta": {"n": str(number)}})

    thread = threading.Thread(target=change)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def rounds(agents: dict[str, Running], directory: Path, count: int, seconds: int) -> None:
    print("| | Consul /s | consulpy /s | ratio | Consul CPU us | consulpy CPU us |\n|---|---|---|---|---|---|")
    everyone = directory / "everyone"
    for label, (questions, flags) in RUNS.items():
        file = directory / "questions"
        file.write_text("\n".join(questions) + "\n")
        if len(questions) == NODES and "unknown" not in label:
            everyone.write_text(file.read_text())
        found: dict[str, list[tuple[float, float]]] = {program: [] for program in agents}
        for _ in range(count):
            for program, agent in agents.items():
                found[program].append(measure(agent, file, seconds, flags))
        rate, cpu = (
            {program: statistics.median(each[at] for each in results) for program, results in found.items()}
            for at in (0, 1)
        )
        ratio = rate["consulpy"] / rate["consul"]
        print(
            f"| {label} | {rate['consul']:,.0f} | {rate['consulpy']:,.0f} | {ratio:.2f} "
            f"| {cpu['consul']:.1f} | {cpu['consulpy']:.1f} |",
            flush=True,
        )
    results = {}
    for program, agent in agents.items():
        with changing(agent.address):
            results[program] = statistics.median(measure(agent, everyone, seconds, [])[0] for _ in range(count))
    print(
        f"| A of 1,000 nodes, {CHANGES_PER_S} changes a second | {results['consul']:,.0f} | {results['consulpy']:,.0f} "
        f"| {results['consulpy'] / results['consul']:.2f} | | |"
    )


def main() -> None:
    given = [int(value) for value in sys.argv[1:3]]
    count, seconds = given + [3, 2][len(given) :]
    missing = [name for name in ("consul", "dnsperf") if shutil.which(name) is None]
    if missing:
        sys.exit(f"needs {' and '.join(missing)}")
    print(f"{machine()}; medians of {count} rounds of {seconds} s")
    with workplace() as directory:
        agents: dict[str, Running] = {}
        try:
            for program in PROGRAMS:
                agents[program] = Running(
                    program, "one", ADDRESSES[program], directory, "-server", "-bootstrap-expect", "1"
                )
                agents[program].wait(agents[program].leads)
                fill(ADDRESSES[program])
            rounds(agents, directory, count, seconds)
        finally:
            for agent in agents.values():
                agent.close()


if __name__ == "__main__":
    main()
