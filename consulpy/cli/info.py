"""`consulpy info`."""

import json

from consulpy.cli.command import Invocation, command
from consulpy.cli.format import FORMAT
from consulpy.cli.main import say
from consulpy.client import ClientError
from consulpy.codec.printable import printable


@command(
    "info",
    "Provides debugging information for operators.",
    usage="info [options]",
    about="""
Provides debugging information for operators.
""",
    flags=[FORMAT],
    uses_agent=True,
)
def info(given: Invocation) -> int:
    """Print the agent's statistics, sorted."""
    try:
        stats = given.client.self_report().get("Stats", {})
    except ClientError as error:
        say(error, "Error querying agent")
        return 1
    if given.values["format"] == "json":
        given.out(json.dumps(stats, indent=4, sort_keys=True))
        return 0
    for name in sorted(stats):
        given.out(f"{name}:")
        for key in sorted(stats[name]):
            given.out("\t" + printable(f"{key} = {stats[name][key]}"))
    return 0
