"""HTTP, TCP, gRPC, Docker and script checks against real sockets and processes; texts as a real agent gave them."""

import json
import os
import signal
import struct
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import h2.connection
import h2.events
import pytest
import pytest_twisted
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from consulpy.checks import dial, grpc
from consulpy.checks.dial import Dialer, DialError, split_host_port
from consulpy.checks.docker import DockerProbe, FramedTail
from consulpy.checks.grpc import GrpcProbe
from consulpy.checks.http import HttpProbe
from consulpy.checks.result import CheckFailed, Probe, Result, Tail
from consulpy.checks.runner import Runner
from consulpy.checks.script import LINGERING_MAX, ScriptProbe
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
async def test_http_request_and_output(listen: Callable[[Any], int]) -> None:
    url = f"http://{HOST}:{listen(Site(Echo()))}/echo"
    result = await outcome(http(url, method="put", header={"X-Cf": ["hi"]}, body="text"))
    said = f"put text Consul Health Check text/plain, text/*, */* hi {url.split('/')[2]}"
    assert result == Result("passing", f"HTTP put {url}: 200 OK Output: {said}")


@pytest.mark.parametrize(
    ("code", "status"), [(201, "passing"), (429, "warning"), (404, "critical"), (500, "critical"), (304, "critical")]
)
@pytest_twisted.ensureDeferred
async def test_http_status_follows_the_code(listen: Callable[[Any], int], code: int, status: str) -> None:
    url = f"http://{HOST}:{listen(Site(Echo()))}/code/{code}"
    result = await outcome(http(url))
    assert result.status == status
    assert result.output.startswith(f"HTTP GET {url}: {code} ")


@pytest_twisted.ensureDeferred
async def test_http_stores_the_end_of_the_output(listen: Callable[[Any], int]) -> None:
    url = f"http://{HOST}:{listen(Site(Echo()))}/code/200"
    assert (await outcome(http(url, output_max_size=2))).output == f"HTTP GET {url}: 200 OK Output: so"


@pytest_twisted.ensureDeferred
async def test_http_follows_redirects_up_to_a_limit(listen: Callable[[Any], int]) -> None:
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
async def test_http_invalid_url_is_critical(url: str) -> None:
    assert (await outcome(http(url))).status == "critical"


@pytest_twisted.ensureDeferred
async def test_a_cancelled_run_closes_the_connection_to_a_hanging_server(listen: Callable[[Any], int]) -> None:
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
async def test_tcp_connects_and_closes(listen: Callable[[Any], int]) -> None:
    target = f"{HOST}:{listen(Factory.forProtocol(Protocol))}"
    result = await outcome(TcpProbe(Dialer(reactor), CheckType(tcp=target), 5))
    assert result == Result("passing", f"TCP connect {target}: Success")


class Farewell(Protocol):
    """Notes how its peer hung up; `greeting` is sent at once."""

    greeting = b""

    def __init__(self, ended: "Deferred[Any]") -> None:
        self.ended = ended

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(self.greeting)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended.callback(reason.type)


@pytest_twisted.ensureDeferred
async def test_tcp_closes_without_a_reset(listen: Callable[[Any], int]) -> None:
    """Servers count resets as errors and fill their logs with them."""
    ended: Deferred[Any] = Deferred()
    target = f"{HOST}:{listen(Factory.forProtocol(partial(Farewell, ended)))}"
    assert (await outcome(TcpProbe(Dialer(reactor), CheckType(tcp=target), 5))).status == "passing"
    assert await ended is ConnectionDone


@pytest.mark.parametrize(
    ("target", "output"),
    [
        ("{host}:+{port}", "TCP connect {target}: Success"),
        ("{host}:00{port}", "TCP connect {target}: Success"),
        ("[{host}]:{port}", "TCP connect {target}: Success"),
        ("0127.37.0.3:{port}", "TCP connect {target}: Success"),
        ("{host}:", "dial tcp {host}:0: connect: connection refused"),
        (":1", "dial tcp :1: connect: connection refused"),
        ("{host}:tcpmux", "dial tcp {host}:1: connect: connection refused"),
        ("{host}:nosuch", "dial tcp: address tcp/nosuch: unknown port"),
        ("{host}: 80", "dial tcp: address tcp/ 80: unknown port"),
        ("{host}:٨٠", "dial tcp: address tcp/٨٠: unknown port"),
        ("{host}:65536", "dial tcp: address 65536: invalid port"),
        ("{host}:-1", "dial tcp: address -1: invalid port"),
        ("{host}:" + "9" * 5000, "dial tcp: address " + "9" * 5000 + ": invalid port"),
        ("{host}", "dial tcp: address {host}: missing port in address"),
        ("::1:80", "dial tcp: address ::1:80: too many colons in address"),
        ("[::1:80", "dial tcp: address [::1:80: missing ']' in address"),
        ("[::1]x:80", "dial tcp: address [::1]x:80: missing port in address"),
        ("[fe80::1%nope]:80", "dial tcp [fe80::1%nope]:80: connect: invalid argument"),
        ("*:80", "dial tcp: lookup *: no such host"),
        ("127.1:80", "dial tcp: lookup 127.1: no such host"),
        ("2131036417:80", "dial tcp: lookup 2131036417: no such host"),
        ("0x7f000001:80", "dial tcp: lookup 0x7f000001: no such host"),
        ("a b:80", "dial tcp: lookup a b: no such host"),
        ("a" * 64 + ".b:80", "dial tcp: lookup " + "a" * 64 + ".b: no such host"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_tcp_addresses_of_all_kinds(listen: Callable[[Any], int], target: str, output: str) -> None:
    """As Go's dialer reads them; the C library would take some for other addresses."""
    parts = {"host": HOST, "port": listen(Factory.forProtocol(Protocol))}
    target = target.format(**parts)
    result = await outcome(TcpProbe(Dialer(reactor), CheckType(tcp=target), 5))
    assert result.output == output.format(target=target, **parts)


@pytest_twisted.ensureDeferred
async def test_all_addresses_of_a_name_are_tried(listen: Callable[[Any], int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dial, "_addresses_of", lambda _: ["127.37.0.99", HOST])
    target = f"name:{listen(Factory.forProtocol(Protocol))}"
    assert (await outcome(TcpProbe(Dialer(reactor), CheckType(tcp=target), 5))).status == "passing"
    refused = await outcome(TcpProbe(Dialer(reactor), CheckType(tcp="name:1"), 5))
    assert refused.output == "dial tcp 127.37.0.99:1: connect: connection refused"


@pytest_twisted.ensureDeferred
async def test_tcp_refused() -> None:
    result = await outcome(TcpProbe(Dialer(reactor), CheckType(tcp=f"{HOST}:1"), 5))
    assert result == Result("critical", f"dial tcp {HOST}:1: connect: connection refused")


@pytest_twisted.ensureDeferred
async def test_a_hanging_look_up_does_not_delay_others(listen: Callable[[Any], int]) -> None:
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
        ("[::1", "dial tcp: address [::1: missing ']' in address"),
    ],
)
def test_invalid_targets_have_gos_error_texts(target: str, error: str) -> None:
    with pytest.raises(DialError) as caught:
        split_host_port(target)
    assert str(caught.value) == error
    assert split_host_port("[::1]:80") == ("::1", "80")


def script(*arguments: str, output_max: int = 0, timeout_s: float = 5) -> ScriptProbe:
    return ScriptProbe(reactor, list(arguments), output_max, timeout_s)


@pytest.mark.parametrize(("code", "status"), [(0, "passing"), (1, "warning"), (2, "critical"), (255, "critical")])
@pytest_twisted.ensureDeferred
async def test_script_status_follows_the_exit_code(code: int, status: str) -> None:
    result = await outcome(script("sh", "-c", f"echo out; echo err >&2; exit {code}"))
    assert result == Result(status, "out\nerr\n")


@pytest_twisted.ensureDeferred
async def test_script_stores_the_end_of_a_long_output() -> None:
    result = await outcome(script("sh", "-c", "yes | head -c 9000; exit 3"))
    assert result == Result("critical", "Captured 4096 of 9000 bytes\n...\n" + "y\n" * 2048)


@pytest.mark.parametrize(
    ("program", "output"),
    [
        ("/nonexist", "fork/exec /nonexist: no such file or directory"),
        ("nonexist", 'exec: "nonexist": executable file not found in $PATH'),
        ("./nonexist", "fork/exec ./nonexist: no such file or directory"),
        ("", "fork/exec : no such file or directory"),
        ("/tmp", "fork/exec /tmp: permission denied"),
        ("a\0b", "fork/exec a\0b: invalid argument"),
        ("\ud800", "fork/exec \ud800: invalid argument"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_script_that_cannot_start(program: str, output: str) -> None:
    assert await outcome(script(program)) == Result("critical", output)


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
async def test_script_is_killed_with_its_descendants(tmp_path: Path) -> None:
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
async def test_a_timeout_reports_the_output_so_far() -> None:
    """Of both streams, as Consul shows it."""
    probe = script("sh", "-c", "echo out; echo err >&2; sleep 1000", timeout_s=1)
    run = probe.run()
    run.addErrback(lambda _: None)
    while "err" not in probe.timed_out().output:
        await moment()
    run.cancel()
    assert probe.timed_out() == Result("critical", "Timed out (1s) running check\n\nout\nerr\n")


@pytest_twisted.ensureDeferred
async def test_the_output_of_one_run_is_not_reported_for_the_next() -> None:
    probe = script("sh", "-c", "echo out")
    await probe.run()
    probe._arguments = ["/nonexist"]
    assert (await outcome(probe)).status == "critical"
    assert "out\n" not in probe.timed_out().output


@pytest_twisted.ensureDeferred
async def test_background_processes_of_a_script_are_not_killed(tmp_path: Path) -> None:
    """The script exits immediately; its child may go on printing, which is dropped."""
    pids, printed = tmp_path / "pids", tmp_path / "printed"
    child = f"sleep 0.2; echo more; echo more; touch {printed}; exec sleep 1000"
    result = await outcome(script("sh", "-c", f"(echo $$; {child}) & echo $! > {pids}; echo done"))
    assert result.status == "passing"
    assert "done\n" in result.output
    pid = pids.read_text().strip()
    try:
        while not printed.exists():
            await moment()
        assert is_running(pid)
    finally:
        os.kill(int(pid), signal.SIGKILL)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest_twisted.ensureDeferred
async def test_background_processes_of_many_runs_use_few_descriptors(tmp_path: Path) -> None:
    probe = script("sh", "-c", f"sleep 1000 & echo $! >> {tmp_path}/pids")
    before = descriptors()
    try:
        for _ in range(2 * LINGERING_MAX):
            assert (await outcome(probe)).status == "passing"
        assert descriptors() <= before + LINGERING_MAX
    finally:
        for pid in (tmp_path / "pids").read_text().split():
            os.kill(int(pid), signal.SIGKILL)


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
    "kind",
    [CheckType(http="::bad"), CheckType(tcp="nonsense"), CheckType(grpc="x"), CheckType(http="ftp://x/")],
)
def test_invalid_addresses_are_accepted_at_registration_as_by_consul(kind: CheckType) -> None:
    """It is critical when it runs; refusing it would keep an agent from starting with files that Consul takes."""
    Runner(reactor, Random(1), aliases=None).check_type(kind)  # type: ignore[arg-type]


def test_an_invalid_docker_host_is_refused_at_registration() -> None:
    runner = Runner(reactor, Random(1), aliases=None, docker_host="nonsense")  # type: ignore[arg-type]
    with pytest.raises(BadRequest, match="unable to parse docker host `nonsense`"):
        runner.check_type(CheckType(docker_container_id="c", script_args=["true"]))


class Docker(Resource):
    isLeaf = True  # noqa: N815 - Twisted's name

    def render(self, request: Any) -> Any:
        path, body = request.path.decode(), request.content.read()
        if path == "/containers/gone/exec":
            request.setResponseCode(404)
            return b'{"message":"No such container: gone"}'
        if path in ("/containers/stopped/exec", "/containers/broken/exec"):
            request.setResponseCode(409 if "stopped" in path else 500)
            return b"oh"
        if path.endswith("/exec"):
            assert path in ("/containers/c/exec", "/containers/a%2F..%2Fb+c%3Fd/exec")
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
        ("stopped", "0", Result("critical", "create exec failed since container stopped is paused or stopped")),
        ("a/../b c?d", "0", Result("passing", "outerr")),
        ("broken", "0", Result("critical", "create exec failed for container broken with status 500: oh")),
        (
            "gone",
            "0",
            Result(
                "critical",
                "create exec failed for unknown container gone",
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
        assert await outcome(DockerProbe(reactor, Dialer(reactor), f"unix://{path}", kind, 5)) == result
    finally:
        await port.stopListening()


def test_docker_frames_are_decoded_from_any_fragments() -> None:
    stream = b"".join(bytes([kind, 0, 0, 0]) + struct.pack(">I", len(data)) + data for kind, data in OUTPUT) + b"\1"
    for size in range(1, len(stream) + 1):
        frames = FramedTail(Tail(100))
        for at in range(0, len(stream), size):
            assert frames.write(stream[at : at + size])
        assert frames.tail.data == b"outerr"


@pytest_twisted.ensureDeferred
async def test_docker_over_tcp(listen: Callable[[Any], int]) -> None:
    kind = CheckType(docker_container_id="c", script_args=["1"])
    place = f"tcp://{HOST}:{listen(Site(Docker()))}"
    assert await outcome(DockerProbe(reactor, Dialer(reactor), place, kind, 5)) == Result("warning", "outerr")


@pytest_twisted.ensureDeferred
async def test_docker_not_running() -> None:
    kind = CheckType(docker_container_id="x", script_args=["true"])
    result = await outcome(DockerProbe(reactor, Dialer(reactor), "unix:///var/run/no-docker.sock", kind, 5))
    assert result.output == (
        'create exec failed for container x: Post "http://%2Fvar%2Frun%2Fno-docker.sock/containers/x/exec": '
        "dial unix /var/run/no-docker.sock: connect: no such file or directory"
    )


def test_signals_are_where_they_should_be() -> None:
    """Script checks must not disturb the process' own children."""
    assert signal.getsignal(signal.SIGKILL) == signal.SIG_DFL
    assert os.getpgid(0) == os.getpgrp()
