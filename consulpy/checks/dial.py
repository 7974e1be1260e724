"""TCP connections of checks: name resolution in threads of its own, error texts as Go's.

A name server that hangs may delay checks of other *names*, never checks of addresses: each name is resolved by one
thread at a time, and these threads serve nothing else.
"""

import re
import socket
from ipaddress import ip_address
from threading import Thread
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from zope.interface import implementer

from consulpy.checks.result import CheckFailed
from consulpy.checks.url import ascii_host
from consulpy.tls.connecting import connect_reason, tcp_endpoint

#: Concurrent look-ups; above it a look-up fails.
LOOKUPS_MAX: Final = 16


class DialError(CheckFailed):
    """A failed connection, in Go's words: `dial tcp 127.0.0.1:1: connect: connection refused`."""


def split_host_port(target: str) -> tuple[str, str]:
    """Split `host:port` or `[address]:port`; either part may be empty. Raises `DialError`."""
    host, colon, port = target.rpartition(":")
    fault = ""
    if not colon:
        fault = "missing port"
    elif target.startswith("["):
        end = target.find("]")
        if end < 0:
            fault = "missing ']'"
        elif end + 1 != len(host):
            fault = "too many colons" if target[end + 1 : end + 2] == ":" else "missing port"
        host = host[1:-1]
    elif ":" in host:
        fault = "too many colons"
    if not fault and ("[" in host or "]" in host):
        fault = f"unexpected '{'[' if '[' in host else ']'}'"
    if fault:
        raise DialError(f"dial tcp: address {target}: {fault} in address")
    return host, port


def port_number(port: str) -> int | None:
    """The number `port`, 0 for "", None for a service name. Raises `DialError` for a number out of range."""
    if not port:
        return 0
    if not re.fullmatch("[+-]?[0-9]+", port):
        return None
    # int() refuses thousands of digits
    number = int(port) if len(port.lstrip("+-0")) < 6 else -1
    if not 0 <= number <= 65535:
        raise DialError(f"dial tcp: address {port}: invalid port")
    return number


def is_address(host: str) -> bool:
    """Whether `host` is an IP address, not a name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def literal_address(host: str, port: int | None = None) -> str | None:
    """The IP address `host` as Go parses it, None for a name. Raises `DialError` for a zone that does not exist."""
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9}){3}", host) and all(int(part) < 256 for part in host.split(".")):
        return ".".join(str(int(part)) for part in host.split("."))  # leading zeros do not mean octal
    if not is_address(host):
        return None
    address, _, zone = host.partition("%")
    if zone and ip_address(address).is_link_local:
        try:
            if not zone.isdigit():
                socket.if_nametoindex(zone)
        except OSError:
            raise DialError(f"dial tcp [{host}]:{port or 0}: connect: invalid argument") from None
        return host
    return address


def is_host_name(host: str) -> bool:
    """Whether a name can be resolved. The C library would accept `*`, `1` and `0x7f.1` as addresses."""
    name = ascii_host(host).removesuffix(".")
    labels = name.split(".")
    return (
        len(name) < 254
        and all(re.fullmatch("[A-Za-z0-9_-]{1,63}", label) for label in labels)
        and not re.fullmatch("0[xX][0-9A-Fa-f]*|[0-9]+", labels[-1])
    )


class Dialer:
    """Resolves names and makes connections for all checks of an agent."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._lookups: dict[tuple[str, str], list[Deferred[tuple[list[str], int]]]] = {}

    def endpoint(self, host: str, port: str, timeout_s: float) -> "DialEndpoint":
        """A Twisted endpoint for `host:port`; connecting fails with `DialError`."""
        return DialEndpoint(self, self._reactor, host, port, timeout_s)

    def look_up(self, host: str, port: str = "") -> Deferred[tuple[list[str], int]]:
        """Resolve `host` and `port`: its IP addresses and its number. Fails with `DialError`."""
        try:
            number = port_number(port)
            address = literal_address(host, number) if host else "127.0.0.1"
        except DialError as error:
            return fail(error)
        known = [] if address is None else [address]
        if address == "::":
            known.append("0.0.0.0")  # as Go: where IPv6 does not lead back to this host
        if known and number is not None:
            return succeed((known, number))
        if address is None and not is_host_name(host):
            return fail(DialError(f"dial tcp: lookup {host}: no such host"))
        key = host, port
        waiter: Deferred[tuple[list[str], int]] = Deferred(lambda d: self._lookups.get(key, []).remove(d))
        waiters = self._lookups.get(key)
        if waiters is not None:
            waiters.append(waiter)
            return waiter
        if len(self._lookups) >= LOOKUPS_MAX:
            return fail(DialError(f"dial tcp: lookup {host}: too many names are being looked up"))
        self._lookups[key] = [waiter]
        # a daemon thread: the end of the process does not wait for a name server that hangs
        Thread(target=self._in_thread, args=(key, known, number), name=f"lookup {host}", daemon=True).start()
        return waiter

    def _in_thread(self, key: tuple[str, str], addresses: list[str], number: int | None) -> None:
        host, port = key
        found: tuple[list[str], int] | DialError
        try:
            found = addresses or _addresses_of(host), _port_of(port) if number is None else number
        except DialError as error:
            found = error
        self._reactor.callFromThread(self._looked_up, key, found)

    def _looked_up(self, key: tuple[str, str], found: tuple[list[str], int] | DialError) -> None:
        for waiter in self._lookups.pop(key, []):
            if isinstance(found, DialError):
                waiter.errback(found)
            else:
                waiter.callback(found)


def _addresses_of(host: str) -> list[str]:
    try:
        found = socket.getaddrinfo(ascii_host(host), 0, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        is_temporary = isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN
        why = "temporary failure in name resolution" if is_temporary else "no such host"
        raise DialError(f"dial tcp: lookup {host}: {why}") from None
    return list(dict.fromkeys(str(each[4][0]) for each in found))


def _port_of(name: str) -> int:
    try:
        return socket.getservbyname(name.lower(), "tcp")
    except (OSError, UnicodeError, ValueError):
        raise DialError(f"dial tcp: address tcp/{name}: unknown port") from None


@implementer(IStreamClientEndpoint)
class DialEndpoint:
    """A target, resolved on each connection. Its addresses are tried in order."""

    def __init__(self, dialer: Dialer, reactor: Any, host: str, port: str, timeout_s: float) -> None:
        self._dialer = dialer
        self._reactor = reactor
        self._host = host
        self._port = port
        self._timeout_s = timeout_s

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect; fails with `DialError`."""
        silence(protocolFactory)
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        addresses, port = await self._dialer.look_up(self._host, self._port)
        first: DialError | None = None
        for address in addresses:
            try:
                # each has an equal share of the timeout, so that all are tried
                return await self._connect_to(address, port, factory, self._timeout_s / len(addresses))
            except DialError as error:
                first = first or error
        raise first or DialError(f"dial tcp: lookup {self._host}: no such host")

    async def _connect_to(self, address: str, port: int, factory: IProtocolFactory, timeout_s: float) -> IProtocol:
        shown = f"[{address}]" if ":" in address else address if self._host else ""
        try:
            protocol: IProtocol = await tcp_endpoint(self._reactor, address, port, timeout_s).connect(factory)
        except CancelledError:
            raise
        except (ConnectError, OSError) as error:
            raise DialError(f"dial tcp {shown}:{port}: {connect_reason(error)}") from None
        return protocol


def silence(factory: Any) -> None:
    """Turn off the two lines that Twisted logs for each connection."""
    factory.noisy = False


def finish(protocol: Any) -> None:
    """Close the connection gracefully, without a reset."""
    if protocol.transport is not None:
        protocol.transport.loseConnection()


def abort(protocol: Any) -> None:
    """Reset the connection."""
    if protocol.transport is not None:
        protocol.transport.abortConnection()
