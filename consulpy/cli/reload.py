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
    uses_agent=True,
)
def reload(given: Invocation) -> int:
    """Have the agent reload; its log says which keys were applied."""
    try:
        given.client.reload()
    except ClientError as error:
        say(error, "Error reloading")
        return 1
    given.out("Configuration reload triggered")
    return 0
