"""Central defaults are fetched, merged and followed; registrations wait for them, but not for ever."""

import gc
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher

from consulpy.errors import NoServers
from consulpy.local.central_config import FIRST_REPLY_S, CentralConfig
from consulpy.local.sync.sync_state import Entries
from consulpy.state.watch import WatchSet
from consulpy.structs.config_entry_requests import ServiceConfigReply, ServiceConfigRequest
from consulpy.structs.node import Node
from consulpy.structs.service import ConnectProxy, NodeService


class Servers:
    """Answers when the test says so."""

    def __init__(self) -> None:
        self.calls: list[tuple[ServiceConfigRequest, Deferred[Any]]] = []
        self.cancelled = 0

    def call(self, method: str, request: Any, dependencies: Any = None) -> "Deferred[Any]":
        assert method == "ConfigEntry.ResolveServiceConfig"
        reply: Deferred[Any] = Deferred(self._cancel)
        self.calls.append((request, reply))
        return reply

    def _cancel(self, _: Any) -> None:
        self.cancelled += 1

    def reply(self, index: int, **config: Any) -> None:
        found = ServiceConfigReply(proxy_config=config)
        found.meta.index = index
        self.calls[-1][1].callback(found)


def parts() -> tuple[CentralConfig, Entries, Servers, Clock]:
    clock, servers = Clock(), Servers()
    entries = Entries(Node(node="n", datacenter="dc1"), clock, Random(1))  # type: ignore[arg-type]
    central = CentralConfig(entries, servers, clock, Random(1), lambda: "agent-token")  # type: ignore[arg-type]
    return central, entries, servers, clock


def proxy(**config: Any) -> NodeService:
    named = ConnectProxy(destination_service_name="web", destination_service_id="web", config=config or None)
    return NodeService(kind="connect-proxy", id="px", service="px", port=9000, proxy=named)


def config(entries: Entries) -> Any:
    service = entries.service("px")
    assert service is not None
    return service.proxy.config


def test_a_registration_waits_for_its_defaults_and_follows_them() -> None:
    central, entries, servers, clock = parts()
    entries.put_service(proxy(own=1), "")
    settled = central.defaults_fetched()
    assert settled is not None
    assert not settled.called
    servers.reply(7, a=1)
    assert settled.called
    assert config(entries) == {"own": 1, "a": 1}
    assert "px" in entries.services_out_of_sync()
    clock.advance(1)
    request = servers.calls[-1][0]
    assert (request.name, request.options.min_query_index, request.options.token) == ("web", 7, "agent-token")
    fired: list[int] = []
    watch = WatchSet()
    watch.add(("service", "px"))
    entries.watchers.wait(watch, lambda: fired.append(1))
    servers.reply(8, a=2)
    assert config(entries) == {"own": 1, "a": 2}
    assert fired == [1], "who waits for the service's hash sees it"


def test_a_registration_that_is_repeated_never_shows_without_its_defaults() -> None:
    central, entries, servers, _ = parts()
    entries.put_service(proxy(), "")
    servers.reply(7, a=1)
    entries.put_service(proxy(own=2), "")
    assert config(entries) == {"own": 2, "a": 1}
    assert central.defaults_fetched() is None
    assert len(servers.calls) == 1, "the same query goes on"


def test_without_servers_a_registration_goes_on_after_a_while() -> None:
    central, entries, servers, clock = parts()
    entries.put_service(proxy(), "")
    settled = central.defaults_fetched()
    assert settled is not None
    clock.advance(FIRST_REPLY_S)
    assert settled.called
    servers.calls[-1][1].errback(NoServers())
    for _ in range(100):
        clock.advance(0.05)
    servers.reply(3, late=True)
    assert config(entries) == {"late": True}, "they are merged when they come"


def test_the_end_of_the_wait_is_no_error_that_nobody_has_handled() -> None:
    central, entries, _, clock = parts()
    entries.put_service(proxy(), "")
    errors: list[Any] = []
    globalLogPublisher.addObserver(errors.append)
    try:
        central.defaults_fetched()
        clock.advance(FIRST_REPLY_S)
        gc.collect()
    finally:
        globalLogPublisher.removeObserver(errors.append)
    assert [each for each in errors if each["log_level"] is LogLevel.critical] == []


def test_what_is_deregistered_is_followed_no_longer() -> None:
    central, entries, servers, clock = parts()
    entries.put_service(proxy(), "")
    entries.delete_service("px")
    assert servers.cancelled == 1
    clock.advance(100)
    assert len(servers.calls) == 1
    entries.put_service(NodeService(id="plain", service="plain"), "")
    assert len(servers.calls) == 1, "plain services have no defaults"
    central.stop()
