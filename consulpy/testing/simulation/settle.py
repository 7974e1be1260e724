"""The start of a simulation: its nodes, and the moment from which they are a settled cluster."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from consulpy.config.schema import RuntimeConfig
from consulpy.memberlist.member import Member, State
from consulpy.memberlist.node_state import NodeState, shared
from consulpy.rpc.server_metadata import agent_tags
from consulpy.serf.machine import Serf
from consulpy.serf.membership import member_of
from consulpy.serf.tags import encode_tags
from consulpy.testing.simulation.clock import HeapClock, NodeClock
from consulpy.testing.simulation.gossip_node import GossipNode
from consulpy.testing.simulation.network import Network
from consulpy.testing.simulation.node import Node, Record

#: memberlist's protocol versions of a Consul agent.
_VSN: Final = (1, 5, 2, 2, 5, 4)
#: How long before 0 the nodes of a settled cluster start, so that their timers are in step with nothing, in seconds.
START_S: Final = 5.0

#: When the start is not waited for any longer, in seconds: a cluster of clients alone has no leader.
SETTLED_WITHIN_S: Final = 15.0


def make_nodes(
    layers: str,
    configs: Sequence[RuntimeConfig],
    network: Network,
    seed: int | str,
    record: Record,
    folder: Path | None,
) -> dict[str, Node]:
    """The nodes by name, not started. `folder`: where servers of whole agents have their data."""
    clock = network.clock
    nodes: dict[str, Node] = {}
    for config in configs:
        own_clock = NodeClock(clock)
        if layers == "gossip":
            nodes[config.node_name] = GossipNode(config, network, own_clock, seed, record)
        else:
            from consulpy.testing.simulation.agent_node import AgentNode  # costly imports

            place = folder / config.node_name if config.server and folder is not None else None
            nodes[config.node_name] = AgentNode(config, network, own_clock, seed, record, place)
    return nodes


def settle(nodes: dict[str, Node], clock: HeapClock, *, joined: bool) -> float:
    """Start all nodes; the time of the clock that is 0 of the simulation.

    `joined`: they know each other then, and servers have a leader; otherwise they are alone, and begin to join at 0.
    """
    members = [shared(first_state(node.config)) for node in nodes.values()] if joined else []
    templates = [
        member_of(Member(each.name, each.address, each.port, each.meta, each.vsn, each.incarnation, State.ALIVE, 0.0))
        for each in members
    ]

    def adopt(serf: Serf) -> None:
        serf.membership.adopt(templates, clock.seconds())
        serf.memberlist.members.adopt(members, notify=False)

    for node in nodes.values():
        if joined:
            node.settle(members, adopt)
        else:
            node.start()
            node.join()
    if joined:
        clock.advance(START_S)
        limit_s = clock.seconds() + SETTLED_WITHIN_S
        while clock.seconds() < limit_s and not all(node.is_settled for node in nodes.values()):
            clock.advance(1.0)
    return clock.seconds()


def first_state(config: RuntimeConfig) -> NodeState:
    """The node state of an agent that just started."""
    meta = encode_tags(agent_tags(config, wan=False))
    return NodeState(config.node_name, config.advertise_addr, config.ports.serf_lan, meta, 1, int(State.ALIVE), _VSN)
