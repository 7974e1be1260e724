"""`Proxy`: certificates, the public listener, one listener for each upstream; they follow changed settings."""

import dataclasses
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.logger import Logger

from consulpy.errors import ConfigError
from consulpy.proxy.agent_api import AgentApi
from consulpy.proxy.credentials import Credentials
from consulpy.proxy.inbound import InboundFactory
from consulpy.proxy.outbound import OutboundFactory
from consulpy.proxy.settings import ProxySettings, Upstream

_log = Logger()


class Proxy:
    """The proxy of one service. `start` begins to fetch certificates; listeners open when they are there."""

    def __init__(self, reactor: Any, api: AgentApi, settings: ProxySettings, rng: Random) -> None:
        self._reactor = reactor
        self._api = api
        self._settings = settings
        self._rng = rng
        self._credentials = Credentials(reactor, api, settings.service, rng)
        #: The open listeners by what they were opened for: the settings of the public one, or an upstream.
        self._listeners: dict[ProxySettings | Upstream, tuple[Any, Any]] = {}
        self._ready = False

    def start(self) -> "Deferred[None]":
        """Fires when all listeners are open; fails with `ConfigError` if one can't be."""
        self._credentials.start()
        return self._credentials.ready.addCallback(self._open)

    def apply(self, settings: ProxySettings) -> None:
        """Use new settings of the same service; listeners that they do not change stay. Raises `ConfigError`."""
        if settings.service != self._settings.service:
            raise ConfigError(f"the proxy is now one of {settings.service}: start it again")
        self._settings = settings
        if self._ready:
            self._open(None)

    def _open(self, _: Any) -> None:
        self._ready = True
        settings = self._settings
        wanted: list[ProxySettings | Upstream] = list(settings.upstreams)
        if settings.listen_port:
            wanted.append(dataclasses.replace(settings, upstreams=()))
        for each in [each for each in self._listeners if each not in wanted]:
            port, factory = self._listeners.pop(each)
            port.stopListening()
            factory.close()
        for each in wanted:
            if each not in self._listeners:
                self._listeners[each] = self._listen(each)

    def _listen(self, what: ProxySettings | Upstream) -> tuple[Any, Any]:
        factory: InboundFactory | OutboundFactory
        if isinstance(what, Upstream):
            address, number = what.bind_address, what.bind_port
            factory = OutboundFactory(self._reactor, self._api, what, self._credentials, self._rng)
            shown = f"upstream {what.name}"
        else:
            address, number = what.listen_address, what.listen_port
            factory = InboundFactory(self._reactor, self._api, what, lambda: self._credentials.server)
            shown = f"service {what.service}"
        try:
            port = self._reactor.listenTCP(number, factory, interface=address, backlog=1024)
        except (CannotListenError, OSError) as error:
            reason = getattr(error, "socketError", None) or error
            raise ConfigError(f"can't listen at {address}:{number} for {shown}: {reason}") from None
        _log.info("listens at {address}:{port} for {shown}", address=address, port=number, shown=shown)
        return port, factory

    def stop(self) -> None:
        """Close all listeners and connections."""
        self._credentials.stop()
        for port, factory in self._listeners.values():
            port.stopListening()
            factory.close()
        self._listeners.clear()
