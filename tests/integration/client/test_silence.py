"""A request to an address that does not answer: what listens there is looked for, and slow agents are waited for."""

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from consulpy.cli import join, silence
from consulpy.cli.main import main
from consulpy.cli.silence import SilenceWatch
from consulpy.client import Client, ClientSettings, NoAgent

DNS = b"\0\x14CP\x81\x80" + bytes(14)
RPC = b"\0\2\0\2\0\0\0\0\0\0\0\7"


class Listener:
    """A TCP port whose connections are answered by what their request begins with; others are left open, silent."""

    def __init__(self, answers: dict[bytes, bytes]) -> None:
        self.answers = answers
        self.waiting: list[socket.socket] = []
        self.socket = socket.create_server(("127.36.0.32", 0))
        self.address = f"127.36.0.32:{self.socket.getsockname()[1]}"
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(peer,), daemon=True).start()

    def _answer(self, peer: socket.socket) -> None:
        request = peer.recv(4096)
        answer = next((said for begin, said in self.answers.items() if request.startswith(begin)), b"")
        if answer:
            peer.sendall(answer)
        self.waiting.append(peer)

    def first(self) -> socket.socket:
        """The first connection, once its request is here."""
        while not self.waiting:
            time.sleep(0.01)
        return self.waiting[0]


@pytest.fixture
def listeners() -> Iterator[list[Listener]]:
    opened: list[Listener] = []
    yield opened
    for each in opened:
        each.socket.close()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(silence, "SILENCE_S", 0.02)
    monkeypatch.setattr(silence, "PROBE_S", 1.0)
    return []


def client_of(address: str, told: list[str]) -> Client:
    settings = ClientSettings(address=address)
    return Client(settings, watch=SilenceWatch(settings, told.append))


@pytest.mark.parametrize(("begin", "answer", "what"), [(b"\0\x11", DNS, "DNS"), (b"\4", RPC, "RPC")])
def test_another_protocol_ends_the_wait(
    listeners: list[Listener], told: list[str], begin: bytes, answer: bytes, what: str
) -> None:
    listeners.append(Listener({begin: answer}))

    with pytest.raises(NoAgent, match=what) as ended:
        client_of(listeners[0].address, told).datacenters()

    assert "port 8500" in ended.value.hint
    assert told == []


def test_another_protocol_ends_the_wait_for_a_tls_handshake(listeners: list[Listener], told: list[str]) -> None:
    listeners.append(Listener({b"\0\x11": DNS}))
    settings = ClientSettings(scheme="https", address=listeners[0].address)
    with pytest.raises(NoAgent, match="DNS"):
        Client(settings, watch=SilenceWatch(settings, told.append)).datacenters()


def test_a_slow_agent_is_waited_for_and_not_looked_at_again(listeners: list[Listener], told: list[str]) -> None:
    """The look finds HTTP by a path that each agent answers itself, also one that has no leader: nothing is said."""
    listeners.append(Listener({b"GET / ": b"HTTP/1.0 200 OK\r\n\r\n"}))
    listener, done = listeners[0], threading.Event()
    client = client_of(listener.address, told)

    def answer() -> None:
        done.wait(0.3)
        listener.first().sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n["dc1"]')

    threading.Thread(target=answer, daemon=True).start()

    assert client.datacenters() == ["dc1"]
    assert told == []


def test_a_silent_address_is_named_and_waited_for(listeners: list[Listener], told: list[str]) -> None:
    listeners.append(Listener({}))
    listener, said = listeners[0], threading.Event()
    settings = ClientSettings(address=listener.address)

    def tell(text: str) -> None:
        told.append(text)
        said.set()

    def answer() -> None:
        said.wait(5)
        listener.first().sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n["dc1"]')

    threading.Thread(target=answer, daemon=True).start()

    assert Client(settings, watch=SilenceWatch(settings, tell)).datacenters() == ["dc1"]
    (line,) = told
    assert line.startswith(f"{listener.address} takes connections and answers nothing: an agent that is stuck or slow")


def test_a_likely_mistake_in_a_join_is_named_while_the_agent_tries(
    listeners: list[Listener], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    listeners.append(Listener({}))
    listener, said = listeners[0], threading.Event()
    monkeypatch.setattr(join, "HINT_S", 0.02)
    tell = join._tell

    def answer() -> None:
        said.wait(5)
        listener.first().sendall(b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno")

    def telling(*given: Any) -> None:
        tell(*given)
        said.set()

    monkeypatch.setattr(join, "_tell", telling)
    threading.Thread(target=answer, daemon=True).start()

    assert main(["join", f"-http-addr={listener.address}", "10.0.0.1:8600"]) == 1

    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Port 8600 is DNS; agents are joined on their gossip port: 10.0.0.1:8301 (WAN: 8302)."
    assert len(lines) == 3


def test_an_agent_that_ends_is_not_taken_for_another_program(listeners: list[Listener], told: list[str]) -> None:
    """A watch goes on after it; its line says what happened."""
    listeners.append(Listener({b"GET ": b'HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n["dc1"]'}))
    listener = listeners[0]
    client = client_of(listener.address, told)
    assert client.datacenters() == ["dc1"]
    listener.answers = {}

    def end() -> None:
        while len(listener.waiting) < 2:
            time.sleep(0.01)
        listener.waiting[1].close()

    threading.Thread(target=end, daemon=True).start()
    with pytest.raises(NoAgent) as ended:
        client.datacenters()

    assert ended.value.hint == (
        f"The agent at {listener.address} ended the connection: it is stopped, or was started anew."
    )
