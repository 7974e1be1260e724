"""`consulpy join`."""

from consulpy.cli.registry import Given, Mistake, command
from consulpy.client import ClientError
from consulpy.config.goflags import Flag, switch


@command(
    "join",
    "Tell consulpy agent to join cluster",
    usage="join [options] address ...",
    about="""
Tells a running agent (with "consulpy agent") to join the cluster
by specifying at least one existing member.
""",
    flags=[Flag("wan", "Joins a server to another server in the WAN pool.", switch, default=False)],
    asks_agent=True,
)
def join(given: Given) -> int:
    """One request for each address; one that works is enough."""
    if not given.arguments:
        raise Mistake("At least one address to join must be specified.")
    joined, hint = 0, ""
    for address in given.arguments:
        try:
            given.client.join(address, wan=given.values["wan"])
            joined += 1
        except ClientError as error:
            given.err(f"Error joining address '{address}': {error}")
            hint = getattr(error, "hint", hint)
    if joined:
        given.out(f"Successfully joined cluster by contacting {joined} nodes.")
        return 0
    given.err("Failed to join any nodes.")
    if hint:
        given.err(hint)
    return 1
