"""A store with the commands that make it, and short forms of records."""

from typing import Any

from consulpy.state.commands import (
    Deregister,
    Register,
    decode,
)
from consulpy.state.snapshot import Snapshot
from consulpy.state.store import Store
from consulpy.structs.check import HealthCheck
from consulpy.structs.requests import DeregisterRequest, RegisterRequest
from consulpy.structs.service import NodeService

ID1, ID2 = "cf000000-0000-0000-0000-0000000000c1", "cf000000-0000-0000-0000-0000000000c2"


class World:
    """A store and the commands that made it."""

    def __init__(self) -> None:
        self.store = Store()

    def do(self, command: Any) -> Any:
        return decode(command.encode(sparse=True)).apply(self.store, self.store.index + 1)

    def register(self, node: str, address: str = "10.0.0.1", **fields: Any) -> int:
        self.do(Register(RegisterRequest(datacenter="dc1", node=node, address=address, **fields)))
        return self.store.index

    def deregister(self, node: str, **fields: Any) -> int:
        self.do(Deregister(DeregisterRequest(datacenter="dc1", node=node, **fields)))
        return self.store.index

    def records(self) -> list[bytes]:
        return list(Snapshot.of(self.store).records())


def service(name: str, **fields: Any) -> NodeService:
    return NodeService(**{"id": name, "service": name, **fields})


def check(node: str, name: str, status: str = "passing", **fields: Any) -> HealthCheck:
    return HealthCheck(node=node, check_id=name, name=name, status=status, **fields)
