"""TCP connections for checks: names are looked up apart from the rest of the process, errors read as Go's.

A name server that hangs may hold up other checks of *names*, never checks of addresses: each name is asked for by one
thread at a time, and these threads serve nothing else.
"""

import errno
import os
import socket
from ipaddress import ip_address
from threading import Thread
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import ConnectError, ConnectionRefusedError, TimeoutError  # noqa: A004 - Twisted's
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from zope.interface import implementer

from consulpy.checks.result import CheckFailed

#: How many names may be looked up at the same time.
LOOKUPS_MAX: Final = 16


class DialError(CheckFailed):
    """`dial tcp 127.0.0.1:1: connect: connection refused`."""


def split_host_port(target: str) -> tuple[str, int]:
    """`host:port` or `[address]:port`. Raises `DialError` in Go's words."""
    host, separator, port = target.rpartition(":")
    if not separator or host.count("[") != host.count("]"):
        raise DialError(f"dial tcp: address {target}: missing port in address")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise DialError(f"dial tcp: address {target}: too many colons in address")
    if not port.isdigit():
        raise DialError(f"dial tcp: lookup tcp/{port}: nodename nor servname provided, or not known")
    if int(port) > 65535:
        raise DialError(f"dial tcp: address {port}: invalid port")
    return host or "127.0.0.1", int(port)


def is_address(host: str) -> bool:
    """Whether `host` is an address, not a name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


class Dialer:
    """Makes the connections of all checks of an agent."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._lookups: dict[str, list[Deferred[str]]] = {}

    def endpoint(self, host: str, port: int, timeout_s: float) -> "DialEndpoint":
        """Where `host:port` is, for Twisted's clients; fails with `DialError`."""
        return DialEndpoint(self, self._reactor, host, port, timeout_s)

    def look_up(self, host: str) -> Deferred[str]:
        """An address of `host`. Fails with `DialError`."""
        if is_address(host):
            return succeed(host)
        waiter: Deferred[str] = Deferred(lambda d: self._lookups.get(host, []).remove(d))
        waiters = self._lookups.get(host)
        if waiters is not None:
            waiters.append(waiter)
            return waiter
        if len(self._lookups) >= LOOKUPS_MAX:
            return fail(DialError(f"dial tcp: lookup {host}: too many names are being looked up"))
        self._lookups[host] = [waiter]
        # a daemon: nobody waits at the end of the process for a name server that hangs
        Thread(target=self._in_thread, args=(host,), name=f"lookup {host}", daemon=True).start()
        return waiter

    def _in_thread(self, host: str) -> None:
        try:
            found = _address_of(host)
        except (OSError, UnicodeError):
            found = ""
        self._reactor.callFromThread(self._looked_up, host, found)

    def _looked_up(self, host: str, address: str) -> None:
        for waiter in self._lookups.pop(host, []):
            if address:
                waiter.callback(address)
            else:
                waiter.errback(DialError(f"dial tcp: lookup {host}: no such host"))


def _address_of(host: str) -> str:
    found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)
    return str(found[0][4][0])


@implementer(IStreamClientEndpoint)
class DialEndpoint:
    """One target, looked up and connected to anew each time."""

    def __init__(self, dialer: Dialer, reactor: Any, host: str, port: int, timeout_s: float) -> None:
        self._dialer = dialer
        self._reactor = reactor
        self._host = host
        self._port = port
        self._timeout_s = timeout_s

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect; fails with `DialError`."""
        hush(protocolFactory)
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        address = await self._dialer.look_up(self._host)
        kind = TCP6ClientEndpoint if ":" in address else TCP4ClientEndpoint
        shown = f"[{address}]:{self._port}" if ":" in address else f"{address}:{self._port}"
        try:
            protocol: IProtocol = await kind(self._reactor, address, self._port, timeout=self._timeout_s).connect(
                factory
            )
        except CancelledError:
            raise
        except (ConnectError, OSError) as error:
            raise DialError(f"dial tcp {shown}: {why(error)}") from None
        return protocol


def hush(factory: Any) -> None:
    """Keep Twisted from logging two lines for each run of a check."""
    factory.noisy = False


def abort(protocol: Any) -> None:
    """Hang up at once."""
    if protocol.transport is not None:
        protocol.transport.abortConnection()


def why(error: BaseException) -> str:
    """The reason of a failed connection as Go prints it."""
    if isinstance(error, ConnectionRefusedError):
        return "connect: connection refused"
    if isinstance(error, TimeoutError):
        return "i/o timeout"
    number = getattr(error, "osError", None) or getattr(error, "errno", None)
    if isinstance(number, int) and number in errno.errorcode:
        return f"connect: {os.strerror(number).lower()}"
    return f"connect: {error}"
