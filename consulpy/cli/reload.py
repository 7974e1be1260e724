"""`consulpy reload`."""

from consulpy.cli.command import Invocation, command
from consulpy.cli.main import say
from consulpy.client import ClientError


@command(
    "reload",
    "Triggers the agent to reload configuration files",
    usage="reload",
    about="""
Causes the agent to reload configurations. This can be used instead
of sending the SIGHUP signal to the agent.
""",
    asks_agent=True,
)
def reload(given: Invocation) -> int:
    """Ask for it; the agent's log says what was applied."""
    try:
        given.client.reload()
    except ClientError as error:
        say(error, "Error reloading")
        return 1
    given.out("Configuration reload triggered")
    return 0
