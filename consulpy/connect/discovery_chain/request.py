"""Request for a discovery chain: the config entries and the proxy that it is compiled for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from consulpy.errors import RPCError

#: `find(kind, name)`: the config entry of exactly this name, or None.
Find = Callable[[str, str], Any]

#: Protocols in which single requests can be routed.
HTTP_LIKE: Final = frozenset({"http", "http2", "grpc"})
#: The protocol of a service for which no config entry names one.
DEFAULT_PROTOCOL: Final = "tcp"
DEFAULT_NAMESPACE: Final = "default"


class GraphError(RPCError):
    """Config entries that contradict each other: the chain can't be compiled, the write is refused."""


@dataclass(frozen=True, slots=True)
class ChainQuery:
    """Selects a chain and the proxy that it is for.

    `datacenter`: where the chain's targets are unless it says otherwise. `used_in`: the datacenter of the proxy.
    `trust_domain`: for server names. `mesh_gateway_mode`, `protocol`, `connect_timeout_ns`: used instead of the
    config entries' ("" and 0: nothing is overridden).
    """

    service: str
    datacenter: str
    used_in: str
    trust_domain: str
    namespace: str = DEFAULT_NAMESPACE
    mesh_gateway_mode: str = ""
    protocol: str = ""
    connect_timeout_ns: int = 0
