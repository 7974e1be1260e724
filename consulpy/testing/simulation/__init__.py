"""Simulated clusters: one virtual clock, one simulated network, all random values from one seed.

    sim = Simulation(3, 20, seed=7)
    sim.schedule(at(5).partition({"n1"}), at(60).heal())
    sim.run(120)
    sim.members("n0")

`docs/simulation.md` is the guide.
"""

from consulpy.testing.simulation.faults import Fault, at
from consulpy.testing.simulation.interface import SimulationFailed
from consulpy.testing.simulation.simulation import Simulation
from consulpy.testing.simulation.trace import TraceError

__all__ = ["Fault", "Simulation", "SimulationFailed", "TraceError", "at"]
