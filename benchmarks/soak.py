#!/usr/bin/env python3
"""Soak test: minutes of churn against one consulpy server, and the growth of its memory, descriptors and timers.

    benchmarks/soak.py [--minutes N] [--rate N] [--consulpy PATH] [--warm-up N] [--only WORK,WORK]

Services with TTL checks, catalog nodes, keys, sessions with locks and blocking queries are created and removed, events
are fired, connections to HTTP, DNS and port 8300 opened and closed. The slope is a least-squares fit after the warm-up
(a third of the time): without leaks it is near zero. The exit status is 1 for a slope of
memory above 0.2 MiB a minute, or of descriptors or timers above 1.

Bounded tables fill up first: tombstones of keys (15 minutes), metrics of removed services (10 to 20 minutes),
cached responses, blocking query groups, and events that a lone server gossips to no member (4096). So everything
together needs an hour, `--only services` some minutes.
"""

import argparse
import http.client
import json
import socket
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

import processes
from processes import Running, server
from report import OURS

SAMPLE_S = 5.0
#: Slopes per minute above which there is a leak.
LIMITS = {"memory": 0.2, "descriptors": 1.0, "timers": 1.0}
IDS, NAMES, LIVE = 600, 40, 300
_YAMUX_PING = b"\4" + struct.pack("!BBHII", 0, 2, 1, 0, 0)


class Client:
    """A keep-alive connection to the agent's HTTP API."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._connection = http.client.HTTPConnection(address, 8500, timeout=30)

    def call(self, method: str, path: str, body: object = None) -> bytes:
        """Send a request; the body of the response. Raises `RuntimeError` for a status of 400 and above."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        self._connection.request(method, path, data)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status >= 400:
            raise RuntimeError(f"{method} {path}: {answer.status} {content[:200]!r}")
        return content


def services(client: Client, turn: int) -> None:
    """Register a service with a TTL check, deregister an older one."""
    name, new, old = f"name{turn % NAMES}", turn % IDS, (turn - LIVE) % IDS
    check = {"TTL": "10m"}
    client.call("PUT", "/v1/agent/service/register", {"ID": f"id{new}", "Name": name, "Port": 80, "Check": check})
    client.call("PUT", f"/v1/agent/check/pass/service:id{new}")
    client.call("PUT", f"/v1/agent/service/deregister/id{old}")


def nodes(client: Client, turn: int) -> None:
    """Register and deregister a catalog node, with new names each time."""
    body = {"Node": f"node{turn}", "Address": "10.0.0.1", "Service": {"Service": f"once{turn}", "Port": 1}}
    client.call("PUT", "/v1/catalog/register", body)
    client.call("GET", f"/v1/health/service/once{turn}")
    client.call("PUT", "/v1/catalog/deregister", {"Node": f"node{turn}"})


def keys(client: Client, turn: int) -> None:
    """Create and remove a key and the session that locks it."""
    session = json.loads(client.call("PUT", "/v1/session/create", {"TTL": "30s", "LockDelay": "1s"}))["ID"]
    client.call("PUT", f"/v1/kv/soak/{turn}?acquire={session}", b"x" * 100)
    client.call("PUT", f"/v1/session/destroy/{session}")
    client.call("DELETE", f"/v1/kv/soak/{turn}")


def watchers(client: Client, turn: int) -> None:
    """Start a blocking query, which is answered or cancelled; fire an event."""
    index = 10**9 if turn % 2 else 1
    with socket.create_connection((client.address, 8500), timeout=10) as watching:
        target = f"/v1/health/service/watched{turn}?index={index}&wait=10s"
        watching.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        client.call("PUT", f"/v1/event/fire/soak{turn % NAMES}", b"x")


def connections(client: Client, turn: int) -> None:
    """Open and close connections, with a request and without."""
    name = b"".join(bytes([len(part)]) + part for part in (b"x%d" % turn, b"service", b"consul")) + b"\0"
    question = struct.pack("!6H", turn % 65536, 0x100, 1, 0, 0, 0) + name + struct.pack("!2H", 1, 1)
    http_bytes = b"GET /v1/kv/none HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    requests = {8500: http_bytes, 8600: struct.pack("!H", len(question)) + question, 8300: _YAMUX_PING, 8301: b""}
    for port, data in requests.items():
        with socket.create_connection((client.address, port), timeout=10) as connection:
            connection.sendall(data)
            if data:
                connection.recv(65536)
    with socket.create_connection((client.address, 8500), timeout=10):
        """Send nothing."""


WORK: dict[str, tuple[Callable[[Client, int], None], int]] = {
    "services": (services, 1),
    "nodes": (nodes, 10),
    "keys": (keys, 10),
    "watchers": (watchers, 20),
    "connections": (connections, 20),
}


def sample(agent: Running) -> dict[str, float]:
    """Memory in MiB, descriptors, and timers."""
    process = Path(f"/proc/{agent.process.pid}")
    gauges = json.loads(agent.http("/v1/agent/metrics") or b"{}").get("Gauges", [])
    timers = next((gauge["Value"] for gauge in gauges if gauge["Name"].endswith("runtime.timers")), 0)
    pages = int((process / "statm").read_text().split()[1])
    return {"memory": pages * 4096 / 2**20, "descriptors": len(list((process / "fd").iterdir())), "timers": timers}


def slope(points: list[tuple[float, float]]) -> float:
    """Slope of the least-squares fit, per minute. `points`: (seconds, value)."""
    count = len(points)
    middle = sum(at for at, _ in points) / count
    mean = sum(value for _, value in points) / count
    spread = sum((at - middle) ** 2 for at, _ in points)
    return 60 * sum((at - middle) * (value - mean) for at, value in points) / spread if spread else 0.0


def churn(agent: Running, minutes: float, rate: float, words: list[str]) -> list[tuple[float, dict[str, float]]]:
    """Run the work named in `words`; (seconds, `sample`) every `SAMPLE_S`."""
    client, seen = Client(agent.address), []
    began_s, turn, sampled_s = time.monotonic(), 0, 0.0
    while (now_s := time.monotonic() - began_s) < 60 * minutes:
        for word in words:
            work, every = WORK[word]
            if turn % every == 0:
                work(client, turn)
        turn += 1
        if now_s - sampled_s >= SAMPLE_S:
            sampled_s = now_s
            seen.append((now_s, sample(agent)))
            shown = "  ".join(f"{name} {value:.1f}" for name, value in seen[-1][1].items())
            print(f"{now_s:6.0f} s  {turn} turns  {shown}", flush=True)
        time.sleep(max(0.0, began_s + turn / rate - time.monotonic()))
    return seen


def main() -> int:
    """Run the test; 1 if a limit is exceeded."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--rate", type=float, default=100.0, help="turns a second: services that come and go")
    parser.add_argument("--consulpy", default=processes.PROGRAMS[OURS])
    parser.add_argument("--warm-up", type=float, default=1 / 3, help="the part of the time that does not count")
    parser.add_argument("--only", default=",".join(WORK), help="some of: " + ",".join(WORK))
    given = parser.parse_args()
    processes.PROGRAMS[OURS] = given.consulpy
    with processes.temporary_directory() as directory:
        agent = server(OURS, directory)
        try:
            agent.wait(agent.leads)
            seen = churn(agent, given.minutes, given.rate, given.only.split(","))
        finally:
            agent.close()
    counted = [(at, values) for at, values in seen if at >= 60 * given.minutes * given.warm_up]
    slopes = {name: slope([(at, values[name]) for at, values in counted]) for name in LIMITS}
    for name, value in slopes.items():
        print(f"{name}: {value:+.3f} a minute (limit {LIMITS[name]:g})")
    return int(any(slopes[name] > limit for name, limit in LIMITS.items()))


if __name__ == "__main__":
    sys.exit(main())
