"""Compiled discovery chains, and DiscoveryChain.Get (docs/wire/discovery-chains.md)."""

from dataclasses import field
from typing import Any, Final

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.record import Record, go
from consulpy.gocompat.duration import format_duration_ns
from consulpy.gocompat.float32 import shortest
from consulpy.structs.config_entry import Route, Subset
from consulpy.structs.requests import Read, Reply
from consulpy.structs.service import MeshGateway

#: Types of nodes.
ROUTER: Final = "router"
SPLITTER: Final = "splitter"
RESOLVER: Final = "resolver"


@dataclass(slots=True)
class ChainRoute(Record):
    """A route of a router, and the key of the node that it leads to."""

    definition: Route | None = go(omit_empty=True, default=None)
    next_node: str = go(omit_empty=True, default="")


@dataclass(slots=True)
class ChainSplit(Record):
    """A part of a splitter's traffic, in percent, and the key of the node that gets it."""

    weight: float = go(json_as=shortest, default=0.0)
    next_node: str = go(omit_empty=True, default="")


@dataclass(slots=True)
class ChainFailover(Record):
    """Ids of the targets that are used in this order while a resolver's own has no healthy instance."""

    targets: list[str] | None = go(omit_empty=True, default=None)


@dataclass(slots=True)
class ChainResolver(Record):
    """Resolver node of a chain. `connect_timeout` in ns; `target`: its id."""

    connect_timeout: int = go(omit_empty=True, json_as=format_duration_ns, default=0)
    default: bool = go(omit_empty=True, default=False)
    target: str = go(omit_empty=True, default="")
    failover: ChainFailover | None = go(omit_empty=True, default=None)


@dataclass(slots=True)
class ChainNode(Record):
    """A node of the graph: a router, a splitter or a resolver."""

    type: str = ""
    name: str = ""
    routes: list[ChainRoute] | None = go(omit_empty=True, default=None)
    splits: list[ChainSplit] | None = go(omit_empty=True, default=None)
    resolver: ChainResolver | None = go(omit_empty=True, default=None)

    @property
    def key(self) -> str:
        """Its key in the chain."""
        return f"{self.type}:{self.name}"


@dataclass(slots=True)
class ChainTarget(Record):
    """Instances of a service in a datacenter, or a subset of them."""

    id: str = go("ID", omit_empty=True, default="")
    service: str = go(omit_empty=True, default="")
    service_subset: str = go(omit_empty=True, default="")
    namespace: str = go(omit_empty=True, default="")
    datacenter: str = go(omit_empty=True, default="")
    mesh_gateway: MeshGateway = field(default_factory=MeshGateway)
    subset: Subset = field(default_factory=Subset)
    external: bool = go(omit_empty=True, default=False)
    sni: str = go("SNI", omit_empty=True, default="")
    name: str = go(omit_empty=True, default="")


@dataclass(slots=True)
class Chain(Record):
    """A compiled discovery chain: the graph of nodes behind `start_node`, and its targets by id."""

    service_name: str = ""
    namespace: str = ""
    datacenter: str = ""
    customization_hash: str = go(omit_empty=True, default="")
    protocol: str = ""
    start_node: str = go(omit_empty=True, default="")
    nodes: dict[str, ChainNode] | None = go(omit_empty=True, default=None)
    targets: dict[str, ChainTarget] | None = go(omit_empty=True, default=None)


@dataclass(slots=True)
class ChainRequest(Read):
    """DiscoveryChain.Get. `override_connect_timeout` in ns; 0 and "" override nothing."""

    name: str = ""
    evaluate_in_datacenter: str = ""
    evaluate_in_namespace: str = ""
    override_mesh_gateway: MeshGateway = field(default_factory=MeshGateway)
    override_protocol: str = ""
    override_connect_timeout: int = 0


@dataclass(slots=True)
class ChainReply(Reply):
    """DiscoveryChain.Get."""

    chain: Chain | None = None

    def to_json(self) -> dict[str, Any]:
        """The body of `/v1/discovery-chain/NAME`."""
        return {"Chain": self.chain.to_json() if self.chain is not None else None}
