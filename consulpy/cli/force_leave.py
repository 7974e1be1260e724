"""`consulpy force-leave`."""

from consulpy.cli.command import Invocation, UsageError, command
from consulpy.cli.main import say
from consulpy.client import ClientError
from consulpy.gocompat.flag import Flag, switch


@command(
    "force-leave",
    'Forces a member of the cluster to enter the "left" state',
    usage="force-leave [options] name",
    about="""
Forces a member of a cluster to enter the "left" state. Note
that if the member is still actually alive, it will eventually rejoin
the cluster. This command is most useful for cleaning out "failed" nodes
that are never coming back. If you do not force leave a failed node,
the agents will attempt to reconnect to those failed nodes for some period of
time before eventually reaping them.
""",
    flags=[
        Flag("prune", "Remove agent completely from list of members", switch, default=False),
        Flag("wan", "Exclusively leave the agent from the WAN serf pool.", switch, default=False),
    ],
    uses_agent=True,
)
def force_leave(given: Invocation) -> int:
    """Mark the member as left; no output, as in Consul."""
    if len(given.arguments) != 1:
        raise UsageError("A single node name must be specified to force leave.")
    try:
        given.client.force_leave(given.arguments[0], prune=given.values["prune"], wan=given.values["wan"])
    except ClientError as error:
        say(error, "Error force leaving")
        return 1
    return 0
