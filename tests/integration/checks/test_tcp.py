"""TCP checks against real sockets; texts as a real agent gave them."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from consulpy.checks import dial
from consulpy.checks.dial import Dialer, DialError, split_host_port
from consulpy.checks.result import Result
from consulpy.checks.tcp import TcpProbe
from consulpy.structs.definition import CheckType
from tests.harness.checks import HOST, outcome, reactor


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
    # where no name server answers, it is not known whether the name exists
    with pytest.raises(DialError, match=r"dial tcp: lookup nohost\.invalid: (no such host|temporary failure)"):
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
