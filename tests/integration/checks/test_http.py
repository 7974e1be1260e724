"""HTTP checks against real sockets; texts as a real agent gave them."""

from collections.abc import Callable
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.server import Site

from consulpy.checks.dial import Dialer
from consulpy.checks.http import HttpProbe
from consulpy.checks.result import Result
from consulpy.structs.definition import CheckType
from tests.harness.checks import HOST, Echo, outcome, reactor


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


class Banner(PlainServer):
    """Speaks first, as servers of SSH and mail do."""

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(b"SSH-2.0-OpenSSH_9.2\r\n")


@pytest_twisted.ensureDeferred
async def test_https_to_a_server_of_another_protocol(listen: Callable[[Any], int]) -> None:
    url = f"https://{HOST}:{listen(Factory.forProtocol(Banner))}/"
    result = await outcome(http(url))
    assert result == Result("critical", f'Get "{url}": tls: first record does not look like a TLS handshake')


class Silent(Protocol):
    """Never answers; `ended` tells how the connection ended."""

    ended: "Deferred[str]"

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended.callback(reason.type.__name__ if reason.type else "")


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest_twisted.ensureDeferred
async def test_a_run_that_takes_too_long_ends_without_a_reset(listen: Callable[[Any], int], scheme: str) -> None:
    """In the midst of TLS's handshake too. A reset would be an error in the server's log."""
    accepted: Deferred[None] = Deferred()

    class Server(Silent):
        def dataReceived(self, data: bytes) -> None:
            if not accepted.called:
                accepted.callback(None)

    Server.ended = Deferred()
    run = http(f"{scheme}://{HOST}:{listen(Factory.forProtocol(Server))}/").run()
    run.addErrback(lambda _: None)
    await accepted
    run.cancel()
    assert await Server.ended == "ConnectionDone"


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
