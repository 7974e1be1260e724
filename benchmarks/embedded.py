#!/usr/bin/env python3
"""Agents inside a test's process, beside `consul agent -dev` in the same run.

    benchmarks/embedded.py [--rounds N] [--tests N] [--agents N] [--output FILE]

Needs the real consul. Each row has its target; the exit status is 1 if one is missed. Rounds alternate between the two.
"""

import argparse
import gc
import json
import os
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import processes

#: Starts of a program that take longer are an error, in seconds.
START_WITHIN_S = 60.0


@dataclass(frozen=True)
class Row:
    name: str
    value: str
    target: str
    met: bool


def answers_dns(address: tuple[str, int], node: str) -> bool:
    """Whether DNS resolves the agent's own name."""
    question = b"".join(bytes([len(part)]) + part for part in (node.encode(), b"node", b"consul")) + b"\0\0\1\0\1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.5)
        client.connect(address)
        try:
            client.send(struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + question)
            answer = client.recv(2048)
        except OSError:
            return False
    return answer[3] & 15 == 0 and struct.unpack_from("!H", answer, 6)[0] > 0


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


def is_ready(url: str, dns: tuple[str, int], node: str) -> bool:
    """Whether HTTP, leader and DNS are there: the same question to both programs."""
    try:
        nodes = get(f"{url}/v1/catalog/nodes")
        return bool(get(f"{url}/v1/status/leader")) and bool(nodes) and answers_dns(dns, node)
    except OSError:
        return False


def start_program(command: list[str]) -> float:
    """Seconds from exec of `command agent -dev` until it is ready; it is killed then."""
    ports = {"http": 28500, "dns": 28600, "server": 28300, "serf_lan": 28301, "serf_wan": 28302, "grpc": -1}
    flags = ["-dev", "-node", "one", "-bind", "127.0.0.1", "-client", "127.0.0.1", "-hcl"]
    flags.append("ports { " + " ".join(f"{name} = {port}" for name, port in ports.items()) + " }")
    began_s = time.perf_counter()
    agent = subprocess.Popen([*command, "agent", *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not is_ready("http://127.0.0.1:28500", ("127.0.0.1", 28600), "one"):
            if agent.poll() is not None or time.perf_counter() - began_s > START_WITHIN_S:
                raise RuntimeError(f"{command[0]} agent -dev does not answer")
            time.sleep(0.002)
        return time.perf_counter() - began_s
    finally:
        agent.kill()
        agent.wait()


def start_embedded() -> float:
    """Seconds from the call of `run_agent` until HTTP, leader and DNS answer."""
    from consulpy.testing import run_agent

    began_s = time.perf_counter()
    with run_agent() as consul:
        assert consul.agent is not None
        while not is_ready(consul.url, consul.dns, consul.agent.node_name):
            pass
        return time.perf_counter() - began_s


def clean_tests(count: int) -> float:
    """Seconds of set-up and teardown of tests with a clean server each, from the second on."""
    from consulpy.testing.pytest_agents import Agents

    agents = Agents(None, None)
    spent_s = 0.0
    for number in range(count + 1):
        began_s = time.perf_counter()
        with agents.clean() as consul:
            begun_s = time.perf_counter()
            consul.register("web", port=80, check="passing")
            consul.kv["key"] = b"value"
            ended_s = time.perf_counter()
        if number:
            spent_s += begun_s - began_s + time.perf_counter() - ended_s
    agents.close()
    return spent_s


def resets(count: int) -> list[float]:
    """Seconds of each reset of an agent with a service and a key."""
    from consulpy.testing import run_agent

    found = []
    with run_agent() as consul:
        for _ in range(count):
            consul.register("web", port=80, check="passing")
            consul.kv["key"] = b"value"
            began_s = time.perf_counter()
            consul.reset()
            found.append(time.perf_counter() - began_s)
    return found


def reset_cpu_s(count: int) -> float:
    """CPU seconds of one reset in the agent's thread, without the way there: a busy machine makes that long."""
    from consulpy.testing import run_agent
    from consulpy.testing.reactors import reactor_loop

    with run_agent() as consul:
        core = consul.agent.core if consul.agent is not None else None
        assert core is not None

        def measure() -> float:
            began_s = time.thread_time()
            for _ in range(count):
                core.reset()
            return (time.thread_time() - began_s) / count

        found: float = reactor_loop().run(measure)
        return found


def resident_bytes() -> int:
    gc.collect()
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    return int(fields["VmRSS"].split()[0]) * 1024


def many_agents(count: int) -> tuple[float, float]:
    """KiB of memory of one agent of `count` servers in this process, and seconds to start one of them."""
    from contextlib import ExitStack

    from consulpy.testing import run_agent

    with run_agent() as consul:  # what only the first one loads
        get(f"{consul.url}/v1/catalog/nodes")
    before = resident_bytes()
    began_s = time.perf_counter()
    with ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(run_agent())
        took_s = time.perf_counter() - began_s
        return (resident_bytes() - before) / count / 1024, took_s / count


def left_after_stop() -> dict[str, int]:
    """Readers, writers, timers, ports of an agent with clients, checks and a blocking query, a turn after `stop()`."""
    from twisted.internet.defer import Deferred
    from twisted.internet.task import deferLater

    from consulpy.agent import Agent
    from consulpy.testing.reactors import reactor_loop

    loop = reactor_loop()
    reactor = loop.reactor

    def there() -> dict[str, set[Any]]:
        return {
            "delayed calls": set(reactor.getDelayedCalls()),
            "readers": set(reactor.getReaders()),
            "writers": set(reactor.getWriters()),
            "threads": set(threading.enumerate()),
        }

    async def measure() -> dict[str, int]:
        before = there()
        agent = Agent.create(reactor, server=True, ports="ephemeral")
        await agent.start()
        check = {"TCP": "127.0.0.1:1", "Interval": "1s"}
        await agent.request("PUT", "/v1/agent/service/register", {"Name": "web", "Check": check})
        agent.request("GET", "/v1/kv/none?index=100").addErrback(lambda _: None)
        clients = [socket.create_connection(each) for each in (agent.http_addr, agent.rpc_addr, agent.lan_addr) if each]
        await deferLater(reactor, 0.1)
        await agent.stop()
        turn: Deferred[None] = Deferred()
        reactor.callLater(0, turn.callback, None)
        await turn
        after = there()
        for each in clients:
            each.close()
        return {name: len(found - before[name]) for name, found in after.items()}

    found: dict[str, int] = loop.run(measure)
    return found


def rows(rounds: int, tests: int, agents: int) -> list[Row]:
    start_embedded()  # the imports
    theirs, ours, program = [], [], []
    consulpy = [processes.PROGRAMS[processes.OURS]]
    for _ in range(rounds):
        theirs.append(start_program([processes.PROGRAMS[processes.THEIRS]]))
        ours.append(start_embedded())
        program.append(start_program(consulpy))
    real_s, warm_s, program_s = (statistics.median(each) for each in (theirs, ours, program))
    spent_s, of_reals = clean_tests(tests), tests * real_s
    reset_s = statistics.median(resets(200))
    cpu_s = reset_cpu_s(200)
    left = left_after_stop()
    memory_kib, each_s = many_agents(agents)
    ms = 1000.0
    return [
        Row("`consul agent -dev` until HTTP, leader and DNS", f"{ms * real_s:.0f} ms", "", True),
        Row("`consulpy agent -dev`, the same", f"{ms * program_s:.0f} ms ({program_s / real_s:.1f} of it)", "", True),
        Row(
            "warm start in process, the same",
            f"{ms * warm_s:.1f} ms ({warm_s / real_s:.3f} of it)",
            "<= 0.1",
            warm_s <= 0.1 * real_s,
        ),
        Row(
            f"set-up and teardown of {tests} tests with a clean server",
            f"{ms * spent_s:.0f} ms ({100 * spent_s / of_reals:.2f} % of {tests} starts)",
            "<= 2 %",
            spent_s <= 0.02 * of_reals,
        ),
        Row("`reset()`, median of 200", f"{ms * reset_s:.2f} ms", "< 1 ms", reset_s < 0.001),
        Row("`reset()`, its CPU time", f"{ms * cpu_s:.2f} ms", "", True),
        Row(f"memory of one of {agents} agents", f"{memory_kib:.0f} KiB", "< 1024 KiB", memory_kib < 1024),
        Row(f"start of one of {agents} agents", f"{ms * each_s:.1f} ms", "", True),
        *(Row(f"{name} left after `stop()`", str(count), "0", not count) for name, count in left.items()),
    ]


def table(found: list[Row], show: Callable[[str], object]) -> None:
    show("| row | value | target | met |\n|---|---|---|---|")
    for row in found:
        show(f"| {row.name} | {row.value} | {row.target} | {('yes' if row.met else 'no') if row.target else ''} |")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="starts of each program, of which the medians are taken")
    parser.add_argument("--tests", type=int, default=50, help="tests with a clean server each")
    parser.add_argument("--agents", type=int, default=100, help="agents in one process")
    parser.add_argument("--output", type=Path, help="write the table there")
    given = parser.parse_args()
    print(processes.machine(), flush=True)
    found = rows(given.rounds, given.tests, given.agents)
    lines: list[str] = []
    table(found, lines.append)
    print("\n".join(lines))
    if given.output is not None:
        given.output.write_text(f"{processes.machine()}\n\n" + "\n".join(lines) + "\n")
    return 0 if all(row.met for row in found) else 1


if __name__ == "__main__":
    os.environ.pop("CONSUL_HTTP_ADDR", None)
    sys.exit(main())
