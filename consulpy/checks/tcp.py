"""TCP checks: passing if a connection can be made, and a TLS session on it where one is asked for (Consul 1.16)."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol

from consulpy.checks.agenttls import OwnTls, no_tls
from consulpy.checks.dial import Dialer, finish, split_host_port
from consulpy.checks.result import Result
from consulpy.structs.check import CRITICAL, PASSING
from consulpy.structs.definition import CheckType


class TcpProbe:
    """Connects to `kind.tcp` (host:port) and closes the connection."""

    def __init__(self, dialer: Dialer, kind: CheckType, timeout_s: float, own: OwnTls = no_tls) -> None:
        self._dialer = dialer
        self._target = kind.tcp
        self._kind = kind
        self._own = own
        self.timeout_s = timeout_s

    def check(self) -> None:
        """See `Probe.check`: nothing is refused in advance."""

    def run(self) -> Deferred[Result]:
        """See `Probe.run`. Raises `DialError` for an invalid address."""
        host, port = split_host_port(self._target)
        return Deferred.fromCoroutine(self._run(host, port))

    async def _run(self, host: str, port: str) -> Result:
        # the runner's timeout fires first, so that the text is the same for look-up and connection
        endpoint: Any = self._dialer.endpoint(host, port, self.timeout_s + 1)
        if self._kind.tcp_use_tls:
            from consulpy.checks.tls import TlsEndpoint

            verify, name = not self._kind.tls_skip_verify, self._kind.tls_server_name
            endpoint = TlsEndpoint(endpoint, host, self._own(), verify=verify, server_name=name)
        finish(await endpoint.connect(Factory.forProtocol(Protocol)))
        return Result(PASSING, f"TCP connect {self._target}: Success")

    def timed_out(self) -> Result:
        """See `Probe.timed_out`: the text of Go's dialer."""
        return Result(CRITICAL, f"dial tcp {self._target}: i/o timeout")
