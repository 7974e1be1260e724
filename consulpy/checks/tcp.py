"""TCP checks: passing when a connection can be made."""

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol

from consulpy.checks.dial import Dialer, finish, split_host_port
from consulpy.checks.result import Result
from consulpy.structs.check import CRITICAL, PASSING


class TcpProbe:
    """Connects to `target` (host:port) and hangs up."""

    def __init__(self, dialer: Dialer, target: str, timeout_s: float) -> None:
        self._dialer = dialer
        self._target = target
        self.timeout_s = timeout_s

    def check(self) -> None:
        """Whether it can be connected to shows only when it is run."""

    def run(self) -> Deferred[Result]:
        """Connect once. Raises `DialError` for what is no address."""
        host, port = split_host_port(self._target)
        return Deferred.fromCoroutine(self._run(host, port))

    async def _run(self, host: str, port: str) -> Result:
        # our own timeout fires first, so that the text is the same for look-up and connection
        endpoint = self._dialer.endpoint(host, port, self.timeout_s + 1)
        finish(await endpoint.connect(Factory.forProtocol(Protocol)))
        return Result(PASSING, f"TCP connect {self._target}: Success")

    def timed_out(self) -> Result:
        """As Go's dialer says it."""
        return Result(CRITICAL, f"dial tcp {self._target}: i/o timeout")
