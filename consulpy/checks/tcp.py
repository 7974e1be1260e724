"""TCP checks: passing when a connection can be made."""

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol

from consulpy.checks.dial import Dialer, abort, split_host_port
from consulpy.checks.result import Result
from consulpy.structs.check import CRITICAL, PASSING


class TcpProbe:
    """Connects to `target` (host:port) and hangs up."""

    def __init__(self, dialer: Dialer, target: str, timeout_s: float) -> None:
        self._dialer = dialer
        self._target = target
        self.timeout_s = timeout_s

    def check(self) -> None:
        """Raise `DialError` for what is no address."""
        split_host_port(self._target)

    def run(self) -> Deferred[Result]:
        """Connect once. Raises `DialError` for what is no address."""
        host, port = split_host_port(self._target)
        return Deferred.fromCoroutine(self._run(host, port))

    async def _run(self, host: str, port: int) -> Result:
        # our own timeout fires first, so that the text is the same for look-up and connection
        endpoint = self._dialer.endpoint(host, port, self.timeout_s + 1)
        abort(await endpoint.connect(Factory.forProtocol(Protocol)))
        return Result(PASSING, f"TCP connect {self._target}: Success")

    def timed_out(self) -> Result:
        """As Go's dialer says it."""
        return Result(CRITICAL, f"dial tcp {self._target}: i/o timeout")
