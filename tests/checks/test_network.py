"""HTTP, TCP, gRPC, Docker and script checks against real sockets and processes; texts as a real agent gave them."""

import json
import os
import signal
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import h2.connection
import h2.events
import pytest
import pytest_twisted
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from consulpy.checks import grpc
from consulpy.checks.dial import Dialer, DialError, split_host_port
from consulpy.checks.docker import DockerProbe
from consulpy.checks.grpc import GrpcProbe
from consulpy.checks.http import HttpProbe
from consulpy.checks.result import CheckFailed, Probe, Result
from consulpy.checks.runner import Runner
from consulpy.checks.script import ScriptProbe
from consulpy.checks.tcp import TcpProbe
from consulpy.errors import BadRequest
from consulpy.structs.definition import CheckType

reactor: Any = _reactor
HOST = "127.37.0.3"


@pytest.fixture
def listen() -> Iterator[Callable[[Any], int]]:
    """Listen with a protocol factory; the port is freed afterwards."""
    ports = []

    def start(factory: Any) -> int:
        ports.append(reactor.listenTCP(0, factory, interface=HOST))
        port: int = ports[-1].getHost().port
        return port

    yield start
    for port in ports:
        pytest_twisted.blockon(port.stopListening())


async def outcome(probe: Probe) -> Result:
    """As `IntervalCheck` would report it."""
    try:
        return await probe.run()
    except CheckFailed as error:
        return error.result()


class Echo(Resource):
    isLeaf = True  # noqa: N815 - Twisted's name

    def render(self, request: Any) -> Any:
        path = request.path.decode()
        if path == "/slow":
            return NOT_DONE_YET
        if path == "/moved":
            request.redirect(b"/ok")
            return b""
        if path == "/loop":
            request.redirect(b"/loop")
            return b""
        if path.startswith("/code/"):
            request.setResponseCode(int(path.removeprefix("/code/")))
            return b"said so"
        names = ("user-agent", "accept", "x-cf", "host")
        shown = [request.method.decode(), request.content.read().decode()]
        return " ".join(shown + [request.getHeader(name) or "-" for name in names]).encode()


def http(url: str, **fields: Any) -> HttpProbe:
    return HttpProbe(reactor, Dialer(reactor), CheckType(http=url, **fields), 5.0)


@pytest_twisted.ensureDeferred
async def test_http_says_who_asks_and_what_it_got(listen: Callable[[Any], int]) -> None:
    url = f"http://{HOST}:{listen(Site(Echo()))}/echo"
    result = await outcome(http(url, method="put", header={"X-Cf": ["hi"]}, body="text"))
    said = f"PUT text Consul Health Check text/plain, text/*, */* hi {url.split('/')[2]}"
    assert result == Result("passing", f"HTTP PUT {url}: 200 OK Output: {said}")


@pytest.mark.parametrize(
    ("code", "status"), [(201, "passing"), (429, "warning"), (404, "critical"), (500, "critical"), (304, "critical")]
)
@pytest_twisted.ensureDeferred
async def test_http_status_is_by_the_code(listen: Callable[[Any], int], code: int, status: str) -> None:
    url = f"http://{HOST}:{listen(Site(Echo()))}/code/{code}"
    result = await outcome(http(url))
    assert result.status == status
    assert result.output.startswith(f"HTTP GET {url}: {code} ")


@pytest_twisted.ensureDeferred
async def test_http_keeps_the_end_of_the_output(listen: Callable[[Any], int]) -> None:
    url = f"http://{HOST}:{listen(Site(Echo()))}/code/200"
    assert (await outcome(http(url, output_max_size=2))).output == f"HTTP GET {url}: 200 OK Output: so"


@pytest_twisted.ensureDeferred
async def test_http_follows_redirects_but_not_for_ever(listen: Callable[[Any], int]) -> None:
    base = f"http://{HOST}:{listen(Site(Echo()))}"
    assert (await outcome(http(f"{base}/moved"))).status == "passing"
    loop = await outcome(http(f"{base}/loop"))
    assert (loop.status, "redirect" in loop.output) == ("critical", True)


@pytest_twisted.ensureDeferred
async def test_http_refused() -> None:
    result = await outcome(http(f"http://{HOST}:1/"))
    text = f'Get "http://{HOST}:1/": dial tcp {HOST}:1: connect: connection refused'
    assert result == Result("critical", text)


class PlainServer(Protocol):
    """Answers whatever comes as Go's HTTP server answers a TLS hello."""

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTPS request to an HTTP server.\n")
        self.transport.loseConnection()


@pytest.mark.parametrize("skip_verify", [False, True])
@pytest_twisted.ensureDeferred
async def test_https_to_a_plain_server(listen: Callable[[Any], int], skip_verify: bool) -> None:
    url = f"https://{HOST}:{listen(Factory.forProtocol(PlainServer))}/"
    result = await outcome(http(url, tls_skip_verify=skip_verify))
    assert result == Result("critical", f'Get "{url}": http: server gave HTTP response to HTTPS client')


@pytest.mark.parametrize("url", ["127.37.0.5:8099/ok", "ftp://x/", "http://", "http://x:99999/", "http://x/ y", "::"])
@pytest_twisted.ensureDeferred
async def test_http_what_is_no_url_is_critical(url: str) -> None:
    with pytest.raises(CheckFailed):
        http(url).run()


@pytest_twisted.ensureDeferred
async def test_a_hanging_server_is_let_go_when_the_run_is_cancelled(listen: Callable[[Any], int]) -> None:
    probe = http(f"http://{HOST}:{listen(Site(Echo()))}/slow")
    run = probe.run()
    failed: list[Any] = []
    run.addErrback(failed.append)
    pause: Deferred[None] = Deferred()
    reactor.callLater(0.05, pause.callback, None)
    await pause
    run.cancel()
    assert len(failed) == 1
    assert "context deadline exceeded" in probe.timed_out().output


@pytest_twisted.ensureDeferred
async def test_tcp_connects_and_hangs_up(listen: Callable[[Any], int]) -> None:
    target = f"{HOST}:{listen(Factory.forProtocol(Protocol))}"
    result = await outcome(TcpProbe(Dialer(reactor), target, 5))
    assert result == Result("passing", f"TCP connect {target}: Success")


@pytest_twisted.ensureDeferred
async def test_tcp_refused() -> None:
    result = await outcome(TcpProbe(Dialer(reactor), f"{HOST}:1", 5))
    assert result == Result("critical", f"dial tcp {HOST}:1: connect: connection refused")


@pytest_twisted.ensureDeferred
async def test_names_are_looked_up_apart(listen: Callable[[Any], int]) -> None:
    dialer = Dialer(reactor)
    first, second = dialer.look_up("localhost"), dialer.look_up("localhost")
    assert await first == await second
    with pytest.raises(DialError, match=r"dial tcp: lookup nohost\.invalid: no such host"):
        await dialer.look_up("nohost.invalid")


@pytest.mark.parametrize(
    ("target", "error"),
    [
        ("nonsense", "dial tcp: address nonsense: missing port in address"),
        ("1:2:3", "dial tcp: address 1:2:3: too many colons in address"),
        ("x:99999", "dial tcp: address 99999: invalid port"),
    ],
)
def test_targets_are_checked_in_gos_words(target: str, error: str) -> None:
    with pytest.raises(DialError) as caught:
        split_host_port(target)
    assert str(caught.value) == error
    assert split_host_port("[::1]:80") == ("::1", 80)


def script(*arguments: str, output_max: int = 0, timeout_s: float = 5) -> ScriptProbe:
    return ScriptProbe(reactor, list(arguments), output_max, timeout_s)


@pytest.mark.parametrize(("code", "status"), [(0, "passing"), (1, "warning"), (2, "critical"), (255, "critical")])
@pytest_twisted.ensureDeferred
async def test_script_status_is_by_the_exit_code(code: int, status: str) -> None:
    result = await outcome(script("sh", "-c", f"echo out; echo err >&2; exit {code}"))
    assert result == Result(status, "out\nerr\n")


@pytest_twisted.ensureDeferred
async def test_script_keeps_the_end_of_a_long_output() -> None:
    result = await outcome(script("sh", "-c", "yes | head -c 9000; exit 3"))
    assert result == Result("critical", "Captured 4096 of 9000 bytes\n...\n" + "y\n" * 2048)


@pytest_twisted.ensureDeferred
async def test_script_that_cannot_start() -> None:
    assert (await outcome(script("/nonexist"))).output == "fork/exec /nonexist: no such file or directory"
    assert (await outcome(script(""))).status == "critical"
    assert (await outcome(script("a\0b"))).status == "critical"


def moment() -> Deferred[None]:
    pause: Deferred[None] = Deferred()
    reactor.callLater(0.01, pause.callback, None)
    return pause


def is_running(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest_twisted.ensureDeferred
async def test_script_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    """The child ignores signals and would live on; the group is killed."""
    pids = tmp_path / "pids"
    command = f"trap '' TERM INT HUP; sleep 1000 & echo $! $$ > {pids}.new; mv {pids}.new {pids}; wait"
    probe = script("sh", "-c", command, timeout_s=1)
    run = probe.run()
    run.addErrback(lambda _: None)
    while not pids.exists():
        await moment()
    run.cancel()
    for pid in pids.read_text().split():
        while is_running(pid):  # a kill takes the kernel a moment; the test's own limit ends a wait in vain
            await moment()
    assert probe.timed_out() == Result("critical", "Timed out (1s) running check")


@pytest_twisted.ensureDeferred
async def test_script_that_leaves_something_in_the_background_ends_all_the_same() -> None:
    result = await outcome(script("sh", "-c", "sleep 1000 & echo done"))
    assert result == Result("passing", "done\n")


class HealthServer(Protocol):
    """A gRPC server that knows the services `ok` and `sick`."""

    def connectionMade(self) -> None:
        from h2.config import H2Configuration

        self.http2 = h2.connection.H2Connection(H2Configuration(client_side=False))
        self.http2.initiate_connection()
        self.body = b""
        self.write()

    def write(self) -> None:
        assert self.transport is not None
        self.transport.write(self.http2.data_to_send())

    def dataReceived(self, data: bytes) -> None:
        for event in self.http2.receive_data(data):
            if isinstance(event, h2.events.DataReceived):
                self.body += event.data or b""
            if isinstance(event, h2.events.StreamEnded):
                self.answer(event.stream_id)
        self.write()

    def answer(self, stream: int) -> None:
        service = self.body[7:].decode()
        known = {"": 1, "ok": 1, "sick": 2}
        headers = [(":status", "200"), ("content-type", "application/grpc")]
        if service not in known:
            missing = [*headers, ("grpc-status", "5"), ("grpc-message", "unknown service")]
            self.http2.send_headers(stream, missing, end_stream=True)
            return
        self.http2.send_headers(stream, headers)
        message = bytes([0x08, known[service]])
        self.http2.send_data(stream, b"\0" + struct.pack(">I", len(message)) + message)
        self.http2.send_headers(stream, [("grpc-status", "0")], end_stream=True)


@pytest.mark.parametrize(
    ("service", "status", "output"),
    [
        ("", "passing", "gRPC check {target}: success"),
        ("/ok", "passing", "gRPC check {target}: success"),
        ("/sick", "critical", "gRPC application didn't report service healthy"),
        ("/none", "critical", "rpc error: code = NotFound desc = unknown service"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_grpc_health(listen: Callable[[Any], int], service: str, status: str, output: str) -> None:
    target = f"{HOST}:{listen(Factory.forProtocol(HealthServer))}{service}"
    result = await outcome(GrpcProbe(Dialer(reactor), CheckType(grpc=target), 5))
    assert result == Result(status, output.format(target=target))


@pytest_twisted.ensureDeferred
async def test_grpc_refused_and_to_something_else(listen: Callable[[Any], int]) -> None:
    refused = await outcome(GrpcProbe(Dialer(reactor), CheckType(grpc=f"{HOST}:1"), 5))
    assert refused.output == (
        'rpc error: code = Unavailable desc = connection error: desc = "transport: Error while dialing '
        f'dial tcp {HOST}:1: connect: connection refused"'
    )
    target = f"{HOST}:{listen(Site(Echo()))}"
    other = await outcome(GrpcProbe(Dialer(reactor), CheckType(grpc=target), 5))
    assert other.status == "critical"
    assert other.output.startswith("rpc error: code = Unavailable")


def test_grpc_without_its_library_is_refused_at_registration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpc, "HAVE_H2", False)
    runner = Runner(reactor, Random(1), aliases=None)  # type: ignore[arg-type]
    with pytest.raises(BadRequest, match="h2"):
        runner.check_type(CheckType(grpc="x:1", interval=10**9))


@pytest.mark.parametrize(
    "kind", [CheckType(http="::bad"), CheckType(tcp="nonsense"), CheckType(grpc="x"), CheckType(http="ftp://x/")]
)
def test_what_could_never_run_is_refused_at_registration(kind: CheckType) -> None:
    runner = Runner(reactor, Random(1), aliases=None)  # type: ignore[arg-type]
    with pytest.raises(BadRequest, match="Invalid check: "):
        runner.check_type(kind)


class Docker(Resource):
    isLeaf = True  # noqa: N815 - Twisted's name

    def render(self, request: Any) -> Any:
        path, body = request.path.decode(), request.content.read()
        if path == "/containers/gone/exec":
            request.setResponseCode(404)
            return b'{"message":"No such container: gone"}'
        if path.endswith("/exec"):
            request.setResponseCode(201)
            return json.dumps({"Id": json.loads(body)["Cmd"][0]}).encode()
        if path.endswith("/start"):
            return b"".join(bytes([number, 0, 0, 0]) + struct.pack(">I", 3) + data for number, data in OUTPUT)
        return json.dumps({"ExitCode": int(path.split("/")[2])}).encode()


OUTPUT = ((1, b"out"), (2, b"err"))


@pytest.mark.parametrize(
    ("container", "code", "result"),
    [
        ("c", "0", Result("passing", "outerr")),
        ("c", "1", Result("warning", "outerr")),
        ("c", "7", Result("critical", "outerr")),
        (
            "gone",
            "0",
            Result(
                "critical",
                'create exec failed for container gone with status 404: {"message":"No such container: gone"}',
            ),
        ),
    ],
)
@pytest_twisted.ensureDeferred
async def test_docker_runs_inside_the_container(tmp_path: Path, container: str, code: str, result: Result) -> None:
    path = str(tmp_path / "docker.sock")
    port = reactor.listenUNIX(path, Site(Docker()))
    try:
        kind = CheckType(docker_container_id=container, script_args=[code])
        assert await outcome(DockerProbe(reactor, path, kind, 5)) == result
    finally:
        await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_docker_that_is_not_there() -> None:
    kind = CheckType(docker_container_id="x", script_args=["true"])
    result = await outcome(DockerProbe(reactor, "/var/run/no-docker.sock", kind, 5))
    assert result.output == (
        'create exec failed for container x: Post "http://%2Fvar%2Frun%2Fno-docker.sock/containers/x/exec": '
        "dial unix /var/run/no-docker.sock: connect: no such file or directory"
    )


def test_signals_are_where_they_should_be() -> None:
    """Script checks must not disturb the process' own children."""
    assert signal.getsignal(signal.SIGKILL) == signal.SIG_DFL
    assert os.getpgid(0) == os.getpgrp()
