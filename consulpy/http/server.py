"""The HTTP listener: addresses, unix sockets, limits. Slow and idle clients are cut off; all else is `app`."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from twisted.application.service import Service
from twisted.internet.error import CannotListenError
from twisted.web.http import HTTPChannel, HTTPFactory
from twisted.web.server import Request as WebRequest
from twisted.web.server import Site

from consulpy.errors import ConfigError
from consulpy.http.app import BODY_MAX_BYTES, make_site_root
from consulpy.memberlist.transport import cannot_listen

if TYPE_CHECKING:
    from consulpy.http.context import LocalAgent

#: A client that says nothing for this long is cut off, unless it waits for an answer.
IDLE_TIMEOUT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class HttpConfig:
    """Where the API listens: IP addresses (with `port`), or `unix://` paths; 0 or less switches it off."""

    addresses: tuple[str, ...]
    port: int
    #: Added to every answer.
    response_headers: dict[str, str] = field(default_factory=dict)
    #: The mode of unix sockets, as in `0700`; empty: as the umask says.
    socket_mode: str = ""


class _LimitedRequest(WebRequest):
    """A request whose body has a limit, and that is not logged line by line."""

    def gotLength(self, length: int | None) -> None:
        if length is not None and length > BODY_MAX_BYTES:
            transport: Any = self.channel.transport
            transport.write(b"HTTP/1.1 413 Request Entity Too Large\r\nContent-Length: 0\r\n\r\n")
            transport.loseConnection()
            length = 0
        super().gotLength(length)  # type: ignore[no-untyped-call]


class HttpService(Service):
    """Answers the HTTP API of `agent`."""

    def __init__(self, reactor: Any, config: HttpConfig, agent: "LocalAgent") -> None:
        self._reactor = reactor
        self._config = config
        self._agent = agent
        self._listeners: list[Any] = []

    @property
    def ports(self) -> list[int]:
        """The TCP ports that are listened on."""
        return [listener.getHost().port for listener in self._listeners if hasattr(listener.getHost(), "port")]

    def startService(self) -> None:
        """Listen. Raises `ConfigError` where that can't be."""
        super().startService()  # type: ignore[no-untyped-call]
        root = make_site_root(self._agent, dict(self._config.response_headers))
        site = Site(root, requestFactory=_LimitedRequest, timeout=IDLE_TIMEOUT_S, reactor=self._reactor)
        site.displayTracebacks = False
        site.noisy = False
        site.log = _no_access_log  # type: ignore[method-assign]
        for address in self._config.addresses:
            self._listen(address, site)

    def _listen(self, address: str, site: HTTPFactory) -> None:
        try:
            if address.startswith(("unix://", "/")):
                self._listen_unix(address.removeprefix("unix://"), site)
            elif self._config.port > 0:
                listener = self._reactor.listenTCP(self._config.port, site, backlog=1024, interface=address)
                self._listeners.append(listener)
        except CannotListenError as error:
            self.stopService()
            raise ConfigError(cannot_listen("HTTP", address, self._config.port, error)) from None

    def _listen_unix(self, path: str, site: HTTPFactory) -> None:
        place = Path(path)
        if place.is_socket():
            place.unlink()
        mode = int(self._config.socket_mode, 8) if self._config.socket_mode else 0o777 & ~_umask()
        self._listeners.append(self._reactor.listenUNIX(path, site, mode=mode))

    def stopService(self) -> None:
        """Listen no more."""
        super().stopService()  # type: ignore[no-untyped-call]
        for listener in self._listeners:
            listener.stopListening()
        self._listeners.clear()


def _no_access_log(request: Any) -> None:
    assert request is not None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


__all__ = ["HTTPChannel", "HttpConfig", "HttpService"]
