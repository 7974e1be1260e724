"""The load generators: dnsperf and wrk run against an agent, and what they say."""

import re
import statistics
import subprocess
from pathlib import Path

from processes import Running
from report import Sample

_MS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}


def dns(agent: Running, questions: Path, seconds: float, *flags: str) -> Sample:
    """Queries a second from 4 sockets with 64 in flight, 16 by TCP; p99 from a second run at 2,000 a second.

    Raises `RuntimeError` if more than one in a thousand got no answer. By TCP it may be more: the real one closes each
    connection after 128 questions, and those on their way are lost.
    """
    flight, bearable = ("16", 50) if "tcp" in flags else ("64", 1000)
    command = ["dnsperf", "-s", agent.address, "-p", "8600", "-d", str(questions), "-c", "4", *flags]
    before_s = agent.cpu_s()
    told = _run([*command, "-q", flight, "-l", f"{seconds:g}"], seconds)
    used_s = agent.cpu_s() - before_s
    completed, lost = (int(_find(rf"Queries {word}: +(\d+)", told)) for word in ("completed", "lost"))
    if not completed or lost > completed / bearable:
        raise RuntimeError(f"{agent.program}: {completed} DNS answers, {lost} lost")
    calm = _run([*command, "-q", "16", "-Q", "2000", "-l", "1", "-v"], 1)
    latencies_s = [float(value) for value in re.findall(r"^> .* (\d+\.\d+)$", calm, re.MULTILINE)]
    p99_ms = 1000 * statistics.quantiles(latencies_s, n=100)[98] if len(latencies_s) > 1 else None
    return Sample(float(_find(r"Queries per second: +([\d.]+)", told)), 1e6 * used_s / completed, p99_ms)


def http(agent: Running, path: str, seconds: float, connections: int = 16, *flags: str) -> Sample:
    """Requests a second and p99. Raises `RuntimeError` if an answer is not a 2xx or a connection broke."""
    command = ["wrk", "-t", "1", "-c", str(connections), "-d", f"{max(1, round(seconds))}s", "--latency", *flags]
    before_s = agent.cpu_s()
    told = _run([*command, f"http://{agent.address}:8500{path}"], seconds)
    used_s = agent.cpu_s() - before_s
    if "Non-2xx" in told:
        raise RuntimeError(f"{agent.program} {path}: {told}")
    broken = re.search(r"connect (\d+), read (\d+), write (\d+), timeout (\d+)", told)
    requests = int(_find(r"(\d+) requests in", told))
    if not requests or (broken and sum(map(int, broken.groups())) > requests / 1000):
        raise RuntimeError(f"{agent.program} {path}: {told}")
    value, unit = re.findall(r"99% +([\d.]+)(us|ms|s|m)", told)[0]
    return Sample(float(_find(r"Requests/sec: +([\d.]+)", told)), 1e6 * used_s / requests, float(value) * _MS[unit])


def _run(command: list[str], seconds: float) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 60).stdout


def _find(pattern: str, told: str) -> str:
    found = re.search(pattern, told)
    if found is None:
        raise RuntimeError(f"no {pattern!r} in: {told[-1000:]}")
    return found[1]
