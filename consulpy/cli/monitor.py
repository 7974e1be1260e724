"""`consulpy monitor`."""

from consulpy.cli.command import Invocation, command
from consulpy.cli.main import say
from consulpy.client import ClientError
from consulpy.codec.printable import printable
from consulpy.gocompat.flag import Flag, switch


@command(
    "monitor",
    "Stream logs from an agent",
    usage="monitor [options]",
    about="""
Shows recent log messages of an agent, and attaches to the agent, outputting
log messages as they occur in real time. The monitor lets you listen for log
levels that may be filtered out of the agent. For example your agent may only
be logging at INFO level, but with the monitor you can see the DEBUG level logs.
""",
    flags=[
        Flag("log-level", "Log level of the agent.", default="INFO", placeholder="string"),
        Flag("log-json", "Output logs in JSON format.", switch, default=False),
    ],
    uses_agent=True,
)
def monitor(given: Invocation) -> int:
    """Print log lines until the agent or the user ends it."""
    try:
        for line in given.client.monitor(given.values["log-level"], given.values["log-json"]):
            given.out(printable(line))
    except ClientError as error:
        say(error, "Error starting monitor")
        return 1
    except KeyboardInterrupt:
        return 0
    except OSError:
        pass
    given.out("")
    given.out("Remote side ended the monitor! This usually means that the\nremote side has exited or crashed.")
    return 0
