"""`consulpy event`."""

import json
from collections.abc import Mapping
from typing import Any, Final

from consulpy.cli.command import Invocation, UsageError, command
from consulpy.cli.format import FORMAT
from consulpy.cli.main import say
from consulpy.client import ClientError
from consulpy.errors import RPCError
from consulpy.gocompat.flag import Flag
from consulpy.gocompat.regexp import compile_regexp

#: Flags that select the agents of an event.
FILTERS: Final = ("node", "service", "tag")


def filter_fault(values: Mapping[str, Any]) -> str:
    """The fault of these flags in Consul's words, or ""."""
    for name in FILTERS:
        try:
            if values[name]:
                compile_regexp(values[name])
        except RPCError as error:
            return f"Failed to compile {name} filter regexp: {error}"
    if values["tag"] and not values["service"]:
        return "Cannot provide tag filter without service filter."
    return ""


@command(
    "event",
    "Fire a new event",
    usage="event [options] [payload]",
    about="""
Dispatches a custom user event across a datacenter. An event must provide
a name, but a payload is optional. Events support filtering using
regular expressions on node name, service, and tag definitions.
""",
    flags=[
        FORMAT,
        Flag("name", "Name of the event.", default="", placeholder="string"),
        Flag("node", "Regular expression to filter on node names.", default="", placeholder="string"),
        Flag("service", "Regular expression to filter on service instances.", default="", placeholder="string"),
        Flag(
            "tag",
            "Regular expression to filter on service tags. Must be used with -service.",
            default="",
            placeholder="string",
        ),
    ],
    uses_agent=True,
    uses_servers=True,
)
def event(given: Invocation) -> int:
    """Fire an event and print its id."""
    values = given.values
    if not values["name"]:
        raise UsageError("Event name must be specified")
    wrong = filter_fault(values)
    if wrong:
        given.err(wrong)
        return 1
    if len(given.arguments) > 1:
        raise UsageError("Too many command line arguments.")
    payload = given.arguments[0].encode() if given.arguments else b""
    filters = {name: values[name] or None for name in FILTERS}
    try:
        fired = given.client.fire_event(values["name"], payload, dc=values["datacenter"], **filters)
    except ClientError as error:
        say(error, "Error firing event")
        return 1
    given.out(json.dumps({"ID": fired}) if values["format"] == "json" else f"Event ID: {fired}")
    return 0
