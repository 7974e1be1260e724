"""`consulpy maint`."""

from typing import Any, Final

from consulpy.cli.command import Invocation, command
from consulpy.cli.format import FORMAT, as_json
from consulpy.cli.main import say
from consulpy.client import ClientError
from consulpy.codec.printable import printable
from consulpy.gocompat.flag import Flag, switch

_NODE: Final = "_node_maintenance"
_SERVICE: Final = "_service_maintenance:"


@command(
    "maint",
    "Controls node or service maintenance mode",
    usage="maint [options]",
    about="""
Places a node or service into maintenance mode. During maintenance mode,
the node or service will be excluded from all queries through the DNS
or API interfaces, effectively taking it out of the pool of available
nodes. This is done by registering an additional critical health check.

When enabling maintenance mode for a node or service, you may optionally
specify a reason string. This string will appear in the "Notes" field
of the critical health check which is registered against the node or
service. If no reason is provided, a default value will be used.

Maintenance mode is persistent, and will be restored in the event of an
agent restart. It is therefore required to disable maintenance mode on
a given node or service before it will be placed back into the pool.

By default, we operate on the node as a whole. By specifying the
"-service" argument, this behavior can be changed to enable or disable
only a specific service.

If no arguments are given, the agent's maintenance status will be shown.
This will return blank if nothing is currently under maintenance.
""",
    flags=[
        Flag("disable", "Disable maintenance mode.", switch, default=False),
        FORMAT,
        Flag("enable", "Enable maintenance mode.", switch, default=False),
        Flag("reason", "Text describing the maintenance reason.", default="", placeholder="string"),
        Flag("service", "Control maintenance mode for a specific service ID.", default="", placeholder="string"),
    ],
    uses_agent=True,
)
def maint(given: Invocation) -> int:
    """Show, enable or disable maintenance mode."""
    values = given.values
    enable, disable, service = values["enable"], values["disable"], values["service"]
    mistake = ""
    if enable and disable:
        mistake = "Only one of -enable or -disable may be provided"
    elif not enable and values["reason"]:
        mistake = "Reason may only be provided with -enable"
    elif not enable and not disable and service:
        mistake = "Service requires either -enable or -disable"
    if mistake:
        given.err(mistake)
        return 1
    if not enable and not disable:
        return _show(given)
    doing, done = ("enabling", "enabled") if enable else ("disabling", "disabled")
    try:
        given.client.maintenance(enable, values["reason"], service)
    except ClientError as error:
        say(error, f"Error {doing} {'service' if service else 'node'} maintenance")
        return 1
    given.out(f'Service maintenance is now {done} for "{service}"' if service else f"Node maintenance is now {done}")
    return 0


def _show(given: Invocation) -> int:
    try:
        name = given.client.self_report()["Config"]["NodeName"]
        checks = given.client.checks()
    except ClientError as error:
        say(error, "Error querying agent")
        return 1
    ordered = sorted(checks.values(), key=lambda check: str(check["CheckID"]))
    if given.values["format"] == "json":
        given.out(as_json([check for check in ordered if str(check["CheckID"]).startswith((_NODE, _SERVICE))]))
        return 0
    for check in ordered:
        _show_check(given, check, name)
    return 0


def _show_check(given: Invocation, check: dict[str, Any], node: str) -> None:
    if check["CheckID"] == _NODE:
        given.out(f"Node:\n  Name:   {printable(node)}\n  Reason: {printable(check['Notes'])}\n")
    elif str(check["CheckID"]).startswith(_SERVICE):
        service = printable(check["ServiceID"])
        given.out(f"Service:\n  ID:     {service}\n  Reason: {printable(check['Notes'])}\n")
