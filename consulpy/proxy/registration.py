"""The proxy's own registration at the agent (`-register`): a connect-proxy with a TTL check that it keeps alive."""

from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from consulpy.proxy.agent_api import AgentApi, ApiError
from consulpy.proxy.settings import ProxySettings

_log = Logger()

#: The TTL of the check, and how often it is renewed, in seconds.
TTL_S: Final = 30
HEARTBEAT_S: Final = 10.0


class Registration:
    """Registers the proxy, again whenever the agent does not know it. `suffix`: tells proxies of one service apart."""

    def __init__(self, reactor: Any, api: AgentApi, settings: ProxySettings, suffix: str = "") -> None:
        self._reactor = reactor
        self._api = api
        name = f"{settings.service}-proxy"
        self.service_id = f"{name}-{suffix}" if suffix else name
        self._check_id = f"{self.service_id}-ttl"
        self._definition = {
            "Kind": "connect-proxy",
            "ID": self.service_id,
            "Name": name,
            "Address": settings.listen_address,
            "Port": settings.listen_port,
            "Proxy": {"DestinationServiceName": settings.service},
            "Check": {
                "CheckID": self._check_id,
                "Name": "proxy heartbeat",
                "TTL": f"{TTL_S}s",
                "Notes": "Built-in proxy will heartbeat this check.",
                "Status": "passing",
            },
        }
        self._running: Deferred[None] | None = None

    def start(self) -> None:
        """Register now, and keep the check alive."""
        self._running = Deferred.fromCoroutine(self._run())
        self._running.addErrback(lambda failure: failure.trap(CancelledError))

    async def _run(self) -> None:
        is_known = False
        while True:
            try:
                if not is_known:
                    await self._api.put("/v1/agent/service/register", self._definition)
                    _log.info("registered as {service}", service=self.service_id)
                await self._api.put(f"/v1/agent/check/pass/{self._check_id}")
                is_known = True
            except ApiError as error:
                _log.error("registration as {service}: {error}", service=self.service_id, error=error)
                was_known, is_known = is_known, False
                if was_known and error.status:
                    continue  # the agent has started again, and knows nothing of it
            await deferLater(self._reactor, HEARTBEAT_S)

    async def stop(self) -> None:
        """Deregister."""
        running, self._running = self._running, None
        if running is None:
            return
        running.cancel()
        try:
            await self._api.put(f"/v1/agent/service/deregister/{self.service_id}")
        except ApiError as error:
            _log.error("deregistration of {service}: {error}", service=self.service_id, error=error)
