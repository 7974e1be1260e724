"""A fake catalog, and a random generator without randomness."""

from copy import deepcopy
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed

from consulpy.codec.record import Record
from consulpy.structs.check import HealthCheck
from consulpy.structs.node import Node
from consulpy.structs.requests import (
    DeregisterRequest,
    Empty,
    HealthChecksReply,
    NodeServiceListReply,
    RegisterRequest,
)
from consulpy.structs.service import NodeService, NodeServiceList


class Fraction(Random):
    """Every random number is `fraction` of its range."""

    fraction = 0.5

    def uniform(self, a: float, b: float) -> float:
        return a + (b - a) * self.fraction

    def random(self) -> float:
        return self.fraction


class FakeCatalog:
    """Answers the calls of anti-entropy from a catalog of one node; requests and replies pass the wire format."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.node: Node | None = None
        self.services: dict[str, NodeService] = {}
        self.checks: dict[str, HealthCheck] = {}
        self.error: Exception | None = None
        self.refuse: Any = lambda method, request: None
        self.held: list[Deferred[Any]] | None = None

    def call(self, method: str, request: Record, dependencies: Any = None) -> Deferred[Any]:
        request = type(request).unpack(request.pack())
        self.calls.append((method, request))
        error = self.error or self.refuse(method, request)
        if error is not None:
            return fail(error)
        reply = getattr(self, method.replace(".", "_"), lambda request: Empty())(request)
        if self.held is not None:
            waiting: Deferred[Any] = Deferred()
            self.held.append(waiting)
            return waiting.addCallback(lambda _: reply)
        return succeed(type(reply).unpack(reply.pack()))

    @property
    def methods(self) -> list[str]:
        return [method for method, _ in self.calls]

    def Catalog_NodeServiceList(self, _: Any) -> Record:
        services = NodeServiceList(self.node, list(self.services.values()) or None)
        return NodeServiceListReply(node_services=deepcopy(services))

    def Health_NodeChecks(self, _: Any) -> Record:
        return HealthChecksReply(health_checks=deepcopy(list(self.checks.values())) or None)

    def Catalog_Register(self, request: RegisterRequest) -> Record:
        if self.node is None or not request.skip_node_update:
            self.node = Node(
                request.id, request.node, request.address, "dc1", request.tagged_addresses, request.node_meta
            )
        if request.service is not None:
            self.services[request.service.id] = request.service
        for check in ([request.check] if request.check else []) + (request.checks or []):
            self.checks[check.check_id] = check
        return Empty()

    def Catalog_Deregister(self, request: DeregisterRequest) -> Record:
        if request.service_id:
            self.services.pop(request.service_id, None)
            gone = [key for key, check in self.checks.items() if check.service_id == request.service_id]
            for key in gone:
                del self.checks[key]
        else:
            self.checks.pop(request.check_id, None)
        return Empty()


def node() -> Node:
    """The node record of the walkthrough's agent."""
    here = "127.20.0.11"
    return Node(
        id="c1c1c1c1-0000-4000-8000-000000000011",
        node="c1",
        address=here,
        datacenter="dc1",
        tagged_addresses={"lan": here, "lan_ipv4": here, "wan": here, "wan_ipv4": here},
        meta={"consul-network-segment": ""},
    )
