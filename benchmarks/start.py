"""Start-up and memory: three agents starting at a time, until HTTP, leader and DNS answer; memory and CPU at rest.

python benchmarks/start.py [ROUNDS]
"""

import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from agents import PROGRAMS, Running, machine, workplace

SERVER, CLIENTS = "127.60.0.1", ("127.60.0.2", "127.60.0.3")
REST_S = 10.0


def dns_answers(address: str) -> bool:
    command = ["dig", "+short", "+tries=1", "+time=1", f"@{address}", "-p", "8600", "one.node.consul"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() == SERVER


def one_round(program: str, directory: Path) -> dict[str, float]:
    server = Running(program, "one", SERVER, directory, "-server", "-bootstrap-expect", "1")
    clients = [
        Running(program, f"client{number}", address, directory, "-retry-join", SERVER)
        for number, address in enumerate(CLIENTS)
    ]
    agents = [server, *clients]
    try:
        answers = [agent.wait(lambda a=agent: a.http("/v1/agent/members") is not None) for agent in agents]
        found = {"HTTP of the slowest of three (s)": max(answers)}
        found["leader (s)"] = server.wait(server.leads)
        found["DNS (s)"] = server.wait(lambda: dns_answers(SERVER))
        time.sleep(5)
        before = [agent.cpu_s() for agent in agents]
        time.sleep(REST_S)
        after = [agent.cpu_s() for agent in agents]
        found["CPU of a client at rest (%)"] = 100 * (after[1] - before[1]) / REST_S
        for name, agent in (("server", server), ("client", clients[0])):
            resident, private = agent.memory_mib()
            found[f"{name} resident (MiB)"] = resident
            found[f"{name} private (MiB)"] = private
        return found
    finally:
        for agent in agents:
            agent.close()


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    results: dict[str, list[dict[str, float]]] = {program: [] for program in PROGRAMS}
    print(machine())
    for _ in range(rounds):
        for program in PROGRAMS:
            with workplace() as directory:
                results[program].append(one_round(program, directory))
    print(f"{'median of ' + str(rounds):36} {'consul':>9} {'consulpy':>9} {'ratio':>7}")
    for name in results["consul"][0]:
        theirs, ours = (statistics.median(found[name] for found in results[program]) for program in PROGRAMS)
        print(f"{name:36} {theirs:9.2f} {ours:9.2f} {ours / theirs if theirs else 0:7.2f}")


if __name__ == "__main__":
    if not shutil.which("consul"):
        sys.exit("the real consul is not installed: run tests/peers/install")
    main()
