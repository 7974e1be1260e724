"""Blocking queries that wait: memory of each, and the time from a write until the last of them was answered."""

import gc
import json
import select
import socket
import time
from contextlib import ExitStack

from processes import Running
from report import Row, Sample
from task import Settings, Task

#: What is watched: name -> path of the query; path and body of the write that wakes it.
WATCHED: dict[str, tuple[str, str, object]] = {
    "a key": ("/v1/kv/benchmark", "/v1/kv/benchmark", "another value"),
    "a service": (
        "/v1/health/service/three?passing",
        "/v1/catalog/register",
        {"Node": "node-0", "Address": "10.9.0.1", "Service": {"Service": "three", "Port": 9000}},
    ),
}
WITHIN_S = 60.0


def tasks(settings: Settings) -> list[Task]:
    """For each number of watchers, on a key and on a service; each number has its own two rows."""
    return [_task(count, name) for count in settings.watchers for name in WATCHED]


def _task(count: int, name: str) -> Task:
    memory = Row(f"{count} watchers of {name}: memory each", "KiB", "<= 0.5", 1)
    woken = Row(f"{count} watchers of {name}: last one woken", "ms", "<= 1.0", 1)

    measured: set[str] = set()

    def measure(agent: Running) -> dict[Row, Sample]:
        used_kib, took_s, cpu_s = watch(agent, count, *WATCHED[name])
        samples = {woken: Sample(1000 * took_s, 1e6 * cpu_s / count)}
        if agent.program not in measured:  # memory that one round frees is there for the next
            measured.add(agent.program)
            samples[memory] = Sample(used_kib / count)
        return samples

    return Task((memory, woken), measure, most=5)


def watch(agent: Running, count: int, query: str, path: str, body: object) -> tuple[float, float, float]:
    """KiB for all watchers, seconds from the write until the last answer began, and the agent's CPU seconds for it.

    Raw sockets and epoll: this client must cost less than the agents do. Raises `RuntimeError` if some were not woken.
    """
    index = _index(agent, query)
    sign = "&" if "?" in query else "?"
    request = f"GET {query}{sign}index={index}&wait=5m HTTP/1.1\r\nHost: {agent.address}\r\n\r\n".encode()
    agent.settle()
    before_kib = 1024 * agent.resident_mib()
    with ExitStack() as stack:
        poll = stack.enter_context(select.epoll())
        sockets = {}
        for _ in range(count):
            connection = stack.enter_context(socket.create_connection((agent.address, 8500), timeout=WITHIN_S))
            connection.sendall(request)
            poll.register(connection, select.EPOLLIN)
            sockets[connection.fileno()] = connection
        agent.settle()
        early = poll.poll(0, count)
        if early:
            raise RuntimeError(f"{agent.program}: {len(early)} of {count} watchers were answered before the write")
        used_kib = 1024 * agent.resident_mib() - before_kib
        before_cpu_s = agent.cpu_s()
        writer = stack.enter_context(socket.create_connection((agent.address, 8500), timeout=WITHIN_S))
        data = json.dumps(_changed(body)).encode()
        gc.disable()
        try:
            began_s = time.perf_counter()
            writer.sendall(
                b"PUT %b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (path.encode(), len(data), data)
            )
            left = count
            while left and time.perf_counter() - began_s < WITHIN_S:
                for number, _ in poll.poll(1.0, 1000):
                    if not sockets[number].recv(65536).startswith(b"HTTP/1.1 200"):
                        raise RuntimeError(f"{agent.program}: a watcher was answered with something else than 200")
                    poll.unregister(number)
                    left -= 1
            took_s = time.perf_counter() - began_s
        finally:
            gc.enable()
        if left:
            raise RuntimeError(f"{agent.program}: {left} of {count} watchers were not woken in {WITHIN_S:g} s")
        cpu_s = agent.cpu_s() - before_cpu_s
    agent.settle()
    return max(0.0, used_kib), took_s, cpu_s


def _changed(body: object) -> object:
    """The body with something that was not there before."""
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
