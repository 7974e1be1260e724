"""`consulpy info`."""

from consulpy.cli.main import say
from consulpy.cli.registry import Given, command
from consulpy.client import ClientError


@command(
    "info",
    "Provides debugging information for operators.",
    usage="info [options]",
    about="""
Provides debugging information for operators.
""",
    asks_agent=True,
)
def info(given: Given) -> int:
    """The agent's statistics, sorted."""
    try:
        stats = given.client.self_report().get("Stats", {})
    except ClientError as error:
        say(error, "Error querying agent")
        return 1
    for name in sorted(stats):
        given.out(f"{name}:")
        for key in sorted(stats[name]):
            given.out(f"\t{key} = {stats[name][key]}")
    return 0
