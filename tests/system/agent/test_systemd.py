"""What the service manager hears of an agent: sd_notify(3), and when Consul is ready."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from consulpy.agent.process.systemd import Notifier, install, notify_socket
from tests.peers.programs import ROOT, Host, eventually, hosts


class Manager:
    """The service manager's end: the datagrams that came."""

    def __init__(self, *, joins: bool = False, keep_alive_s: float = 0.0) -> None:
        self.clock = Clock()
        self.heard: list[str] = []
        self.notifier = Notifier(
            self.clock, lambda message: self.heard.append(message.decode()), waits_for_join=joins,
            keep_alive_s=keep_alive_s,
        )  # fmt: skip

    @property
    def states(self) -> list[str]:
        return [message.split("\n")[0] for message in self.heard]


def test_an_agent_with_nothing_to_join_is_ready_when_it_has_started() -> None:
    manager = Manager()
    manager.notifier.started()
    assert manager.states == ["READY=1"]


def test_an_agent_with_something_to_join_is_ready_once_after_the_first_join() -> None:
    manager = Manager(joins=True)
    manager.notifier.started()
    assert manager.states == ["STATUS=waiting for the first join"]
    manager.notifier.changed("joined")
    manager.notifier.changed("joined")
    assert manager.states[1:] == ["READY=1"]


def test_a_reload_is_announced_with_its_monotonic_time_and_ends_with_ready() -> None:
    manager = Manager()
    manager.notifier.started()
    manager.clock.advance(2.5)
    manager.notifier.changed("reloading")
    assert manager.heard[-1].split("\n")[:2] == ["RELOADING=1", "MONOTONIC_USEC=2500000"]
    manager.notifier.changed("reloaded")
    assert manager.states == ["READY=1", "RELOADING=1", "READY=1"]


def test_a_reload_before_the_first_join_does_not_make_ready() -> None:
    manager = Manager(joins=True)
    manager.notifier.started()
    manager.notifier.changed("reloading")
    manager.notifier.changed("reloaded")
    assert "READY=1" not in manager.states


def test_stopping_is_said_once_and_nothing_is_ready_afterwards() -> None:
    manager = Manager()
    manager.notifier.started()
    for state in ("stopping", "stopping", "joined", "reloaded"):
        manager.notifier.changed(state)
    assert manager.states == ["READY=1", "STOPPING=1"]


def test_the_watchdog_hears_of_each_half_interval_while_the_reactor_turns() -> None:
    manager = Manager(keep_alive_s=4.0)
    manager.notifier.started()
    manager.clock.pump([2.0, 2.0, 2.0])
    assert manager.states == ["READY=1"] + ["WATCHDOG=1"] * 4


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


def test_without_a_manager_nothing_is_installed_and_children_inherit_nothing() -> None:
    environment = {"NOTIFY_SOCKET": "vsock:2:1234", "WATCHDOG_USEC": "5", "WATCHDOG_PID": "1", "PATH": "/bin"}
    install(None, None, environment)  # type: ignore[arg-type]
    assert environment == {"PATH": "/bin"}


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
        unit.program.wait()


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
    program = subprocess.Popen([sys.executable, "-c", _STUCK], env=environment)
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
