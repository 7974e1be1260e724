"""`consulpy connect ca get-config|set-config`: the configuration of the certificate authority."""

import json
from pathlib import Path
from typing import Any, Final

from consulpy.cli.command import Invocation, command, group
from consulpy.cli.main import say
from consulpy.client import ClientError
from consulpy.gocompat.flag import Flag
from consulpy.gocompat.json_decode import GoError, loads

_PATH: Final = "/v1/connect/ca/configuration"
#: Members in the order in which they are shown, and those that are left out while they are false.
_SHOWN: Final = ("Provider", "Config", "State", "ForceWithoutCrossSigning", "CreateIndex", "ModifyIndex")
_LEFT_OUT: Final = ("ForceWithoutCrossSigning",)

group(
    "connect ca",
    "Interact with the Consul Connect Certificate Authority (CA)",
    """
This command has subcommands for interacting with Consul Connect's
Certificate Authority (CA).

Here are some simple examples, and more detailed examples are available
in the subcommands or the documentation.

Get the configuration:

    $ consulpy connect ca get-config

Update the configuration:

    $ consulpy connect ca set-config -config-file ca.json

For more examples, ask for subcommand help or view the documentation.
""",
)


@command(
    "connect ca get-config",
    "Display the current Connect Certificate Authority (CA) configuration",
    usage="connect ca get-config [options]",
    about="""
Displays the current Connect CA configuration, with its private key if it
has one.
""",
    uses_agent=True,
    uses_servers=True,
)
def get_config(given: Invocation) -> int:
    """Print the configuration."""
    try:
        found = given.client.get(_PATH, given.query)
    except ClientError as error:
        say(error, "Error querying CA configuration")
        return 1
    shown = {name: found.get(name) for name in _SHOWN if found.get(name) or name not in _LEFT_OUT}
    given.out(json.dumps(shown, indent="\t"))
    return 0


@command(
    "connect ca set-config",
    "Modify the current Connect CA configuration",
    usage="connect ca set-config [options]",
    about="""
Modifies the current Connect Certificate Authority (CA) configuration.

A change of the key, or of the root, rotates the root: the new one is signed
by the one before it too, which stays listed until no certificate of it is
valid. Another key type or size alone makes no new root: give a private key.
""",
    flags=[
        Flag("config-file", "The path to the config file to use.", default="", placeholder="string"),
    ],
    uses_agent=True,
    uses_servers=True,
)
def set_config(given: Invocation) -> int:
    """Replace the configuration by that of a file in JSON."""
    path = given.values["config-file"]
    if not path:
        given.err("The -config-file flag is required")
        return 1
    try:
        body = Path(path).read_bytes()
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        given.err(f"Error reading config file: open {path}: {why}")
        return 1
    try:
        wanted: Any = loads(body)
    except GoError as error:
        why = "unexpected end of JSON input" if str(error).endswith("EOF") else str(error)
        given.err(f"Error parsing config file: {why}")
        return 1
    try:
        given.client.put(_PATH, {"dc": given.query["dc"]}, raw_body=json.dumps(wanted).encode())
    except ClientError as error:
        say(error, "Error setting CA configuration")
        return 1
    given.out("Configuration updated!")
    return 0
