"""Faults of a simulation, and the words that schedule them: `at(5).partition({"n1", "n2"})`."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

#: Kinds of faults, and the fields beside `at` that each has in its JSON form.
KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "partition": ("nodes",),
    "heal": (),
    "crash": ("nodes",),
    "restart": ("nodes",),
    "leave": ("nodes",),
    "slow": ("nodes", "by"),
    "drop": ("nodes", "to", "udp"),
    "skew": ("nodes", "by"),
    "call": ("function",),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault at a time. `at_s`, `by_s`: seconds. `udp`: only datagrams (True), only TCP (False), all (None).

    `function`: the name of what `call` runs; `run`: itself, None after it was read from a trace.
    """

    at_s: float
    kind: str
    nodes: tuple[str, ...] = ()
    by_s: float = 0.0
    to: str = ""
    udp: bool | None = None
    function: str = ""
    run: Callable[..., object] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not math.isfinite(self.at_s) or self.at_s < 0:
            raise ValueError(f"a fault is at a time from 0, in seconds, not at {self.at_s!r}")
        if self.kind not in KINDS:
            raise ValueError(f"there is no fault {self.kind!r}")
        if not math.isfinite(self.by_s) or (self.kind == "slow" and self.by_s < 0):
            raise ValueError(f"a node is not {self.kind} by {self.by_s!r} seconds")

    @property
    def names(self) -> tuple[str, ...]:
        """All nodes that it names."""
        return (*self.nodes, self.to) if self.to else self.nodes

    def to_json(self) -> dict[str, Any]:
        """Its JSON form, in a trace."""
        values = {"nodes": list(self.nodes), "by": self.by_s, "to": self.to, "udp": self.udp, "function": self.function}
        return {"at": self.at_s, "fault": self.kind, **{name: values[name] for name in KINDS[self.kind]}}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Fault":
        """The fault of a JSON form. Raises `ValueError`, `KeyError` or `TypeError` for anything else."""
        kind = value["fault"]
        known = {name: value[name] for name in KINDS[kind]}
        return cls(
            float(value["at"]),
            kind,
            tuple(str(name) for name in known.get("nodes", ())),
            float(known.get("by", 0.0)),
            str(known.get("to", "")),
            known.get("udp"),
            str(known.get("function", "")),
        )

    def __str__(self) -> str:
        """As it is written in a program."""
        nodes = ", ".join(repr(name) for name in self.nodes)
        arguments = {
            "partition": f"{{{nodes}}}",
            "slow": f"{nodes}, by={self.by_s:g}",
            "drop": f"{nodes}, to={self.to!r}" + ("" if self.udp is None else f", udp={self.udp}"),
            "skew": f"{nodes}, {self.by_s:g}",
            "call": self.function,
        }
        return f"at({self.at_s:g}).{self.kind}({arguments.get(self.kind, nodes)})"


class at:  # noqa: N801 - a word of a sentence: at(5).crash("n1")
    """A time of a schedule, in virtual seconds from 0; each method is a fault at it. Raises `ValueError`."""

    def __init__(self, time_s: float) -> None:
        self._at_s = float(time_s)

    def partition(self, nodes: Iterable[str]) -> Fault:
        """Cut these nodes off from all others; among themselves they are connected."""
        return Fault(self._at_s, "partition", tuple(sorted({nodes} if isinstance(nodes, str) else set(nodes))))

    def heal(self) -> Fault:
        """End all partitions, drops and slowness."""
        return Fault(self._at_s, "heal")

    def crash(self, node: str) -> Fault:
        """End a node's process without a word; its host refuses connections."""
        return Fault(self._at_s, "crash", (node,))

    def restart(self, node: str) -> Fault:
        """Start a node again, with what it stored; one that runs is crashed first."""
        return Fault(self._at_s, "restart", (node,))

    def leave(self, node: str) -> Fault:
        """Let a node leave gracefully and end."""
        return Fault(self._at_s, "leave", (node,))

    def slow(self, node: str, by: float) -> Fault:
        """Delay every answer and timer of a node by `by` seconds."""
        return Fault(self._at_s, "slow", (node,), by_s=float(by))

    def drop(self, node: str, to: str, udp: bool | None = None) -> Fault:
        """Drop what a node sends to another one: datagrams (`udp=True`), TCP (False), everything (None); one way."""
        return Fault(self._at_s, "drop", (node,), to=to, udp=udp)

    def skew(self, node: str, seconds: float) -> Fault:
        """Set the wall clock of a node ahead (back, if negative)."""
        return Fault(self._at_s, "skew", (node,), by_s=float(seconds))

    def call(self, function: Callable[..., object]) -> Fault:
        """Call `function(simulation)`, or without an argument if it takes none. Raises `ValueError` for no function."""
        if not callable(function):
            raise ValueError(f"a function is called, which {function!r} is not")
        name = getattr(function, "__qualname__", type(function).__name__)
        return Fault(self._at_s, "call", function=name, run=function)
