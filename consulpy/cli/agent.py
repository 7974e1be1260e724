"""`consulpy agent`: the same service as `twistd consulpy`, in the foreground."""

import gc

from consulpy.cli.command import Invocation, command
from consulpy.config.flags import agent_flags
from consulpy.config.load import load


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
    gc.disable()  # imports make no garbage; collections during them take a sixth of the start
    config = load(given.arguments)
    from consulpy.service import run  # imports Twisted, which no other command needs

    return run(config, lambda: load(given.arguments))
