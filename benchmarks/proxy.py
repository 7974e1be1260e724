"""`connect proxy`: a service behind one proxy, reached through another one, both of the measured program.

The agent is the same program's. CPU is that of both proxies together, for each MiB, round trip or connection.
"""

import json
import os
import selectors
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from processes import PROGRAMS, Running, server, until
from report import Row, Sample
from task import Group, Settings, Task, task

PUBLIC, LOCAL = 20000, 20100
CONNECTIONS = 8
MIB = 1024 * 1024
#: One write of the program before the proxies, in bytes.
PIECE = bytes(256 * 1024)


class Service:
    """The program behind the proxies: by the first byte of a connection it sends, counts or echoes."""

    def __init__(self, address: str) -> None:
        self._listener = socket.create_server((address, 0), backlog=1024)
        self.address = f"{address}:{self._listener.getsockname()[1]}"
        self.received = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        buffer = bytearray(MIB)
        with closing(connection):
            try:
                kind = connection.recv(1)
                while kind == b"s":
                    connection.sendall(PIECE)
                while count := connection.recv_into(buffer):
                    if kind == b"e":
                        connection.sendall(memoryview(buffer)[:count])
                    else:
                        self.received += count
            except OSError:
                return

    def close(self) -> None:
        self._listener.close()


class Mesh:
    """An agent, the service and its two proxies."""

    def __init__(self, agent: Running, service: Service, proxies: list[int]) -> None:
        self.agent = agent
        self.service = service
        self._proxies = proxies

    def connect(self) -> socket.socket:
        made = socket.create_connection((self.agent.address, LOCAL), 10)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def cpu_s(self) -> float:
        """CPU seconds of both proxies so far."""
        stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in self._proxies]
        return sum(int(each[11]) + int(each[12]) for each in stats) / os.sysconf("SC_CLK_TCK")


def groups(settings: Settings) -> list[Group]:
    found: list[Task] = []
    for name, unit, measure in (
        ("one connection, to the service", "MiB/s", send),
        ("one connection, from the service", "MiB/s", receive),
        (f"{CONNECTIONS} connections, 100 bytes there and back", "round trips/s", round_trips),
        ("new connections, one after the other", "connections/s", new_connections),
    ):
        row = Row(f"connect proxy, {name}", unit, ">= 0.5")
        found.append(task(row, measured(measure, settings.seconds)))
    return [Group("connect proxy", setup, found)]


def measured(count: Callable[[Mesh, float], float], seconds: float) -> Callable[[Mesh], Sample]:
    def measure(mesh: Mesh) -> Sample:
        count(mesh, 0.2)
        before_s, began_s = mesh.cpu_s(), time.monotonic()
        done = count(mesh, seconds)
        took_s = time.monotonic() - began_s
        return Sample(done / took_s, 1e6 * (mesh.cpu_s() - before_s) / done)

    return measure


def send(mesh: Mesh, seconds: float) -> float:
    """MiB that arrive at the service."""
    end_s, sent = time.monotonic() + seconds, 0
    before = mesh.service.received
    with mesh.connect() as connection:
        connection.sendall(b"c")
        while time.monotonic() < end_s:
            connection.sendall(PIECE)
            sent += len(PIECE)
        until(lambda: mesh.service.received - before >= sent, time.monotonic() + 60, lambda: "bytes were lost")
    return sent / MIB


def receive(mesh: Mesh, seconds: float) -> float:
    """MiB that the service sends."""
    end_s, got, buffer = time.monotonic() + seconds, 0, bytearray(MIB)
    with mesh.connect() as connection:
        connection.sendall(b"s")
        while time.monotonic() < end_s:
            count = connection.recv_into(buffer)
            if not count:
                raise RuntimeError("the connection was closed")
            got += count
    return got / MIB


def round_trips(mesh: Mesh, seconds: float) -> float:
    """Messages of 100 bytes that come back, on several connections at once."""
    message, done, end_s = b"m" * 100, 0, time.monotonic() + seconds
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        for _ in range(CONNECTIONS):
            connection = stack.enter_context(mesh.connect())
            connection.sendall(b"e" + message)
            selector.register(connection, selectors.EVENT_READ)
        while time.monotonic() < end_s:
            for key, _ in selector.select(10):
                ready: Any = key.fileobj
                if len(ready.recv(len(message))) != len(message):
                    raise RuntimeError("a message came back in parts")
                ready.sendall(message)
                done += 1
    return done


def new_connections(mesh: Mesh, seconds: float) -> float:
    """Connections with one message there and back."""
    done, end_s = 0, time.monotonic() + seconds
    while time.monotonic() < end_s or not done:
        with mesh.connect() as connection:
            connection.sendall(b"em")
            if connection.recv(1) != b"m":
                raise RuntimeError("the connection was closed")
        done += 1
    return done


@contextmanager
def setup(program: str, place: Path) -> Iterator[Mesh]:
    config = json.dumps({"connect": {"enabled": True}})
    with ExitStack() as stack:
        agent = server(program, place, "-hcl", config)
        stack.callback(agent.close)
        service = Service(agent.address)
        stack.callback(service.close)
        proxy = {"Kind": "connect-proxy", "Name": "db-proxy", "Address": agent.address, "Port": PUBLIC}
        agent.put("/v1/agent/service/register", {**proxy, "Proxy": {"DestinationServiceName": "db"}})
        words = ("-service", "db", "-service-addr", service.address, "-listen", f"{agent.address}:{PUBLIC}")
        behind = started(stack, place, agent, *words)
        before = started(stack, place, agent, "-service", "web", "-upstream", f"db:{agent.address}:{LOCAL}")
        mesh = Mesh(agent, service, [behind, before])
        until(lambda: answers(mesh), time.monotonic() + 60, lambda: f"{program}: no connection through the proxies")
        yield mesh


def started(stack: ExitStack, place: Path, agent: Running, *words: str) -> int:
    """The process id of a proxy."""
    command = [PROGRAMS[agent.program], "connect", "proxy", "-http-addr", f"{agent.address}:8500", *words]
    log = stack.enter_context((place / f"{agent.program}-proxy.log").open("ab"))
    process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    stack.callback(process.wait)
    stack.callback(process.kill)
    return process.pid


def answers(mesh: Mesh) -> bool:
    try:
        return bool(new_connections(mesh, 0))
    except (OSError, RuntimeError):
        return False
