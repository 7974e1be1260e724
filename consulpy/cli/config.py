"""`consulpy config list|read|write|delete`: centralized config entries."""

import json
import sys
from pathlib import Path
from typing import Any, Final

from consulpy.cli.command import Invocation, command, group
from consulpy.cli.format import FILTER, FORMAT, as_json
from consulpy.cli.main import say
from consulpy.client import ClientError
from consulpy.codec.printable import printable
from consulpy.config.disk import parse
from consulpy.errors import ConfigError
from consulpy.gocompat.flag import Flag, switch, unsigned
from consulpy.gocompat.json_decode import GoError

group(
    "config",
    "Interact with Consul's Centralized Configurations",
    """
This command has subcommands for interacting with Consul's Centralized
Configuration system. Here are some simple examples, and more detailed
examples are available in the subcommands or the documentation.

Write a config:

  $ consulpy config write web.serviceconf.hcl

Read a config:

  $ consulpy config read -kind service-defaults -name web

List all configs for a type:

  $ consulpy config list -kind service-defaults

Delete a config:

  $ consulpy config delete -kind service-defaults -name web

For more examples, ask for subcommand help or view the documentation.
""",
)

_INDENT: Final = 4


_CAS: Final = (
    Flag(
        "cas",
        "Perform a Check-And-Set operation. Specifying this value also requires the -modify-index flag to be set. "
        "The default value is false.",
        switch,
        default=False,
    ),
    Flag(
        "modify-index",
        "Unsigned integer representing the ModifyIndex of the config entry. This is used in combination with the "
        "-cas flag.",
        unsigned,
        default=0,
        placeholder="uint",
    ),
)


def _kind(doc: str) -> Flag:
    return Flag("kind", doc, default="", placeholder="string")


def _name(doc: str) -> Flag:
    return Flag("name", doc, default="", placeholder="string")


def _missing(given: Invocation, *names: str) -> bool:
    """Report the first flag of `names` that is missing; whether there is one."""
    for name in names:
        if not given.values[name]:
            given.err(f"Must specify the -{name} parameter")
            return True
    return False


@command(
    "config list",
    "List centralized config entries of a given kind",
    usage="config list [options] -kind <config kind>",
    about="""
Lists all of the config entries for a given kind. The -kind parameter
is required.

Example:

  $ consulpy config list -kind service-defaults
""",
    flags=[_kind("The kind of configurations to list."), FILTER, FORMAT],
    uses_agent=True,
    uses_servers=True,
)
def list_entries(given: Invocation) -> int:
    """Print the names, one a line."""
    if _missing(given, "kind"):
        return 1
    kind = given.values["kind"]
    try:
        entries = given.client.get(f"/v1/config/{kind}", {"filter": given.values["filter"] or None} | given.query) or []
    except ClientError as error:
        say(error, f'Error listing config entries for kind "{kind}"')
        return 1
    if given.values["format"] == "json":
        given.out(as_json(entries))
        return 0
    for entry in entries:
        given.out(printable(entry["Name"]))
    return 0


@command(
    "config read",
    "Read a centralized config entry",
    usage="config read [options] -kind <config kind> -name <config name>",
    about="""
Reads the config entry specified by the given kind and name and outputs its
JSON representation.

Example:

  $ consulpy config read -kind proxy-defaults -name global
""",
    flags=[_kind("The kind of configuration to read."), _name("The name of configuration to read.")],
    uses_agent=True,
    uses_servers=True,
)
def read(given: Invocation) -> int:
    """Print the entry as JSON."""
    if _missing(given, "kind", "name"):
        return 1
    kind, name = given.values["kind"], given.values["name"]
    try:
        entry = given.client.get(f"/v1/config/{kind}/{name}", given.query)
    except ClientError as error:
        what = f"Error reading config entry {kind}/{name}"
        if "invalid config entry kind" in str(error):
            given.err(f"{what}: invalid config entry kind: {kind}")
        else:
            say(error, what)
        return 1
    given.out(json.dumps(entry, indent=_INDENT, ensure_ascii=False))
    return 0


@command(
    "config write",
    "Create or update a centralized config entry",
    usage="config write [options] <configuration>",
    about="""
Request a config entry to be created or updated. The configuration
argument is either a file path or '-' to indicate that the config
should be read from stdin. The data should be either in HCL or
JSON form.

Example (from file):

  $ consulpy config write web.service.hcl

Example (from stdin):

  $ consulpy config write -
""",
    flags=_CAS,
    uses_agent=True,
    uses_servers=True,
)
def write(given: Invocation) -> int:
    """Validate the entry, then write it."""
    if len(given.arguments) != 1:
        given.err("Must provide exactly one positional argument to specify the config entry to write")
        return 1
    found = _entry_in(given, given.arguments[0])
    if found is None:
        return 1
    raw, entry = found
    params = {"dc": given.query["dc"], "cas": given.values["modify-index"] if given.values["cas"] else None}
    try:
        written = given.client.put("/v1/config", params, raw)
    except ClientError as error:
        say(error, f"Error writing config entry {entry.kind}/{entry.name}")
        return 1
    if not written:
        given.err(f"Config entry not updated: {entry.kind}/{entry.name}")
        return 1
    given.out(f"Config entry written: {entry.kind}/{entry.name}")
    return 0


def _entry_in(given: Invocation, path: str) -> tuple[Any, Any] | None:
    """The entry in a file (`-`: on the standard input), as it is written and decoded; None: an error was said."""
    # with the HTTP API comes Twisted, which other commands here do not need
    from consulpy.http.api.config_entry_body import entry_of
    from consulpy.structs.service_intentions import API_KINDS

    try:
        text = _text_of(path)
    except OSError as error:
        given.err(f"Failed to load data: Failed to read file: open {error.filename}: {str(error.strerror).lower()}")
        return None
    try:
        raw: Any = parse(path, text, "hcl").tree
        return raw, entry_of(raw, API_KINDS)
    except (GoError, ConfigError) as error:
        given.err(f"Failed to decode config entry input: {error}")
        return None


def _text_of(path: str) -> str:
    return sys.stdin.read() if path == "-" else Path(path).read_text(errors="surrogateescape")


@command(
    "config delete",
    "Delete a centralized config entry",
    usage="config delete [options] -kind <config kind> -name <config name>",
    about="""
Deletes the configuration entry specified by the kind and name.

Example:

  $ consulpy config delete -kind service-defaults -name web
  $ consulpy config delete -filename web.hcl
""",
    flags=[
        _kind("The kind of configuration to delete."),
        _name("The name of configuration to delete."),
        Flag("filename", "The file of the entry to delete, instead of -kind and -name.", default=""),
        *_CAS,
    ],
    uses_agent=True,
    uses_servers=True,
)
def delete(given: Invocation) -> int:
    """Delete the entry; a missing one is no error."""
    if given.values["filename"]:
        if given.values["kind"] or given.values["name"]:
            given.err("filename can't be used with kind or name")
            return 1
        entry = _entry_in(given, given.values["filename"])
        if entry is None:
            return 1
        kind, name = entry[1].kind, entry[1].name
    elif _missing(given, "kind", "name"):
        return 1
    else:
        kind, name = given.values["kind"], given.values["name"]
    cas = given.values["cas"]
    if cas != bool(given.values["modify-index"]):
        given.err(
            "Must specify -modify-index greater than 0 with -cas"
            if cas
            else "Cannot specify -modify-index without -cas"
        )
        return 1
    params = {"dc": given.query["dc"], "cas": given.values["modify-index"] if cas else None}
    try:
        deleted = given.client.delete(f"/v1/config/{kind}/{name}", params)
    except ClientError as error:
        say(error, f"Error deleting config entry {kind}/{name}")
        return 1
    if cas and not deleted:
        given.err(f"Config entry not deleted: {kind}/{name}")
        return 1
    given.out(f"Config entry deleted: {kind}/{name}")
    return 0
