"""Leaf certificates of services whose proxy is registered: asked for at once, so that a starting proxy finds its own.

Source: what agents of Consul 1.8.7 do for each registered proxy (docs/wire/connect.md).
"""

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred

from consulpy.backoff import backoff_s
from consulpy.clock import Clock, Timer, cancel_timer
from consulpy.connect.central_merge import CONNECT_PROXY
from consulpy.errors import RPCError
from consulpy.local.sync.sync_state import Entries
from consulpy.log import Logger
from consulpy.rpc.call import no_server_answered
from consulpy.structs.service import NodeService

_log = Logger()

#: Pauses after failures to reach a server: the first, which doubles, and the longest, in seconds.
RETRY_S: Final = 1.0
RETRY_MAX_S: Final = 60.0


class ProxyLeafs:
    """Follows the proxies in `entries`. `read(service, token)`: a leaf certificate; fails with `RPCError`."""

    def __init__(self, entries: Entries, read: Callable[[str, str], "Deferred[Any]"], clock: Clock) -> None:
        self._entries = entries
        self._read = read
        self._clock = clock
        self._timers: dict[str, Timer] = {}
        self._completed = entries.on_registered
        entries.on_registered = self.registered
        for entry in entries.services.values():
            self._ask(entry.service, entry.token)

    def registered(self, service: NodeService, token: str) -> NodeService:
        """The registration to store: without the changes made here."""
        if not self._is_running(service):
            self._ask(service, token)
        return self._completed(service, token)

    def stop(self) -> None:
        """Stop following."""
        for timer in self._timers.values():
            cancel_timer(timer)
        self._timers.clear()

    def _is_running(self, service: NodeService) -> bool:
        """Whether the proxy is registered for the same service already."""
        known = self._entries.service(service.id)
        name = service.proxy.destination_service_name
        return known is not None and known.kind == service.kind and known.proxy.destination_service_name == name

    def _ask_again(self, service: NodeService, token: str, failures: int) -> None:
        del self._timers[service.id]
        if self._is_running(service):
            self._ask(service, token, failures)

    def _ask(self, service: NodeService, token: str, failures: int = 0) -> None:
        name = service.proxy.destination_service_name if service.kind == CONNECT_PROXY else ""
        if name:
            self._read(name, token).addErrback(self._failed, service, token, failures + 1)

    def _failed(self, failure: Any, service: NodeService, token: str, failures: int) -> None:
        failure.trap(RPCError)
        name = service.proxy.destination_service_name
        _log.debug("the leaf certificate of {name} is not there: {error}", name=name, error=failure.value)
        if no_server_answered(failure.value) and service.id not in self._timers:
            pause_s = backoff_s(failures, RETRY_S, RETRY_MAX_S)
            self._timers[service.id] = self._clock.callLater(pause_s, self._ask_again, service, token, failures)


__all__ = ["ProxyLeafs"]
