"""A cluster of memberlists on one clock and one simulated network.

For tests of a whole pool: who sees whom, detection times of failures, the effects of a partition.
"""

from collections.abc import Callable, Iterable
from random import Random
from typing import Any

from consulpy.memberlist.config import MemberlistConfig
from consulpy.memberlist.machine import Memberlist
from consulpy.memberlist.member import Address, JoinTarget, Member, State
from consulpy.memberlist.node_state import NodeState
from consulpy.testing.simulation.clock import HeapClock, NodeClock
from consulpy.testing.simulation.network import Conditions, Host, Network


class RecordingDelegate:
    """A memberlist delegate that records its notifications."""

    def __init__(self, meta: bytes = b"") -> None:
        self.meta = meta
        #: (kind, name): join, leave, update, conflict.
        self.events: list[tuple[str, str]] = []
        self.messages: list[bytes] = []
        self.remote_states: list[tuple[bytes, bool]] = []
        self.broadcasts: list[bytes] = []
        self.state = b""
        self.payload = b""
        self.round_trips: list[tuple[str, float, bytes]] = []
        #: Called with a joiner's members, and with each alive member; may raise `MergeRefused`.
        self.check_merge: Callable[[list[Member]], None] | None = None
        self.check_alive: Callable[[Member], None] | None = None

    def node_meta(self) -> bytes:
        """See `Delegate`."""
        return self.meta

    def notify_message(self, message: bytes) -> None:
        """See `Delegate`."""
        self.messages.append(message)

    def has_broadcasts(self) -> bool:
        """See `Delegate`."""
        return bool(self.broadcasts)

    def get_broadcasts(self, overhead: int, limit: int) -> list[bytes]:
        """See `Delegate`."""
        picked = []
        while self.broadcasts and len(self.broadcasts[0]) + overhead <= limit:
            limit -= len(self.broadcasts[0]) + overhead
            picked.append(self.broadcasts.pop(0))
        return picked

    def local_state(self, join: bool) -> bytes:  # noqa: ARG002
        """See `Delegate`."""
        return self.state

    def merge_remote_state(self, state: bytes, join: bool, asked: bool) -> None:  # noqa: ARG002
        """See `Delegate`."""
        self.remote_states.append((state, join))

    def notify_join(self, member: Member) -> None:
        """See `Delegate`."""
        self.events.append(("join", member.name))

    def notify_leave(self, member: Member) -> None:
        """See `Delegate`."""
        self.events.append(("leave", member.name))

    def notify_update(self, member: Member) -> None:
        """See `Delegate`."""
        self.events.append(("update", member.name))

    def notify_conflict(self, existing: Member, other: Member) -> None:  # noqa: ARG002
        """See `Delegate`."""
        self.events.append(("conflict", existing.name))

    def notify_merge(self, members: list[Member]) -> None:
        """See `Delegate`."""
        if self.check_merge is not None:
            self.check_merge(members)

    def notify_alive(self, member: Member) -> None:
        """See `Delegate`."""
        if self.check_alive is not None:
            self.check_alive(member)

    def ack_payload(self) -> bytes:
        """See `Delegate`."""
        return self.payload

    def notify_ping_complete(self, member: Member, rtt_s: float, payload: bytes) -> None:
        """See `Delegate`."""
        self.round_trips.append((member.name, rtt_s, payload))


class SimulatedNode:
    """One member of a `Cluster`. `log`: (level, text)."""

    def __init__(self, cluster: "Cluster", number: int, config: MemberlistConfig, host: Host) -> None:
        self.host = host
        self.delegate = RecordingDelegate()
        self.log: list[tuple[str, str]] = []
        rng = Random(f"{cluster.seed} {config.name} {number}")
        self.clock = cluster.clock_of(number)
        self.memberlist = Memberlist(
            config, self.clock, rng, host, self.delegate, log=lambda level, text: self.log.append((level, text))
        )
        host.attach(self.memberlist)

    @property
    def name(self) -> str:
        """The member's name."""
        return self.memberlist.config.name

    @property
    def address(self) -> Address:
        """Its address and port."""
        return self.host.address

    def sees(self, name: str) -> State | None:
        """The state of `name` in this member's list; None if it is unknown."""
        member = self.memberlist.members.by_name.get(name)
        return None if member is None else member.state

    def join(self, other: "SimulatedNode") -> list[tuple[int, list[str]]]:
        """Join `other`. The returned list gets (number of successes, errors) at the end."""
        results: list[tuple[int, list[str]]] = []
        self.memberlist.join([JoinTarget(other.address)], lambda worked, errors: results.append((worked, errors)))
        return results


class Cluster:
    """Members n0, n1 ... at 10.0.0.1, 10.0.0.2 ...; all random values come from `seed`.

    `settled`: all members know each other from the start; otherwise each is alone. With `skew` the members' clocks
    differ: monotonic clocks began up to `skew` seconds ago, wall clocks (`SimulatedNode.clock.wall_s`) are off by up
    to as much, either way. `changes`: made to the LAN settings.
    """

    def __init__(
        self,
        size: int,
        seed: int = 1,
        conditions: Conditions | None = None,
        *,
        settled: bool = False,
        skew: float = 0.0,
        **changes: Any,
    ) -> None:
        self.seed = seed
        self.clock = HeapClock()
        self.network = Network(self.clock, seed, conditions)
        self.nodes: list[SimulatedNode] = []
        self._changes = changes
        self._skew_s = skew
        for _ in range(size):
            self._make("", None, {})
        all_members = [first_state(node.memberlist.config) for node in self.nodes] if settled else []
        for node in self.nodes:
            node.memberlist.members.adopt(all_members)
            node.memberlist.start()
            if settled:
                node.memberlist.queue.clear()
                node.delegate.events.clear()

    def add(self, name: str = "", address: Address | None = None, **changes: Any) -> SimulatedNode:
        """Add a member that has not joined; it replaces one at the same address."""
        node = self._make(name, address, changes)
        node.memberlist.start()
        return node

    def _make(self, name: str, address: Address | None, changes: dict[str, Any]) -> SimulatedNode:
        number = len(self.nodes)
        found = address or (f"10.0.{number // 250}.{number % 250 + 1}", 7946)
        config = MemberlistConfig.lan(name=name or f"n{number}", advertise=found, **{**self._changes, **changes})
        node = SimulatedNode(self, number, config, self.network.host(found))
        self.nodes.append(node)
        return node

    def clock_of(self, number: int) -> NodeClock:
        """The clocks of a member."""
        rng, most_s = Random(f"{self.seed} clocks {number}"), self._skew_s
        return NodeClock(self.clock, rng.uniform(0, most_s), rng.uniform(-most_s, most_s))

    def join_all(self) -> None:
        """Let all members join the first one."""
        for node in self.nodes[1:]:
            node.join(self.nodes[0])

    def has_converged(self, nodes: Iterable[SimulatedNode] | None = None) -> bool:
        """Whether each of `nodes` (by default all) sees exactly these alive."""
        group = list(nodes) if nodes is not None else self.nodes
        names = {node.name for node in group}
        return all(
            node.memberlist.members.alive_count == len(names) and all(node.sees(name) is State.ALIVE for name in names)
            for node in group
        )

    def run(self, seconds: float) -> None:
        """Advance virtual time by `seconds`."""
        self.clock.advance(seconds)


def first_state(config: MemberlistConfig) -> NodeState:
    """The node state of a member that just started without metadata."""
    address, port = config.advertise
    return NodeState(config.name, address, port, b"", 1, int(State.ALIVE), config.vsn)
