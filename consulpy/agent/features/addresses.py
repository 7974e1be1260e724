"""Join addresses: `host`, `host:port` or `[IPv6]:port`, each with an optional prefix `node name/`.

Source: docs/wire/gossip.md 6.8. Every address that a host name resolves to is tried.
"""

import ipaddress

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHostResolution, IReactorPluggableNameResolver, IResolutionReceiver
from zope.interface import implementer

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.errors import ConfigError


@dataclass(frozen=True, slots=True)
class JoinAddress:
    """One address to join. `host`: a name or an IP address; `name`: the node expected there, or ""."""

    host: str
    port: int
    name: str = ""

    @classmethod
    def parse(cls, text: str, default_port: int) -> "JoinAddress":
        """Parse one address. Raises `ConfigError` that says what was expected."""
        name, slash, rest = text.strip().partition("/")
        if not slash:
            name, rest = "", name
        host, port, is_whole = rest, "", True
        if rest.startswith("["):
            host, bracket, after = rest[1:].partition("]")
            port = after.removeprefix(":")
            is_whole = bool(bracket) and after[:1] in ("", ":")
        elif rest.count(":") == 1:
            host, _, port = rest.partition(":")
        if not host or not is_whole or (port and not (port.isdecimal() and 0 < int(port) < 65536)):
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
        """A resolution is never cancelled."""

    def addressResolved(self, address: object) -> None:
        if isinstance(address, IPv4Address | IPv6Address):
            self._found.append(address.host)

    def resolutionComplete(self) -> None:
        if self._found:
            self._done.callback(list(dict.fromkeys(self._found)))
        else:
            self._done.errback(ConfigError(f"lookup {self._host}: no such host"))


def _is_host_name(host: str) -> bool:
    """Whether the name can be looked up: Twisted's resolver never fires for empty or too long labels."""
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
