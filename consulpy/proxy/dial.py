"""Connections to addresses that users and the catalog name."""

from ipaddress import ip_address
from typing import Any, TypeVar

from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ClientEndpoint,
    TCP6ClientEndpoint,
    UNIXClientEndpoint,
)
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol

from consulpy.proxy.settings import LOOPBACK, split_address

_P = TypeVar("_P", bound=Protocol)
_UNIX = "unix://"


def endpoint_of(reactor: Any, host: str, port: int, timeout_s: float) -> IStreamClientEndpoint:
    """An endpoint of a name or an address; an address needs no look-up, which would take a thread."""
    host = host or LOOPBACK
    try:
        version = ip_address(host).version
    except ValueError:
        return HostnameEndpoint(reactor, host, port, timeout=timeout_s)
    kind = TCP4ClientEndpoint if version == 4 else TCP6ClientEndpoint
    return kind(reactor, host, port, timeout=timeout_s)


async def dial(reactor: Any, address: str, protocol: _P, timeout_s: float) -> _P:
    """Connect `protocol` to `host:port`, or to a socket as `unix://PATH`.

    Raises Twisted's errors, and `ValueError` for what is no address.
    """
    if address.startswith(_UNIX):
        endpoint: IStreamClientEndpoint = UNIXClientEndpoint(reactor, address.removeprefix(_UNIX), timeout=timeout_s)
    else:
        endpoint = endpoint_of(reactor, *split_address(address), timeout_s)
    factory = Factory.forProtocol(lambda: protocol)
    factory.noisy = False
    await endpoint.connect(factory)
    return protocol
