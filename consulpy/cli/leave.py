"""`consulpy leave`."""

from consulpy.cli.command import Invocation, UsageError, command
from consulpy.cli.main import say
from consulpy.client import ClientError


@command(
    "leave",
    "Gracefully leaves the cluster and shuts down",
    usage="leave [options]",
    about="""
Causes the agent to gracefully leave the cluster and shutdown.
""",
    uses_agent=True,
)
def leave(given: Invocation) -> int:
    """Have the agent leave."""
    if given.arguments:
        raise UsageError(f"Error found unexpected args: [{' '.join(given.arguments)}]")
    try:
        given.client.leave()
    except ClientError as error:
        say(error, "Error leaving")
        return 1
    given.out("Graceful leave complete")
    return 0
