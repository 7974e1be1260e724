"""Leaf certificates are asked for when a proxy is registered, and again while no server answers."""

from random import Random
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from consulpy.errors import NoServers, PermissionDenied
from consulpy.local.proxy_leafs import RETRY_S, ProxyLeafs
from consulpy.local.state import LocalState
from consulpy.structs.definition import ServiceDefinition
from consulpy.structs.node import Node
from consulpy.structs.service import ConnectProxy, NodeService


class Agent:
    """A local state whose proxies are followed; `error`: what reading a certificate fails with."""

    def __init__(self, *before: ServiceDefinition) -> None:
        self.clock = Clock()
        self.local = LocalState(Node("1", "n", "127.0.0.1", "dc1"), self.clock, Random(1))
        for each in before:
            self.local.register_service(each)
        self.asked: list[tuple[str, str]] = []
        self.error: Exception | None = None
        self.leafs = ProxyLeafs(self.local.entries, self.read, self.clock)

    def read(self, service: str, token: str) -> "Deferred[Any]":
        self.asked.append((service, token))
        return fail(self.error) if self.error is not None else succeed(None)


def proxy(destination: str = "db", token: str = "t") -> ServiceDefinition:
    service = NodeService(id="p", service="p", kind="connect-proxy", port=1)
    service.proxy = ConnectProxy(destination_service_name=destination)
    return ServiceDefinition(service, token=token)


def test_one_request_for_each_service_that_a_proxy_is_of() -> None:
    agent = Agent()
    agent.local.register_service(ServiceDefinition(NodeService(id="db", service="db")))
    assert agent.asked == []
    for destination in ("db", "db", "web"):
        agent.local.register_service(proxy(destination))
    assert agent.asked == [("db", "t"), ("web", "t")]
    assert agent.local.services["p"].proxy.destination_service_name == "web"


def test_proxies_that_are_there_at_the_start() -> None:
    assert Agent(proxy()).asked == [("db", "t")]


def test_without_servers_it_is_tried_again_while_the_proxy_is_there() -> None:
    agent = Agent()
    agent.error = NoServers()
    agent.local.register_service(proxy())
    agent.clock.advance(RETRY_S)
    assert len(agent.asked) == 2
    agent.error = None
    agent.clock.advance(10 * RETRY_S)
    assert len(agent.asked) == 3
    agent.error = NoServers()
    agent.local.register_service(proxy("web"))
    agent.local.deregister_service("p")
    agent.clock.advance(100 * RETRY_S)
    assert len(agent.asked) == 4
    assert not agent.clock.getDelayedCalls()


def test_a_refusal_is_final_and_nothing_is_asked_after_the_stop() -> None:
    agent = Agent()
    agent.error = PermissionDenied()
    agent.local.register_service(proxy())
    agent.error = NoServers()
    agent.local.register_service(proxy("web"))
    agent.leafs.stop()
    agent.clock.advance(100 * RETRY_S)
    assert agent.asked == [("db", "t"), ("web", "t")]
