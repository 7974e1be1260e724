"""Runs one proxy: with the settings of the command line, or with those of a registered proxy, which it follows."""

from collections.abc import Callable
from random import Random
from typing import Any
from urllib.parse import quote

from twisted.logger import Logger

from consulpy.client.settings import ClientSettings
from consulpy.errors import ConfigError
from consulpy.proxy.agent_api import AgentApi, Watch
from consulpy.proxy.proxy import Proxy
from consulpy.proxy.registration import Registration
from consulpy.proxy.settings import ProxySettings, of_definition

_log = Logger()


class Runner:
    """`failed(error)`: called when the proxy can't run. Its methods are called in the reactor."""

    def __init__(
        self,
        reactor: Any,
        client: ClientSettings,
        datacenter: str,
        rng: Random,
        failed: Callable[[Exception], None],
    ) -> None:
        self._reactor = reactor
        self._api = AgentApi(reactor, client, datacenter)
        self._rng = rng
        self._failed = failed
        self._proxy: Proxy | None = None
        self._watch: Watch | None = None
        self._registration: Registration | None = None

    def start(self, settings: ProxySettings, suffix: str | None = None) -> None:
        """Run with these settings. `suffix`: register the proxy, with this at the end of its id; None: do not."""
        self._proxy = Proxy(self._reactor, self._api, settings, self._rng)
        opened = self._proxy.start()
        if suffix is not None:
            self._registration = Registration(self._reactor, self._api, settings, suffix)
            opened.addCallback(lambda _: self._register())
        opened.addCallbacks(lambda _: _log.info("ready to serve"), lambda failure: self._failed(failure.value))

    def _register(self) -> None:
        if self._registration is not None:
            self._registration.start()

    def follow(self, proxy_id: str, _suffix: str | None = None) -> None:
        """Run the proxy that is registered under this id, and follow changes of its registration."""
        path = f"/v1/agent/service/{quote(proxy_id, safe='')}"
        self._watch = Watch(self._reactor, self._api, path, self._changed, self._rng)
        self._watch.start()

    def _changed(self, registered: Any) -> None:
        settings = of_definition(registered or {})
        if self._proxy is None:
            self.start(settings)
            return
        try:
            self._proxy.apply(settings)
        except ConfigError as error:
            _log.error("the changed registration can't be used: {error}", error=error)

    async def stop(self) -> None:
        """Deregister, close listeners and connections."""
        if self._watch is not None:
            self._watch.stop()
        if self._registration is not None:
            await self._registration.stop()
        if self._proxy is not None:
            self._proxy.stop()
