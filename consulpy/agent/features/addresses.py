"""Addresses to join, as people write them: `host`, `host:port`, `[v6]:port`, each perhaps behind `name/`.

Source: docs/wire/gossip.md 6.8. A host name stands for all its addresses; each is tried.
"""

import ipaddress
from dataclasses import dataclass

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHostResolution, IReactorPluggableNameResolver, IResolutionReceiver
from zope.interface import implementer

from consulpy.errors import ConfigError


@dataclass(frozen=True, slots=True)
class JoinAddress:
    """Where to join: `host` is a name or an IP address; `name` is the node expected there, or empty."""

    host: str
    port: int
    name: str = ""

    @classmethod
    def parse(cls, text: str, default_port: int) -> "JoinAddress":
        """Read what a person wrote. Raises `ConfigError` saying what was expected."""
        name, slash, rest = text.strip().partition("/")
        if not slash:
            name, rest = "", name
        host, port = rest, ""
        if rest.startswith("["):
            host, _, port = rest[1:].partition("]")
            port = port.removeprefix(":")
        elif rest.count(":") == 1:
            host, _, port = rest.partition(":")
        if not host or (port and not (port.isdecimal() and 0 < int(port) < 65536)):
            raise ConfigError(f"{text!r} is no address to join: expected host, host:port or [IPv6]:port")
        return cls(host, int(port) if port else default_port, name)


@implementer(IResolutionReceiver)
class _Addresses:
    """Collects the addresses of a host name."""

    def __init__(self, host: str, done: "Deferred[list[str]]") -> None:
        self._host = host
        self._done = done
        self._found: list[str] = []

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """Nothing to remember: a resolution is never cancelled."""

    def addressResolved(self, address: object) -> None:
        if isinstance(address, IPv4Address | IPv6Address):
            self._found.append(address.host)

    def resolutionComplete(self) -> None:
        if self._found:
            self._done.callback(list(dict.fromkeys(self._found)))
        else:
            self._done.errback(ConfigError(f"lookup {self._host}: no such host"))


def _is_host_name(host: str) -> bool:
    """Whether the resolver can look it up: it never answers for what can't be encoded (an empty or too long label)."""
    try:
        return bool(host.encode("idna"))
    except UnicodeError:
        return False


def resolve(reactor: IReactorPluggableNameResolver, host: str) -> "Deferred[list[str]]":
    """All IP addresses of `host`, which may be one already. Fails with `ConfigError` for an unknown name."""
    done: Deferred[list[str]] = Deferred()
    try:
        done.callback([str(ipaddress.ip_address(host))])
    except ValueError:
        if _is_host_name(host):
            reactor.nameResolver.resolveHostName(_Addresses(host, done), host)
        else:
            done.errback(ConfigError(f"lookup {host}: no such host"))
    return done
