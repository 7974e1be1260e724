"""The load generators: runs dnsperf and wrk against an agent and parses their output."""

import re
import statistics
import subprocess
from pathlib import Path

from processes import Running
from report import Sample

_MS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}


def dns(agent: Running, questions: Path, seconds: float, *flags: str) -> Sample:
    """Queries a second from 4 sockets with 64 in flight, 16 by TCP; p99 from a second run at 2,000 a second.

    Raises `RuntimeError` if more than one in a thousand has no answer; by TCP one in 50: Consul closes each connection
    after 128 questions, and those in flight are lost.
    """
    flight, lost_max = ("16", 50) if "tcp" in flags else ("64", 1000)
    command = ["dnsperf", "-s", agent.address, "-p", "8600", "-d", str(questions), "-c", "4", *flags]
    before_s = agent.cpu_s()
    output = _run([*command, "-q", flight, "-l", f"{seconds:g}"], seconds)
    used_s = agent.cpu_s() - before_s
    completed, lost = (int(_find(rf"Queries {word}: +(\d+)", output)) for word in ("completed", "lost"))
    if not completed or lost > completed / lost_max:
        raise RuntimeError(f"{agent.program}: {completed} DNS answers, {lost} lost")
    slow = _run([*command, "-q", "16", "-Q", "2000", "-l", "1", "-v"], 1)
    latencies_s = [float(value) for value in re.findall(r"^> .* (\d+\.\d+)$", slow, re.MULTILINE)]
    p99_ms = 1000 * statistics.quantiles(latencies_s, n=100)[98] if len(latencies_s) > 1 else None
    return Sample(float(_find(r"Queries per second: +([\d.]+)", output)), 1e6 * used_s / completed, p99_ms)


def http(agent: Running, path: str, seconds: float, connections: int = 16, *flags: str) -> Sample:
    """Requests per second and p99. Raises `RuntimeError` if a response is not 2xx or a connection breaks."""
    command = ["wrk", "-t", "1", "-c", str(connections), "-d", f"{max(1, round(seconds))}s", "--latency", *flags]
    before_s = agent.cpu_s()
    output = _run([*command, f"http://{agent.address}:8500{path}"], seconds)
    used_s = agent.cpu_s() - before_s
    if "Non-2xx" in output:
        raise RuntimeError(f"{agent.program} {path}: {output}")
    broken = re.search(r"connect (\d+), read (\d+), write (\d+), timeout (\d+)", output)
    requests = int(_find(r"(\d+) requests in", output))
    if not requests or (broken and sum(map(int, broken.groups())) > requests / 1000):
        raise RuntimeError(f"{agent.program} {path}: {output}")
    value, unit = re.findall(r"99% +([\d.]+)(us|ms|s|m)", output)[0]
    return Sample(float(_find(r"Requests/sec: +([\d.]+)", output)), 1e6 * used_s / requests, float(value) * _MS[unit])


def _run(command: list[str], seconds: float) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 60).stdout


def _find(pattern: str, output: str) -> str:
    found = re.search(pattern, output)
    if found is None:
        raise RuntimeError(f"no {pattern!r} in: {output[-1000:]}")
    return found[1]
