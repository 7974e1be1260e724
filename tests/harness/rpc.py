"""A server with an in-memory log, for tests of RPC."""

from random import Random
from typing import Any

from consulpy.rpc.server import Server
from consulpy.rpc.server_metadata import ServerInfo
from consulpy.state.commands import Register
from consulpy.state.log import MemoryLog
from consulpy.state.store import Store
from consulpy.structs.requests import RegisterRequest
from consulpy.structs.service import NodeService

HOST = "127.33.0.1"


def make_server(clock: Any, *, leads: bool = True, port: int = 8300) -> Server:
    server = Server(
        datacenter="dc1",
        node_name="s1",
        node_id="11111111-1111-1111-1111-111111111111",
        rpc_address=f"{HOST}:{port}",
        log=MemoryLog(Store()),
        clock=clock,
        rng=Random(1),
    )
    server.is_leader = leads
    return server


def register(server: Server, node: str, service: str | None = None) -> None:
    """Register a node, and an instance of a service on it."""
    request = RegisterRequest(datacenter="dc1", node=node, address="10.0.0.1")
    if service is not None:
        request.service = NodeService(id=service, service=service, port=80)
    server.submit(Register(request))


def info(port: int, name: str = "s1", host: str = HOST) -> ServerInfo:
    return ServerInfo(name=name, address=host, port=port, datacenter="dc1", version_min=2, version_max=3)
