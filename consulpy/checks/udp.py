"""UDP checks (Consul 1.13): critical only if the host answers that nothing listens (ICMP port unreachable).

An empty datagram is sent; no answer until the timeout is passing, as most services answer nothing to it.
"""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import DatagramProtocol

from consulpy.checks.dial import Dialer, split_host_port
from consulpy.checks.result import CheckFailed, Result
from consulpy.structs.check import PASSING


class UdpProbe:
    """Sends a datagram to `target` (host:port)."""

    def __init__(self, reactor: Any, dialer: Dialer, target: str, timeout_s: float) -> None:
        self._reactor = reactor
        self._dialer = dialer
        self._target = target
        self.timeout_s = timeout_s

    def check(self) -> None:
        """See `Probe.check`: nothing is refused in advance."""

    def run(self) -> Deferred[Result]:
        """See `Probe.run`. Raises `DialError` for an invalid address."""
        host, port = split_host_port(self._target)
        return Deferred.fromCoroutine(self._run(host, port))

    def timed_out(self) -> Result:
        """See `Probe.timed_out`: nothing was heard, so nothing is wrong."""
        return Result(PASSING, f"UDP connect {self._target}: Success")

    async def _run(self, host: str, port: str) -> Result:
        addresses, number = await self._dialer.look_up(host, port)
        sender = _Sender(addresses[0], number)
        try:
            listening = self._reactor.listenUDP(0, sender, interface="::" if ":" in addresses[0] else "")
        except OSError as error:
            raise CheckFailed(f"dial udp {self._target}: {error.strerror}") from None
        try:
            await sender.answered
        finally:
            listening.stopListening()
        return self.timed_out()


class _Sender(DatagramProtocol):
    """Sends one datagram. `answered` fires at an answer, and fails with `CheckFailed` when nothing listens."""

    def __init__(self, address: str, port: int) -> None:
        self._address = address
        self._port = port
        self.answered: Deferred[None] = Deferred()

    def startProtocol(self) -> None:
        """Send the datagram."""
        transport: Any = self.transport
        try:
            transport.connect(self._address, self._port)
            transport.write(b"")
        except OSError as error:
            self._fail(error.strerror or str(error))

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:  # noqa: ARG002 - Twisted's interface
        """A datagram came back: the check passes."""
        if not self.answered.called:
            self.answered.callback(None)

    def connectionRefused(self) -> None:
        """The host says that nothing listens."""
        self._fail("connection refused")

    def stopProtocol(self) -> None:
        """The port was closed: by the reactor, to which the host's answer is an error of the socket, or by us."""
        self._fail("connection refused")

    def _fail(self, why: str) -> None:
        if not self.answered.called:
            self.answered.errback(CheckFailed(f"read udp {self._address}:{self._port}: {why}"))
