"""TCP checks: passing if a connection can be made."""

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol

from consulpy.checks.dial import Dialer, finish, split_host_port
from consulpy.checks.result import Result
from consulpy.structs.check import CRITICAL, PASSING


class TcpProbe:
    """Connects to `target` (host:port) and closes the connection."""

    def __init__(self, dialer: Dialer, target: str, timeout_s: float) -> None:
        self._dialer = dialer
        self._target = target
        self.timeout_s = timeout_s

    def check(self) -> None:
        """See `Probe.check`: nothing is refused in advance."""

    def run(self) -> Deferred[Result]:
        """See `Probe.run`. Raises `DialError` for an invalid address."""
        host, port = split_host_port(self._target)
        return Deferred.fromCoroutine(self._run(host, port))

    async def _run(self, host: str, port: str) -> Result:
        # the runner's timeout fires first, so that the text is the same for look-up and connection
        endpoint = self._dialer.endpoint(host, port, self.timeout_s + 1)
        finish(await endpoint.connect(Factory.forProtocol(Protocol)))
        return Result(PASSING, f"TCP connect {self._target}: Success")

    def timed_out(self) -> Result:
        """See `Probe.timed_out`: the text of Go's dialer."""
        return Result(CRITICAL, f"dial tcp {self._target}: i/o timeout")
