"""The shortest prefix of a schedule with which a condition still fails, found by playing each."""

import json
from typing import Any

from consulpy.testing.simulation.interface import Simulated, SimulationFailed, takes_simulation
from consulpy.testing.simulation.trace import Trace


def shortest_prefix(simulation: Simulated, failed: SimulationFailed) -> SimulationFailed:
    """The failure with the shortest prefix that fails no later than the whole schedule; the shortest is tried first."""
    if not takes_simulation(failed.condition):
        return _shrunk(failed, " (not shortened: the condition takes no simulation that could be played again)")
    actions = [each for each in map(json.loads, simulation.lines) if "action" in each]
    for length in range(len(failed.schedule)):
        again = _play(simulation, length, actions, failed)
        if again is not None:
            return _shrunk(again, "")
    return _shrunk(failed, "")


def _shrunk(failed: SimulationFailed, note: str) -> SimulationFailed:
    return SimulationFailed(
        failed.seed, failed.time, failed.text, failed.schedule, failed.condition, is_shrunk=True, note=note
    )


def _play(
    simulation: Simulated, length: int, actions: list[dict[str, Any]], failed: SimulationFailed
) -> SimulationFailed | None:
    """Run the same simulation with the first `length` faults, until the time of the failure; its failure, or None."""
    prefix = failed.schedule[:length]
    again = simulation.again(simulation.settings)
    again.schedule(*prefix)
    again.check(failed.condition)
    calls = sum(fault.kind == "call" for fault in prefix)
    lines = [json.dumps(each) for each in actions if each.get("call", -1) < calls and each["time"] <= failed.time]
    try:
        again.repeat(Trace({}, lines, failed.time))
    except SimulationFailed as found:
        return SimulationFailed(found.seed, found.time, found.text, prefix, found.condition)
    return None
