"""Actions of a program on the nodes of a simulation: lines of the trace that are replayed with it."""

import base64
import json
from collections.abc import Iterable, Mapping
from typing import Any

from twisted.internet.defer import Deferred

from consulpy.testing.simulation.interface import Simulated, SimulationFailed
from consulpy.testing.simulation.node import Node


class NodeHandle:
    """A node of a simulation, for a caller outside. Virtual time goes on until the node has answered."""

    def __init__(self, simulation: Simulated, name: str) -> None:
        self._simulation = simulation
        self.name = name

    @property
    def is_running(self) -> bool:
        """Whether its process runs."""
        return self._simulation.node(self.name).is_running

    @property
    def address(self) -> str:
        """Its IP address."""
        return self._simulation.node(self.name).address

    def request(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        """Send a request to its HTTP API, in process; the answer has `.status`, `.headers`, `.body` and `.json()`.

        `body`: bytes, a text, or a value that is sent as JSON. `path`: as "/v1/kv/key"; `ValueError` for another.
        """
        if not path.startswith("/"):
            raise ValueError(f"path: expected what follows an agent's URL, as /v1/kv/key, not {path!r}")
        data = body.encode() if isinstance(body, str) else body
        if data is not None and not isinstance(data, bytes):
            data = json.dumps(data).encode()
        action = {"action": "request", "node": self.name, "method": method, "path": path}
        if data is not None:
            action["body"] = base64.b64encode(data).decode("ascii")
        return self._simulation.act({**action, **({"headers": dict(headers)} if headers else {})})

    def dns(self, name: str, type: str = "A") -> list[str]:  # noqa: A002 - the word of DNS
        """Query its DNS server, in process; the records of the answer as text (addresses; SRV as `1 1 80 target.`)."""
        found = self._simulation.act({"action": "dns", "node": self.name, "name": name, "type": type})
        return list(found)


def begin(node: Node, action: Mapping[str, Any]) -> "Deferred[Any]":
    """Begin an action. Raises `ValueError` if the node has nothing that answers it."""
    return node.why(action["name"]) if action["action"] == "why" else node.ask(action)


def play(simulation: Simulated, actions: Iterable[Mapping[str, Any]], call: int | None) -> None:
    """Do again what was done in a call of the schedule (None: outside of them), each at its time."""
    for action in actions:
        if action.get("call") == call:
            if call is None:
                simulation.run(max(action["time"] - simulation.now, 0.0))
            asked = {name: value for name, value in action.items() if name not in ("time", "call")}
            try:
                simulation.act(asked)
            except SimulationFailed:
                raise
            except Exception:
                pass
