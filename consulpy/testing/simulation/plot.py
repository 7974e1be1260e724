"""The picture of a study: how many of the nodes knew after which time. Needs matplotlib (extra `plot`)."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from consulpy.errors import ConfigError

if TYPE_CHECKING:
    from consulpy.testing.simulation.study import Study


def check(path: str) -> None:
    """Before a simulation is run for it. Raises `ConfigError` if the library is missing, or `path` can't be written."""
    file = Path(path)
    place = file if file.exists() else file.parent
    if file.is_dir() or not os.access(place, os.W_OK):
        raise ConfigError(f"-plot: can't write {path}")
    try:
        import matplotlib  # noqa: F401 - whether it is there
    except ImportError:
        raise ConfigError("-plot needs matplotlib: pip install 'consulpy[plot]'") from None


def draw(study: "Study", path: str) -> None:
    """Draw a curve for each kind into a file; the format is that of its name's end. Raises `OSError`."""
    from matplotlib.figure import Figure

    plan = study.plan
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    for kind, samples in study.samples.items():
        times_s = sorted(samples.times_s)
        if times_s:
            whole = len(times_s) + sum(map(len, samples.ignorant.values()))
            shares = [100 * (number + 1) / whole for number in range(len(times_s))]
            axes.step([max(each, 1e-3) for each in times_s], shares, where="post", label=kind)
    axes.set_xscale("log")
    axes.set_xlabel("seconds after it happened")
    axes.set_ylabel("% of the nodes know")
    axes.set_title(f"{plan.nodes} nodes, {100 * plan.loss:g} % loss, seed {plan.seed}")
    axes.grid(visible=True, which="both", alpha=0.3)
    if axes.lines:
        axes.legend()
    figure.savefig(path)
