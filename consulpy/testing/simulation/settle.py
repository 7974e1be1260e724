"""The start of a simulation: its nodes, and the moment from which they are a settled cluster."""

from collections.abc import Sequence
from typing import Final

from consulpy.config.schema import RuntimeConfig
from consulpy.memberlist.member import State
from consulpy.memberlist.messages import NodeState
from consulpy.rpc.server_metadata import agent_tags
from consulpy.serf.tags import encode_tags
from consulpy.testing.simulation.clock import HeapClock, NodeClock
from consulpy.testing.simulation.gossip_node import GossipNode
from consulpy.testing.simulation.network import Network
from consulpy.testing.simulation.node import Node, Record

#: memberlist's protocol versions of a Consul agent.
_VSN: Final = (1, 5, 2, 2, 5, 4)
#: How long before 0 the nodes of a settled cluster start, so that their timers are in step with nothing, in seconds.
START_S: Final = 5.0


def make_nodes(
    layers: str, configs: Sequence[RuntimeConfig], network: Network, seed: int | str, record: Record
) -> dict[str, Node]:
    """The nodes by name, not started. Raises `ValueError` for layers that can't be simulated."""
    if layers != "gossip":
        raise ValueError(f"layers={layers!r} can't be simulated yet: layers='gossip' can")
    clock = network.clock
    assert isinstance(clock, HeapClock)
    return {config.node_name: GossipNode(config, network, NodeClock(clock), seed, record) for config in configs}


def settle(nodes: dict[str, Node], clock: HeapClock, *, joined: bool) -> float:
    """Start all nodes; the time of the clock that is 0 of the simulation.

    `joined`: they know each other then; otherwise they are alone, and begin to join at 0.
    """
    members = [first_state(node.config) for node in nodes.values()] if joined else []
    for node in nodes.values():
        if joined:
            node.settle(members)
        else:
            node.start()
    if joined:
        clock.advance(START_S)
    else:
        for node in nodes.values():
            node.join()
    return clock.seconds()


def first_state(config: RuntimeConfig) -> NodeState:
    """The node state of an agent that just started."""
    meta = encode_tags(agent_tags(config, wan=False))
    return NodeState(config.node_name, config.advertise_addr, config.ports.serf_lan, meta, 1, int(State.ALIVE), _VSN)
