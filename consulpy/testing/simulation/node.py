"""The interface of a simulated node, and the gossip of one: what nodes of both kinds have in common."""

import base64
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred

from consulpy.config.schema import RuntimeConfig
from consulpy.memberlist.node_state import NodeState
from consulpy.serf.events import Event, MemberEvent, MemberEventKind, UserEvent
from consulpy.serf.machine import Serf

if TYPE_CHECKING:
    from consulpy.testing.simulation.clock import NodeClock

#: `record(node, event, fields)`: what a node saw, for the trace.
Record = Callable[[str, str, dict[str, Any]], None]


class Node(Protocol):
    """One node of a simulation. `name`, `address` (IP) and `clock` outlive its restarts."""

    name: str
    address: str
    config: RuntimeConfig
    clock: "NodeClock"

    @property
    def is_running(self) -> bool:
        """Whether its process runs."""

    @property
    def is_settled(self) -> bool:
        """Whether nothing of its start is left to do: it is in the catalog, and knows a leader."""

    @property
    def serf(self) -> Serf:
        """Its LAN pool, the last one if it does not run. Raises `ValueError` if it never ran."""

    def start(self) -> None:
        """Start its process."""

    def settle(self, members: list[NodeState], adopt: Callable[[Serf], None]) -> None:
        """Start as one that is in the cluster already. `adopt(serf)` makes a pool know all members."""

    def join(self) -> None:
        """Join the cluster, again and again until that works."""

    def crash(self) -> None:
        """End its process without a word."""

    def leave(self) -> None:
        """Leave gracefully, then end."""

    def why(self, name: str) -> "Deferred[dict[str, Any]]":
        """`/v1/agent/timeline/NAME`. Raises `ValueError` for an unknown name."""

    def ask(self, action: Mapping[str, Any]) -> "Deferred[Any]":
        """Answer a request (HTTP) or a question (DNS); see `actions`. Raises `ValueError` if nothing here does."""


def members_of(serf: Serf) -> dict[str, str]:
    """The state of each member, as `consul members` shows it."""
    return {name: str(member.status) for name, member in sorted(serf.members.items())}


class GossipRecorder:
    """Records what one node's gossip says: the timeline of each member, and the events that Serf makes of it."""

    def __init__(self, name: str, record: Record) -> None:
        self._name = name
        self._record = record

    def attach(self, serf: Serf) -> None:
        """Record the timeline of this pool."""
        timeline = serf.memberlist.timeline

        def changed(member: str) -> None:
            event = timeline.of(member)[-1]
            fields = {"member": member, "incarnation": event.incarnation}
            if event.peer:
                fields["by"] = event.peer
            self._record(self._name, event.what, fields)

        timeline.listeners.append(changed)

    def event(self, event: Event) -> None:
        """Record a member event or user event."""
        if isinstance(event, UserEvent):
            self._record(self._name, "user event", {"name": event.name})
        elif isinstance(event, MemberEvent):
            kind = "member left" if event.kind is MemberEventKind.LEAVE else f"member {event.kind.value}"
            for member in event.members:
                self._record(self._name, kind, {"member": member.name})


def action_body(action: Mapping[str, Any]) -> bytes:
    """The body of a request that is an action."""
    return base64.b64decode(action.get("body", ""))
