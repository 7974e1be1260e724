"""A caller for the DNS tests: the real RPC methods over a store with the catalog of `harness/catalog.py`."""

from collections.abc import Iterable
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed

from consulpy.codec.record import Record
from consulpy.errors import NoPathToDatacenter, RPCError
from consulpy.rpc.methods import METHODS, Kind
from tests.fakes.endpoints import Server


class FakeCaller:
    """Replies immediately; `calls` lists the methods that were called."""

    def __init__(self, agent: str, registrations: Iterable[dict[str, Any]]) -> None:
        self.server = Server()
        self.server.rng = Random(3)
        self.calls: list[str] = []
        consul = {"Service": "consul", "ID": "consul", "Port": 8300}
        # the server's own node is registered first, with the metadata that a Consul server gives itself
        self.server.register(Node="agent", Address=agent, NodeMeta={"consul-network-segment": ""}, Service=consul)
        for body in registrations:
            self.server.register(**body)

    def call(self, method: str, request: Record, dependencies: Any = None) -> "Deferred[Any]":
        self.calls.append(method)
        if request.datacenter != "dc1":  # type: ignore[attr-defined]
            return fail(NoPathToDatacenter())
        known = METHODS[method]
        handler: Any = known.handler
        arguments = (self.server, request, None) if known.kind is Kind.READ else (self.server, request)
        try:
            return succeed(handler(*arguments))
        except RPCError as error:
            return fail(error)
