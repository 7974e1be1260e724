"""Listening: TCP and unix sockets, what is said when that can't be, and streams to slow readers."""

import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.testing import MemoryReactorClock
from twisted.internet.threads import deferToThread

from consulpy.errors import ConfigError
from consulpy.http.api.streaming import BUFFER_MAX_BYTES, Stream
from consulpy.http.listener import HttpConfig, HttpService
from tests.harness.http import FakeAgent, HttpHarness

#: A port that no other test uses.
FREE = 20513


def service(*addresses: str, port: int = 8500, **config: Any) -> tuple[HttpService, MemoryReactorClock]:
    reactor = MemoryReactorClock()
    agent = FakeAgent(reactor).start()
    return HttpService(reactor, HttpConfig(addresses=addresses, port=port, **config), agent), reactor


def test_every_address_is_listened_on() -> None:
    http, reactor = service("127.0.0.1", "::1")
    http.startService()
    assert [(server[0], server[3]) for server in reactor.tcpServers] == [(8500, "127.0.0.1"), (8500, "::1")]


@pytest.mark.parametrize("port", [0, -1])
def test_a_port_that_is_off(port: int) -> None:
    http, reactor = service("127.0.0.1", port=port)
    http.startService()
    assert not reactor.tcpServers


def test_an_address_in_use_is_one_line() -> None:
    from twisted.internet import reactor  # the real one: it alone knows what is in use

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        http = HttpService(reactor, HttpConfig(("127.0.0.1",), port), FakeAgent())
        with pytest.raises(ConfigError, match=f"HTTP: 127.0.0.1:{port} is in use by another program"):
            http.startService()
        assert not http.running


def test_a_unix_socket_has_its_mode_and_replaces_one_left_behind(tmp_path: Path) -> None:
    from twisted.internet import reactor

    path = tmp_path / "consul.sock"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    user, group = str(os.getuid()), str(os.getgid())
    config = HttpConfig((f"unix://{path}",), 8500, socket_mode="0660", socket_user=user, socket_group=group)
    http = HttpService(reactor, config, FakeAgent())
    http.startService()
    assert path.is_socket()
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    http.stopService()


def test_a_unix_socket_is_never_more_open_than_its_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither after bind nor before it has its group."""
    from twisted.internet import reactor

    path, seen = tmp_path / "consul.sock", []
    user, group = str(os.getuid()), str(os.getgid())

    def spied(change: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> None:
            seen.append(stat.S_IMODE(path.stat().st_mode))
            change(*arguments, **named)

        return call

    monkeypatch.setattr(os, "chmod", spied(os.chmod))
    monkeypatch.setattr(os, "chown", spied(os.chown))
    config = HttpConfig((str(path),), 8500, socket_mode="0660", socket_user=user, socket_group=group)
    http = HttpService(reactor, config, FakeAgent())
    mask = os.umask(0)
    try:
        http.startService()
    finally:
        left = os.umask(mask)
    http.stopService()

    assert len(seen) == 4
    assert all(mode & 0o077 == 0 for mode in seen), [oct(mode) for mode in seen]
    assert left == 0, "the umask is as it was"


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"socket_mode": "rw"}, "unix_sockets.mode: octal digits such as 0660 are expected, not 'rw'"),
        ({"socket_user": "nobody-here-is-called-so"}, "unix_sockets: cannot give"),
    ],
)
def test_mistakes_about_unix_sockets(tmp_path: Path, config: dict[str, str], text: str) -> None:
    from twisted.internet import reactor

    http = HttpService(reactor, HttpConfig((str(tmp_path / "s"),), 8500, **config), FakeAgent())  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=text):
        http.startService()


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    from twisted.internet import reactor

    http = HttpService(reactor, HttpConfig((f"unix://{tmp_path}/none/s",), 8500), FakeAgent())
    with pytest.raises(ConfigError, match="HTTP: cannot listen on the unix socket"):
        http.startService()


class SlowClient:
    """The request of a client that reads when the test says so."""

    def __init__(self) -> None:
        self.got = b""
        self.producer: Any = None
        self.gone: Any = None

    def notifyFinish(self) -> Any:
        from twisted.internet.defer import Deferred

        self.gone = Deferred()
        return self.gone

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.producer = producer

    def write(self, data: bytes) -> None:
        self.got += data


def test_a_slow_reader_loses_lines_and_costs_no_memory() -> None:
    client, stopped = SlowClient(), []
    stream = Stream(client, lambda write: lambda: stopped.append(True))
    stream.write(b"1\n")
    client.producer.pauseProducing()
    line = b"x" * 1023 + b"\n"
    for _ in range(1000):
        stream.write(line)
    assert client.got == b"1\n"
    client.producer.resumeProducing()
    assert len(client.got) - 2 == BUFFER_MAX_BYTES
    assert stream.dropped == 1000 - BUFFER_MAX_BYTES // 1024
    stream.write(b"2\n")
    assert client.got.endswith(b"2\n")
    client.gone.callback(None)
    assert stopped == [True]


def test_the_log_is_streamed_until_the_client_goes() -> None:
    harness = HttpHarness()
    asking = harness.begin("GET /v1/agent/monitor?loglevel=debug&logjson")
    assert b"200 OK" in asking.raw, "before the first line"
    level, as_json, write = harness.agent.monitors[0]
    assert (level.lower(), as_json) == ("debug", True)
    write("one line")
    assert b"one line\n" in asking.raw
    asking.hang_up()
    assert harness.agent.monitors == []


def test_an_unknown_level_is_refused() -> None:
    answer = HttpHarness().ask("GET /v1/agent/monitor?loglevel=loud")
    assert (answer.status, answer.text) == (400, "Bad request: Unknown log level: loud")


@ensureDeferred
async def test_a_client_that_ends_its_own_side_is_answered(tmp_path: Path) -> None:
    """As `nc -N` does behind its request."""
    from twisted.internet import reactor

    agent = FakeAgent(reactor).start()
    path = tmp_path / "consul.sock"
    http = HttpService(reactor, HttpConfig(("127.0.0.1", f"unix://{path}"), FREE), agent)
    http.startService()

    def ask(address: Any, requests: bytes) -> bytes:
        with socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET) as client:
            client.settimeout(10)
            client.connect(address)
            client.sendall(requests)
            client.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: client.recv(65536), b""))

    put = b"PUT /v1/kv/%b HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"
    try:
        for address in (("127.0.0.1", FREE), str(path)):
            for key in (b"a", b"a%20b"):  # the fast path, and the full one
                answers = await deferToThread(ask, address, put % key * 3)
                assert answers.count(b"HTTP/1.1 200 OK") == 3
            assert (await deferToThread(ask, address, b"GET /v1/kv/")).startswith(b"HTTP/1.1 400 Bad Request")
            assert await deferToThread(ask, address, b"") == b""
    finally:
        http.stopService()
        agent.anti_entropy.stop()
        agent.leader.stop()
