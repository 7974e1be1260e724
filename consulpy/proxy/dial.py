"""Connections to addresses that users and the catalog name."""

from typing import Any, TypeVar

from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol

from consulpy.proxy.settings import split_address

_P = TypeVar("_P", bound=Protocol)
_UNIX = "unix://"


async def dial(reactor: Any, address: str, protocol: _P, timeout_s: float) -> _P:
    """Connect `protocol` to `host:port`, or to a socket as `unix://PATH`.

    Raises Twisted's errors, and `ValueError` for what is no address.
    """
    if address.startswith(_UNIX):
        endpoint: IStreamClientEndpoint = UNIXClientEndpoint(reactor, address.removeprefix(_UNIX), timeout=timeout_s)
    else:
        host, port = split_address(address)
        endpoint = HostnameEndpoint(reactor, host or "127.0.0.1", port, timeout=timeout_s)
    factory = Factory.forProtocol(lambda: protocol)
    factory.noisy = False
    await endpoint.connect(factory)
    return protocol
