"""`consulpy agent`: the same service as `twistd consulpy`, in the foreground."""

import gc
from typing import Final

from consulpy.cli.command import Invocation, command
from consulpy.config.flags import agent_flags
from consulpy.config.load import load

#: Thresholds of the garbage collector during the start. Python's default of 700 costs a sixth of it; with these each
#: object is looked at once. The garbage, first versions of classes with slots, is 1.5 MB.
_GC_THRESHOLDS: Final = (10_000, 1000, 1000)


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
def agent(given: Invocation) -> int:
    """Run the agent until it ends; its exit status."""
    gc.set_threshold(*_GC_THRESHOLDS)
    config = load(given.arguments)
    from consulpy.service import run  # imports Twisted, which no other command needs

    return run(config, lambda: load(given.arguments))
