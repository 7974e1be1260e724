"""Notifications to the service manager: the socket, and whole programs started as by `Type=notify`."""

import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from consulpy.agent.process.systemd import notify_socket
from tests.peers.process import spawn
from tests.peers.programs import ROOT, Host, eventually, hosts


@pytest.mark.parametrize("address", ["{path}", "@consulpy-test-{pid}"])
def test_a_full_or_vanished_socket_keeps_nobody_waiting(tmp_path: Path, address: str) -> None:
    address = address.format(path=tmp_path / "notify", pid=os.getpid())
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(address.replace("@", "\0", 1))
    send = notify_socket(address)
    for _ in range(10_000):
        send(b"WATCHDOG=1")
    assert manager.recv(100) == b"WATCHDOG=1"
    manager.close()
    send(b"WATCHDOG=1")


class Unit:
    """An agent started as by `Type=notify`, and what it notifies."""

    def __init__(self, host: Host, *command: str, watchdog_s: int = 0) -> None:
        path = host.directory / "notify"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(30)
        more = [f"WATCHDOG_USEC={watchdog_s * 1_000_000}"] if watchdog_s else []
        data = str(host.directory / "data")
        self.program = host.start("agent", "env", f"NOTIFY_SOCKET={path}", *more, *command, "-data-dir", data)

    def next(self, ignoring: str = "WATCHDOG=1") -> str:
        while (said := self.socket.recv(1000).decode().split("\n")[0]) == ignoring:
            pass
        return said


@pytest.mark.parametrize("way", [["consulpy", "agent"], ["twistd", "-n", "consulpy"]], ids=" ".join)
def test_a_program_tells_its_whole_life(tmp_path: Path, way: list[str]) -> None:
    with hosts(tmp_path, None) as (host,):
        flags = ["-server", "-bootstrap-expect", "1", "-bind", "127.0.62.1", "-client", "127.0.62.1"]
        unit = Unit(host, *way, *flags, watchdog_s=1)
        assert unit.next() == "READY=1"
        assert unit.next(ignoring="") == "WATCHDOG=1"
        unit.program.process.send_signal(signal.SIGHUP)
        assert [unit.next(), unit.next()] == ["RELOADING=1", "READY=1"]
        unit.program.process.send_signal(signal.SIGTERM)
        assert unit.next() == "STOPPING=1"
        unit.program.process.send_signal(signal.SIGTERM)
        unit.program.wait()
        assert "Traceback" not in unit.program.output, "a second signal while it stops"


def test_an_agent_that_waits_for_another_is_ready_when_that_is_there(tmp_path: Path) -> None:
    with hosts(tmp_path, None, None) as (one, two):
        flags = ["-bind", "127.0.62.2", "-client", "127.0.62.2", "-retry-join", "127.0.62.3", "-retry-interval", "1s"]
        unit = Unit(one, "consulpy", "agent", "-node", "two", *flags)
        assert unit.next() == "STATUS=waiting for the first join"
        eventually(lambda: "join failed" in unit.program.output, "a first try")
        flags = ["-server", "-bootstrap-expect", "1", "-bind", "127.0.62.3", "-client", "127.0.62.3"]
        two.start("server", "consulpy", "agent", "-node", "one", *flags, "-data-dir", str(two.directory / "data"))
        assert unit.next() == "READY=1"


_STUCK = """
import os, sys, time
from twisted.internet import reactor
from types import SimpleNamespace
from consulpy.agent.process.systemd import install
install(reactor, SimpleNamespace(config=SimpleNamespace(start_join=(), retry_join=())))
reactor.callLater(1.5, time.sleep, 3)
reactor.callLater(5, reactor.stop)
reactor.run()
"""


def receive_until_silent(manager: socket.socket) -> None:
    while manager.recv(1000):
        pass


def test_a_reactor_that_is_stuck_feeds_no_watchdog(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(path)
    environment = {**os.environ, "NOTIFY_SOCKET": path, "WATCHDOG_USEC": "1000000", "PYTHONPATH": str(ROOT)}
    program = spawn([sys.executable, "-c", _STUCK], env=environment)
    try:
        manager.settimeout(20)
        while manager.recv(1000) != b"WATCHDOG=1":
            pass
        manager.settimeout(1.5)  # three keep-alives are due in this time
        with pytest.raises(TimeoutError):
            receive_until_silent(manager)
    finally:
        program.kill()
        program.wait()
