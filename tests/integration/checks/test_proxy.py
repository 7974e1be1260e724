"""HTTP checks by way of a proxy: what it is asked, as a real agent asks it."""

from collections.abc import Callable
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.protocol import Factory, Protocol

from consulpy.checks.dial import Dialer
from consulpy.checks.http import HttpProbe
from consulpy.checks.proxy_environment import Proxies
from consulpy.checks.result import Result
from consulpy.structs.definition import CheckType
from tests.harness.checks import HOST, outcome, reactor

AUTHORIZATION = b"Proxy-Authorization: Basic dTpw\r\n"


class Proxy(Protocol):
    """Answers what it is asked with `answer`."""

    answer: bytes
    asked: bytes = b""

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        type(self).asked += data
        if data.endswith(b"\r\n\r\n"):
            self.transport.write(self.answer)


async def checked(listen: Callable[[Any], int], url: str, answer: bytes) -> tuple[Result, bytes]:
    """The result, and what the proxy was asked."""

    class Answers(Proxy):
        pass

    Answers.answer = answer
    proxy = f"http://u:p@{HOST}:{listen(Factory.forProtocol(Answers))}"
    probe = HttpProbe(reactor, Dialer(reactor), CheckType(http=url), 5.0, proxies=Proxies(proxy, proxy))
    return await outcome(probe), Answers.asked


@pytest_twisted.ensureDeferred
async def test_the_proxy_gets_the_whole_url(listen: Callable[[Any], int]) -> None:
    url = "http://name.invalid:8080/x?q"
    result, asked = await checked(listen, url, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    assert result == Result("passing", f"HTTP GET {url}: 200 OK Output: ok")
    assert asked.startswith(b"GET http://name.invalid:8080/x?q HTTP/1.1\r\nHost: name.invalid:8080\r\n")
    assert asked.endswith(AUTHORIZATION + b"\r\n")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\nSSH-2.0-x\r\n", "tls: first record does not look like a TLS handshake"),
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "Proxy Authentication Required"),
        (b"HTTP/1.1 2x\r\n\r\n", 'malformed HTTP status code "2x"'),
    ],
)
@pytest_twisted.ensureDeferred
async def test_https_goes_through_a_tunnel(listen: Callable[[Any], int], answer: bytes, error: str) -> None:
    result, asked = await checked(listen, "https://name.invalid/x", answer)
    assert result.status == "critical"
    assert result.output.startswith('Get "https://name.invalid/x": ')
    assert result.output.endswith(error)
    assert asked.startswith(b"CONNECT name.invalid:443 HTTP/1.1\r\nHost: name.invalid:443\r\n")
    assert AUTHORIZATION in asked
