"""`consulpy agent`: the same service as `twistd consulpy`, in the foreground."""

import gc
from typing import Final

from consulpy.cli.registry import Given, command
from consulpy.config.flags import agent_flags, config_from_argv

#: New objects, and looks at the young ones, between two looks for garbage. A turn of the reactor makes thousands of
#: objects and soon drops nearly all: with Python's own 700 the whole state is gone through again and again meanwhile.
_GC_THRESHOLDS: Final = (20_000, 10, 10)


@command(
    "agent",
    "Runs a consulpy agent",
    usage="agent [options]",
    about="""
Starts the consulpy agent and runs until an interrupt is received. The
agent represents a single node in a cluster.
""",
    more_flags=agent_flags,
    raw=True,
)
def agent(given: Given) -> int:
    """Run the agent with these flags."""
    gc.disable()  # importing makes no garbage; looking for it meanwhile costs a sixth of the start
    config = config_from_argv(given.arguments)
    from consulpy.service import run  # only here is Twisted imported

    gc.freeze()
    gc.enable()
    gc.set_threshold(*_GC_THRESHOLDS)
    return run(config, lambda: config_from_argv(given.arguments))
