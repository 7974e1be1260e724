"""`consulpy simulate`: how soon a cluster with given gossip settings knows of failures, joins, leaves and events."""

import time
from typing import TYPE_CHECKING, Any, Final

from consulpy.cli.command import Invocation, UsageError, command
from consulpy.cli.format import FORMAT, as_json
from consulpy.cli.table import table
from consulpy.gocompat.duration import format_duration, parse_duration
from consulpy.gocompat.flag import Flag, unsigned

if TYPE_CHECKING:
    from consulpy.testing.simulation.study import Plan, Study

#: Each node knows all others, in some 600 bytes: this number takes 10 GB.
NODES_MAX: Final = 4000
#: Characters of the progress bar.
_BAR: Final = 24
_PLOTS: Final = (".svg", ".png")


def share(text: str) -> float:
    """A share as `5%` or `0.05`. Raises `ValueError`."""
    number = text.strip()
    try:
        found = float(number.removesuffix("%")) / (100 if number.endswith("%") else 1)
    except ValueError:
        found = -1.0
    if not 0 <= found <= 1:
        raise ValueError("expected a share, as 5% or 0.05")
    return found


def duration(text: str) -> float:
    """A time of a second or more as Go writes it, in seconds. Raises `ValueError`."""
    found_s = parse_duration(text)
    if found_s < 1:
        raise ValueError("expected a time of 1s or more, as 5m")
    return found_s


@command(
    "simulate",
    "Simulates a cluster with your gossip settings",
    usage="simulate [options]",
    about="""
Simulates a cluster on a virtual clock, without any network, and shows how soon
a failure, a join, a leave and a user event are known to all other nodes; how
often a node that runs was suspected or taken for failed; and what it costs.
Nodes are killed and leave at random times, and come back later. All random
values come from the seed: equal options give equal figures.

With -servers, nodes are whole agents; without, they are gossip alone, which
is faster. Of the configuration file, gossip_lan and disable_coordinates are
taken. -plot needs matplotlib: pip install 'consulpy[plot]'.
""",
    flags=[
        Flag("nodes", "Number of nodes. The default is 100.", unsigned, default=100, placeholder="number"),
        Flag("servers", "How many of them are servers.", unsigned, default=0, placeholder="number"),
        Flag("duration", "Virtual time. The default is 5m.", duration, default=300.0, placeholder="duration"),
        Flag("seed", "Seed of all random values. The default is 1.", unsigned, default=1, placeholder="number"),
        Flag("loss", "Share of datagrams that are lost, as 5%.", share, default=0.0, placeholder="share"),
        Flag(
            "kill",
            "Number of nodes that fail, of others that leave, of user events. The default is 1; servers are spared.",
            unsigned,
            placeholder="number",
        ),
        Flag("config", "Configuration file (HCL or JSON) with your gossip settings.", default="", placeholder="path"),
        Flag("plot", "Draw the times into this file (.svg or .png).", default="", placeholder="path"),
        FORMAT,
    ],
)
def simulate(given: Invocation) -> int:
    """Simulate, then print the figures."""
    given.no_arguments()
    values = given.values
    if values["plot"] and not values["plot"].lower().endswith(_PLOTS):
        raise UsageError(f"-plot: expected a file name that ends with .svg or .png, not {values['plot']!r}")
    if not 2 <= values["nodes"] <= NODES_MAX or values["servers"] > values["nodes"]:
        raise UsageError(f"-nodes: expected 2 or more, {NODES_MAX} at most, and no fewer than -servers")
    from consulpy.testing.simulation import plot
    from consulpy.testing.simulation.study import Plan, Study, kill_max

    most = kill_max(values["nodes"], values["servers"])
    kill = min(1, most) if values["kill"] is None else values["kill"]
    if kill > most:
        raise UsageError(f"-kill: expected {most} at most: as many others leave, and all servers (or n0) stay")
    if values["plot"]:
        plot.check(values["plot"])
    names = ("nodes", "servers", "seed", "loss")
    plan = Plan(
        duration_s=values["duration"],
        config=gossip_settings(values["config"]),
        kill=kill,
        **{name: values[name] for name in names},
    )
    began_s = time.monotonic()  # noqa: TID251 - a command has the world's clock
    with given.progress.waiting(f"Starting {plan.nodes} nodes"):
        study = Study(plan, lambda done: setattr(given.progress, "text", _bar(plan, done)))
        study.run()
    took_s = time.monotonic() - began_s  # noqa: TID251 - as above
    if values["plot"]:
        plot.draw(study, values["plot"])
    given.out(as_json(study.to_json()) if values["format"] == "json" else report(study, took_s))
    return 0


def gossip_settings(path: str) -> dict[str, Any]:
    """The gossip settings of a configuration file; none without one. Raises `ConfigError`."""
    if not path:
        return {}
    from consulpy.config.flags import AgentFlags
    from consulpy.config.host import AnyHost
    from consulpy.config.load import read

    config = read(AgentFlags({"data_dir": "/simulated"}, config_paths=(path,)), AnyHost())
    found: dict[str, Any] = {}
    for name in ("gossip_interval", "probe_interval", "probe_timeout"):
        value_s = getattr(config.gossip_lan, f"{name}_s")
        if value_s is not None:
            found[name] = format_duration(value_s)
    for name in ("gossip_nodes", "retransmit_mult", "suspicion_mult"):
        value = getattr(config.gossip_lan, name)
        if value is not None:
            found[name] = value
    off = {"disable_coordinates": True} if config.disable_coordinates else {}
    return {**({"gossip_lan": found} if found else {}), **off}


def report(study: "Study", took_s: float) -> str:
    """The figures as a table. `took_s`: real seconds."""
    plan, found = study.plan, study.to_json()
    rows = []
    for kind in ("failure", "join", "leave", "event"):
        times = found[kind]
        unknown = f" ({times['unknown']} never)" if times["unknown"] else ""
        rows.append([kind, *(_time(times[name]) for name in ("median", "p99", "worst")), f"{times['count']}{unknown}"])
    figures = [
        ["false suspicions", str(found["false_suspicions"])],
        ["false failures", str(found["false_failures"])],
        ["bytes a node a second", f"{found['bytes_per_node_per_second']:g}"],
        ["CPU of a node", f"{1000 * found['cpu_seconds_per_node']:.3g} ms in {_span(plan.duration_s)}"],
        ["took", f"{took_s:.1f} s ({plan.duration_s / max(took_s, 1e-6):.0f} times real time)"],
    ]
    what = f"{plan.nodes} nodes ({plan.servers} servers), {_span(plan.duration_s)}, seed {plan.seed}"
    first = f"{what}, {100 * plan.loss:g} % of datagrams lost"
    known = table(rows, ["Known after", "Median", "P99", "Worst", "Nodes"])
    return f"{first}\n\n{known}\n\n{table(figures)}"


def _time(value_s: float | None) -> str:
    return "-" if value_s is None else f"{value_s:.2f} s"


def _span(duration_s: float) -> str:
    return format_duration(duration_s)


def _bar(plan: "Plan", done: float) -> str:
    full = round(_BAR * done)
    return f"Simulating {plan.nodes} nodes [{'#' * full}{'.' * (_BAR - full)}] {100 * done:.0f} %"
