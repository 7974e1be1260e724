"""The client against a server that records what it is asked."""

import http.client
import json
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from consulpy.client import AnswerError, Client, ClientError, ClientSettings, NoAgent
from tests.fakes.http_server import serving


class Recorder(ThreadingHTTPServer):
    """Answers everything with `answer`."""

    def __init__(self) -> None:
        super().__init__(("127.36.0.31", 0), Handler)
        self.asked: list[tuple[str, str, bytes, dict[str, str]]] = []
        self.answer: tuple[int, bytes] = (200, b"")


class Handler(BaseHTTPRequestHandler):
    server: Recorder

    def reply(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append((self.command, self.path, body, dict(self.headers.items())))
        status, answer = self.server.answer
        self.send_response(status)
        self.send_header("X-Consul-Index", "17")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_PUT = do_POST = do_DELETE = reply  # noqa: N815 - the library's names

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Recorder]:
    recorder = Recorder()
    with serving(recorder):
        yield recorder


@pytest.fixture
def client(server: Recorder) -> Client:
    return Client(ClientSettings(address=f"127.36.0.31:{server.server_address[1]}", token="secret", basic_auth="a:b"))


def test_requests_as_the_api_wants_them(server: Recorder, client: Client) -> None:
    server.answer = (200, b'{"ID": "x"}')
    client.join("10.0.0.1", wan=True)
    client.force_leave("a b/c", prune=True)
    client.fire_event("deploy", b"now", node="web", tag=None)
    client.keyring("POST", "key", relay_factor=2)
    assert [(method, path, body) for method, path, body, _ in server.asked] == [
        ("PUT", "/v1/agent/join/10.0.0.1?wan=1", b""),
        ("PUT", "/v1/agent/force-leave/a%20b%2Fc?prune=1", b""),
        ("PUT", "/v1/event/fire/deploy?node=web", b"now"),
        ("POST", "/v1/operator/keyring?relay-factor=2", b'{"Key": "key"}'),
    ]
    headers = server.asked[0][3]
    assert headers["X-Consul-Token"] == "secret"
    assert headers["Authorization"] == "Basic YTpi"


def test_answers_are_decoded(server: Recorder, client: Client) -> None:
    server.answer = (200, json.dumps([{"Name": "a"}]).encode())
    assert client.members() == [{"Name": "a"}]
    server.answer = (200, b"null")
    assert client.nodes() == []
    assert client.node_services("a") is None


def test_a_blocking_query_tells_its_index(server: Recorder, client: Client) -> None:
    server.answer = (200, b"[]")
    assert client.watch("/v1/catalog/nodes", {"dc": None}, 0) == (17, [])
    client.watch("/v1/catalog/nodes", {"dc": "dc2"}, 17, wait_s=60)
    assert [path for _, path, _, _ in server.asked] == [
        "/v1/catalog/nodes",
        "/v1/catalog/nodes?dc=dc2&index=17&wait=60s",
    ]


def test_an_error_has_status_and_text(server: Recorder, client: Client) -> None:
    server.answer = (500, b"No cluster leader")
    with pytest.raises(AnswerError, match=r"Unexpected response code: 500 \(No cluster leader\)") as caught:
        client.nodes()
    assert (caught.value.status, caught.value.text) == (500, "No cluster leader")
    with pytest.raises(AnswerError):
        list(client.monitor("loud"))


def test_plain_http_on_an_https_port_says_what_to_do(server: Recorder, client: Client) -> None:
    server.answer = (400, b"Client sent an HTTP request to an HTTPS server.\n")
    with pytest.raises(AnswerError, match="400") as caught:
        client.nodes()
    assert "https://" in caught.value.hint


@pytest.mark.parametrize("error", [ConnectionResetError, BrokenPipeError])
def test_a_connection_that_ends_under_a_large_body_was_one(
    monkeypatch: pytest.MonkeyPatch, client: Client, error: type[OSError]
) -> None:
    """A program listens there: the hint does not say that none does."""

    def end(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(http.client.HTTPConnection, "request", end)
    with pytest.raises(NoAgent) as caught:
        client.put("/v1/kv/a", raw_body=b"x")
    assert "does not speak HTTP" in caught.value.hint


def test_lines_of_the_log_come_one_by_one(server: Recorder, client: Client) -> None:
    server.answer = (200, b"one\ntwo\n")
    assert list(client.monitor("INFO", as_json=True)) == ["one", "two"]
    assert server.asked[0][1] == "/v1/agent/monitor?logjson=true&loglevel=INFO"


def test_what_is_no_json_is_said(server: Recorder, client: Client) -> None:
    server.answer = (200, b"<html>")
    with pytest.raises(ClientError, match="expected JSON"):
        client.nodes()


def test_nobody_there_says_what_to_do() -> None:
    with pytest.raises(NoAgent) as caught:
        Client(ClientSettings(address="127.36.0.32:1")).nodes()
    assert str(caught.value) == (
        'Get "http://127.36.0.32:1/v1/catalog/nodes": dial tcp 127.36.0.32:1: connect: connection refused'
    )
    assert "-http-addr or CONSUL_HTTP_ADDR" in caught.value.hint


def test_what_speaks_no_http_is_said() -> None:
    class Mumble(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(100)
            self.request.sendall(b"hello\r\n")

    with socketserver.TCPServer(("127.36.0.33", 0), Mumble) as other:
        threading.Thread(target=other.handle_request, daemon=True).start()
        with pytest.raises(ClientError, match="this is no HTTP answer: hello"):
            Client(ClientSettings(address=f"127.36.0.33:{other.server_address[1]}")).nodes()


def test_a_unix_socket(tmp_path: Path) -> None:
    class OnSocket(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "6")
            self.end_headers()
            self.wfile.write(b'["dc"]')

        def log_message(self, *_: Any) -> None:
            pass

    path = str(tmp_path / "s")
    with socketserver.UnixStreamServer(path, OnSocket) as other:
        threading.Thread(target=other.handle_request, daemon=True).start()
        assert Client(ClientSettings(scheme="unix", address=path)).datacenters() == ["dc"]
    with pytest.raises(NoAgent, match="dial unix"):
        Client(ClientSettings(scheme="unix", address=f"{path}-nope")).datacenters()
