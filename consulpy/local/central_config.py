"""Central defaults for the proxies of this agent, fetched from the servers and followed (Consul: `ServiceManager`)."""

from collections.abc import Callable
from dataclasses import field
from random import Random
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.python.failure import Failure

from consulpy.backoff import backoff_s
from consulpy.clock import Clock, Timer, cancel_timer
from consulpy.codec.lazy_dataclass import dataclass
from consulpy.connect.central_merge import configured_name, merged, upstream_ids
from consulpy.errors import ConsulpyError
from consulpy.local.sync.sync_state import Entries
from consulpy.log import Logger
from consulpy.rpc.caller import Caller
from consulpy.structs.config_entry_requests import ServiceConfigReply, ServiceConfigRequest
from consulpy.structs.options import QueryOptions
from consulpy.structs.service import NodeService

_log = Logger()

#: How long a registration waits for its defaults, in seconds; later ones are merged when they come.
FIRST_REPLY_S: Final = 5.0
#: How long one blocking query waits, and the shortest time between two, in seconds.
WAIT_S: Final = 600.0
PAUSE_S: Final = 0.05
#: The pause after an error, which doubles, and the longest one, in seconds.
RETRY_S: Final = 1.0
RETRY_MAX_S: Final = 60.0


@dataclass(slots=True, eq=False)
class _Watch:
    """The defaults of one registered service. `service`: as it was registered."""

    service: NodeService
    token: str
    wanted: tuple[str, tuple[str, ...]]
    reply: ServiceConfigReply | None = None
    first: "Deferred[None]" = field(default_factory=Deferred)
    running: "Deferred[Any] | None" = None
    timer: Timer | None = None
    failures: int = 0


class CentralConfig:
    """Merges central defaults into registrations.

    `entries`: the services of the agent, into which `registered` and `removed` are hooked.
    """

    def __init__(self, entries: Entries, caller: Caller, clock: Clock, rng: Random, token: Callable[[], str]) -> None:
        self._entries = entries
        self._caller = caller
        self._clock = clock
        self._rng = rng
        self._token = token
        self._watches: dict[str, _Watch] = {}
        entries.on_registered, entries.on_removed, entries.defaults_fetched = (
            self.registered,
            self.removed,
            self.defaults_fetched,
        )

    def registered(self, service: NodeService, token: str) -> NodeService:
        """The registration to store: as it came, with the defaults that are known so far."""
        name = configured_name(service)
        if not name:
            self.removed(service.id)
            return service
        wanted = (name, tuple(each.id for each in upstream_ids(service)))
        watch = self._watches.get(service.id)
        if watch is None or watch.wanted != wanted or watch.token != token:
            self.removed(service.id)
            watch = self._watches[service.id] = _Watch(service, token, wanted)
            self._ask(watch)
        watch.service = service
        return merged(service, watch.reply) if watch.reply is not None else service

    def removed(self, service_id: str) -> None:
        """Follow the defaults of a service no longer."""
        watch = self._watches.pop(service_id, None)
        if watch is None:
            return
        cancel_timer(watch.timer)
        watch.timer = None
        running, watch.running = watch.running, None
        if running is not None:
            running.cancel()
        _first_reply_came(watch)

    def defaults_fetched(self) -> "Deferred[Any] | None":
        """Fires when all defaults that are being fetched are merged, or after a while; None: there are none."""
        waiting = [watch.first for watch in self._watches.values() if not watch.first.called]
        if not waiting:
            return None
        every = gatherResults([_shared(first) for first in waiting], consumeErrors=True)
        every.addTimeout(FIRST_REPLY_S, self._clock)  # type: ignore[arg-type]
        return every.addErrback(lambda _: None)

    def stop(self) -> None:
        """End all queries."""
        for service_id in list(self._watches):
            self.removed(service_id)

    def _ask(self, watch: _Watch) -> None:
        watch.timer = None
        name, upstreams = watch.wanted
        options = QueryOptions(token=watch.token or self._token(), allow_stale=True)
        if watch.reply is not None:
            options.min_query_index = max(watch.reply.meta.index, 1)
            options.max_query_time = int(WAIT_S * 1e9)
        request = ServiceConfigRequest(
            datacenter=self._entries.node.datacenter,
            name=name,
            upstream_ids=upstream_ids(watch.service) if upstreams else None,
            options=options,
        )
        call = watch.running = self._caller.call("ConfigEntry.ResolveServiceConfig", request)
        call.addCallbacks(self._received, self._failed, (watch,), errbackArgs=(watch,))

    def _received(self, reply: ServiceConfigReply, watch: _Watch) -> None:
        watch.running = None
        service_id = watch.service.id
        if self._watches.get(service_id) is not watch:
            return
        watch.reply, watch.failures = reply, 0
        new = merged(watch.service, reply)
        if self._entries.service(service_id) not in (None, new):
            self._entries.replace_service(new)
        _first_reply_came(watch)
        self._later(watch, PAUSE_S)

    def _failed(self, failure: Failure, watch: _Watch) -> None:
        watch.running = None
        failure.trap(ConsulpyError, CancelledError)
        if self._watches.get(watch.service.id) is not watch:
            return
        watch.failures += 1
        pause_s = backoff_s(watch.failures, RETRY_S, RETRY_MAX_S) * self._rng.uniform(0.75, 1.25)
        _log.error("central defaults of {name}: {error}", name=watch.wanted[0], error=failure.value)
        _first_reply_came(watch)
        self._later(watch, pause_s)

    def _later(self, watch: _Watch, pause_s: float) -> None:
        watch.timer = self._clock.callLater(pause_s, self._ask, watch)


def _shared(first: "Deferred[None]") -> "Deferred[None]":
    """Fires when another Deferred does; cancelling it leaves the other alone."""
    done: Deferred[None] = Deferred()

    def fire(_: Any) -> None:
        if not done.called:
            done.callback(None)

    first.addCallback(fire)
    return done


def _first_reply_came(watch: _Watch) -> None:
    if not watch.first.called:
        watch.first.callback(None)
