"""Interface of a simulation for its parts, and the failure of its conditions."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from consulpy.testing.simulation.faults import Fault
from consulpy.testing.simulation.node import Node
from consulpy.testing.simulation.trace import Trace


class Simulated(Protocol):
    """The part of a `Simulation` that actions and shrinking use."""

    settings: dict[str, Any]

    @property
    def now(self) -> float:
        """The virtual time in seconds."""

    @property
    def lines(self) -> list[str]:
        """The lines of its trace so far."""

    def node(self, name: str) -> Node:
        """A node. Raises `ValueError`."""

    def run(self, seconds: float) -> None:
        """Let virtual time go on."""

    def act(self, action: dict[str, Any]) -> Any:
        """Send a request to a node, and record it in the trace."""

    def again(self, settings: dict[str, Any]) -> "Simulated":
        """Another simulation, with these settings."""

    def schedule(self, *faults: Fault) -> None:
        """Add faults."""

    def check(self, condition: Callable[..., object]) -> None:
        """Evaluate a condition after every event."""

    def repeat(self, trace: Trace) -> None:
        """Do what was done from outside in a trace, until its end."""


class SimulationFailed(AssertionError):
    """A condition of `check` failed. `seed`, `time` (virtual seconds), `schedule`: the shortest that still fails."""

    def __init__(
        self,
        seed: int | str,
        time: float,
        text: str,
        schedule: Sequence[Fault],
        condition: Callable[..., object],
        *,
        is_shrunk: bool = False,
        note: str = "",
    ) -> None:
        self.seed = seed
        self.time = time
        self.text = text
        self.schedule = list(schedule)
        self.condition = condition
        self.is_shrunk = is_shrunk
        name = getattr(condition, "__qualname__", type(condition).__name__)
        faults = ", ".join(str(fault) for fault in schedule) or "none at all"
        super().__init__(
            f"seed {seed!r}: {name} failed at {time:.6f} s: {text}; the shortest schedule that still fails: "
            f"{faults}{note}"
        )


def with_simulation(function: Callable[..., object], simulation: Simulated) -> object:
    """Call a function with the simulation, or with nothing if it takes no argument."""
    return function(simulation) if takes_simulation(function) else function()


def takes_simulation(function: Callable[..., object]) -> bool:
    """Whether a function takes an argument."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return True
    return any(each.kind not in (each.KEYWORD_ONLY, each.VAR_KEYWORD) for each in parameters)


def failure_of(condition: Callable[..., object], simulation: Simulated) -> str | None:
    """Why a condition fails; None if it does not."""
    try:
        return "it is False" if with_simulation(condition, simulation) is False else None
    except AssertionError as error:
        return str(error) or "an assertion failed"
