"""Blocking queries: memory of each, and the time from a write until the last response."""

import gc
import json
import select
import socket
import time
from contextlib import ExitStack

from processes import Running
from report import Row, Sample
from task import Settings, Task

#: Name -> path of the query; path and body of the write that ends it.
WATCHED: dict[str, tuple[str, str, object]] = {
    "a key": ("/v1/kv/benchmark", "/v1/kv/benchmark", "another value"),
    "a service": (
        "/v1/health/service/three?passing",
        "/v1/catalog/register",
        {"Node": "node-0", "Address": "10.9.0.1", "Service": {"Service": "three", "Port": 9000}},
    ),
}
TIMEOUT_S = 60.0


def tasks(settings: Settings) -> list[Task]:
    """Two rows for each number of queries, on a key and on a service."""
    return [_task(count, name) for count in settings.watchers for name in WATCHED]


def _task(count: int, name: str) -> Task:
    memory = Row(f"{count} watchers of {name}: memory each", "KiB", "<= 0.5", 1)
    last = Row(f"{count} watchers of {name}: last one woken", "ms", "<= 1.0", 1)

    measured: set[str] = set()

    def measure(agent: Running) -> dict[Row, Sample]:
        used_kib, took_s, cpu_s = watch(agent, count, *WATCHED[name])
        samples = {last: Sample(1000 * took_s, 1e6 * cpu_s / count)}
        if agent.program not in measured:  # later rounds reuse memory that this one has freed
            measured.add(agent.program)
            samples[memory] = Sample(used_kib / count)
        return samples

    return Task((memory, last), measure, rounds_max=5)


def watch(agent: Running, count: int, query: str, path: str, body: object) -> tuple[float, float, float]:
    """KiB of all queries, seconds from the write until the last response began, and the agent's CPU seconds for it.

    Raw sockets and epoll, so that this client costs less than the agents. Raises `RuntimeError` if a query fails.
    """
    index = _index(agent, query)
    sign = "&" if "?" in query else "?"
    request = f"GET {query}{sign}index={index}&wait=5m HTTP/1.1\r\nHost: {agent.address}\r\n\r\n".encode()
    agent.wait_idle()
    before_kib = 1024 * agent.resident_mib()
    with ExitStack() as stack:
        poll = stack.enter_context(select.epoll())
        sockets = {}
        for _ in range(count):
            connection = stack.enter_context(socket.create_connection((agent.address, 8500), timeout=TIMEOUT_S))
            connection.sendall(request)
            poll.register(connection, select.EPOLLIN)
            sockets[connection.fileno()] = connection
        agent.wait_idle()
        early = poll.poll(0, count)
        if early:
            raise RuntimeError(f"{agent.program}: {len(early)} of {count} watchers were answered before the write")
        used_kib = 1024 * agent.resident_mib() - before_kib
        before_cpu_s = agent.cpu_s()
        writer = stack.enter_context(socket.create_connection((agent.address, 8500), timeout=TIMEOUT_S))
        data = json.dumps(_changed(body)).encode()
        gc.disable()
        try:
            began_s = time.perf_counter()
            writer.sendall(
                b"PUT %b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (path.encode(), len(data), data)
            )
            left = count
            while left and time.perf_counter() - began_s < TIMEOUT_S:
                for number, _ in poll.poll(1.0, 1000):
                    if not sockets[number].recv(65536).startswith(b"HTTP/1.1 200"):
                        raise RuntimeError(f"{agent.program}: a watcher was answered with something else than 200")
                    poll.unregister(number)
                    left -= 1
            took_s = time.perf_counter() - began_s
        finally:
            gc.enable()
        if left:
            raise RuntimeError(f"{agent.program}: {left} of {count} watchers were not woken in {TIMEOUT_S:g} s")
        cpu_s = agent.cpu_s() - before_cpu_s
    agent.wait_idle()
    return max(0.0, used_kib), took_s, cpu_s


def _changed(body: object) -> object:
    """The body with a new value."""
    if isinstance(body, dict):
        service = {**body["Service"], "Meta": {"changed": str(time.monotonic_ns())}}
        return {**body, "Service": service}
    return f"{body} {time.monotonic_ns()}"


def _index(agent: Running, query: str) -> str:
    with socket.create_connection((agent.address, 8500), timeout=10) as connection:
        connection.sendall(f"GET {query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while more := connection.recv(65536):
            answer += more
    headers = answer.split(b"\r\n\r\n")[0].decode().lower().split("\r\n")
    return next(line.split(":")[1].strip() for line in headers if line.startswith("x-consul-index"))
