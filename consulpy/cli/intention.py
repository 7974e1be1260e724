"""`consulpy intention create|check|get|list|match|delete`."""

import sys
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from consulpy.cli.catalog import equals_pair
from consulpy.cli.command import Invocation, command, group
from consulpy.cli.format import FORMAT, as_json
from consulpy.cli.main import say
from consulpy.cli.table import table
from consulpy.client import AnswerError, ClientError
from consulpy.codec.printable import printable
from consulpy.codec.strict_json import JsonError, parse
from consulpy.gocompat.flag import Flag, switch

group(
    "intention",
    "Interact with Connect service intentions",
    """
This command has subcommands for interacting with intentions. Intentions
are permissions describing which services are allowed to communicate via
Connect. Here are some simple examples, and more detailed examples are
available in the subcommands or the documentation.

Create an intention to allow "web" to talk to "db":

    $ consulpy intention create web db

Test whether a "web" is allowed to connect to "db":

    $ consulpy intention check web db

Find all intentions for communicating to the "db" service:

    $ consulpy intention match db

For more examples, ask for subcommand help or view the documentation.
""",
)

_PATH: Final = "/v1/connect/intentions"
_DATE: Final = "%A, %d-%b-%y %H:%M:%S UTC"


def _shown(intention: dict[str, Any]) -> str:
    source, destination = (
        _full(intention.get(f"{side}NS", ""), intention[f"{side}Name"]) for side in ("Source", "Destination")
    )
    return f"{source} => {destination} ({intention['Action']})"


def _parse_name(text: str) -> tuple[str, str]:
    """(namespace or "", name)."""
    namespace, slash, name = text.partition("/")
    return (namespace, name) if slash else ("", text)


def _full(namespace: str, name: str) -> str:
    return f"{namespace}/{name}" if namespace and namespace != "default" else name


def _find(given: Invocation, source: str, destination: str) -> dict[str, Any] | None:
    """The intention between exactly these two, None if there is none. Raises `ClientError`."""
    for intention in given.client.get(_PATH, given.query) or []:
        pairs = (
            (intention["SourceNS"], intention["SourceName"]),
            (intention["DestinationNS"], intention["DestinationName"]),
        )
        if all(
            _parse_name(text) in (pair, ("", pair[1])) for text, pair in zip((source, destination), pairs, strict=True)
        ):
            found: dict[str, Any] = intention
            return found
    return None


@command(
    "intention create",
    "Create intentions for service connections.",
    usage="intention create [options] SRC DST",
    about="""
Create one or more intentions. The data can be specified as a single
source and destination pair or via a set of files when the "-file" flag
is specified.

    $ consulpy intention create web db

To consume data from a set of files:

    $ consulpy intention create -file one.json two.json

When specifying the "-file" flag, "-" may be used once to read from stdin:

    $ echo "{ ... }" | consulpy intention create -file -

An "allow" intention is created by default. To create a "deny" intention,
the "-deny" flag should be specified.

If a conflicting intention is found, creation will fail. To replace any
conflicting intentions, specify the "-replace" flag. This will replace any
conflicting intentions with the intention specified in this command.
Metadata and any other fields of the previous intention will not be
preserved.
""",
    flags=[
        Flag("allow", "Create an intention that allows when matched.", switch, default=False),
        Flag("deny", "Create an intention that denies when matched.", switch, default=False),
        Flag("file", "Read intention data from one or more files.", switch, default=False),
        Flag(
            "meta",
            "Metadata to set on the intention, formatted as key=value. This flag may be specified multiple times to "
            "set multiple meta fields.",
            equals_pair,
            many=True,
        ),
        Flag("replace", "Replace matching intentions.", switch, default=False),
    ],
    uses_agent=True,
    uses_servers=True,
)
def create(given: Invocation) -> int:
    """Create the intentions of the files, or that of the arguments."""
    values = given.values
    if values["allow"] and values["deny"]:
        given.err("Only one of -allow or -deny may be specified.")
        return 1
    try:
        intentions = _from_files(given.arguments) if values["file"] else _from_arguments(given)
    except (ValueError, OSError) as error:
        reason = f"open {error.filename}: {str(error.strerror).lower()}" if isinstance(error, OSError) else error
        given.err(f"Error: {reason}")
        return 1
    for intention in intentions:
        if not _create(given, intention):
            return 1
    return 0


def _create(given: Invocation, intention: dict[str, Any]) -> bool:
    """Write one intention, with -replace in the place of a conflicting one; whether it was written."""
    client, datacenter = given.client, {"dc": given.query["dc"]}
    if given.values["replace"]:
        source, destination = (
            _full(intention.get(f"{side}NS", ""), intention[f"{side}Name"]) for side in ("Source", "Destination")
        )
        try:
            old = _find(given, source, destination)
            if old is not None:
                client.put(f"{_PATH}/{old['ID']}", datacenter, intention)
                return True
        except ClientError as error:
            say(error, f'Error replacing intention "{_shown(intention)}"')
            return False
    try:
        client.post(_PATH, datacenter, intention)
    except ClientError as error:
        say(error, f'Error creating intention "{_shown(intention)}"')
        return False
    given.out(f"Created: {printable(_shown(intention))}")
    return True


def _from_arguments(given: Invocation) -> list[dict[str, Any]]:
    if len(given.arguments) != 2:
        raise ValueError("Must specify two arguments: source and destination")
    intention: dict[str, Any] = {"SourceType": "consul", "Action": "deny" if given.values["deny"] else "allow"}
    for side, text in zip(("Source", "Destination"), given.arguments, strict=True):
        namespace, name = _parse_name(text)
        intention |= {f"{side}Name": name} | ({f"{side}NS": namespace} if namespace else {})
    if given.values["meta"]:
        intention["Meta"] = dict(given.values["meta"])
    return [intention]


def _from_files(paths: list[str]) -> list[dict[str, Any]]:
    """Raises `ValueError` or `OSError`."""
    found = []
    for path in paths:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(errors="replace")
        try:
            intention = parse(text)
        except JsonError as error:
            raise ValueError("unexpected EOF" if error.at_end else f"{path}: {error}") from None
        if not isinstance(intention, dict):
            raise ValueError(f"{path}: expected an intention as a JSON object")
        found.append({"SourceName": "", "DestinationName": "", "Action": ""} | intention)
    return found


@command(
    "intention check",
    "Check whether a connection between two services is allowed.",
    usage="intention check [options] SRC DST",
    about="""
Check whether a connection between SRC and DST would be allowed by
Connect given the current Consul configuration.

    $ consulpy intention check web db
""",
    flags=[FORMAT],
    uses_agent=True,
    uses_servers=True,
    usage_status=2,
)
def check(given: Invocation) -> int:
    """Status 0 if allowed, 1 if denied, 2 for an error."""
    if len(given.arguments) != 2:
        given.err("Error: command requires exactly two arguments: src and dst")
        return 2
    source, destination = given.arguments
    try:
        found = given.client.get(f"{_PATH}/check", {"source": source, "destination": destination} | given.query)
    except ClientError as error:
        say(error, "Error checking the connection")
        return 2
    if given.values["format"] == "json":
        given.out(as_json(found))
    else:
        given.out("Allowed" if found["Allowed"] else "Denied")
    return 0 if found["Allowed"] else 1


@command(
    "intention list",
    "List intentions.",
    usage="intention list",
    about="""
List all intentions, in the order in which they are evaluated.
""",
    flags=[FORMAT],
    uses_agent=True,
    uses_servers=True,
)
def list_all(given: Invocation) -> int:
    """Print the intentions as a table."""
    try:
        found = given.client.get(_PATH, given.query) or []
    except ClientError as error:
        say(error, "Failed to retrieve the intentions list")
        return 1
    if given.values["format"] == "json":
        given.out(as_json(found))
        return 0
    if not found:
        given.err("There are no intentions.")
        return 0
    rows = [
        [
            each.get("ID", ""),
            _full(each.get("SourceNS", ""), each["SourceName"]),
            each.get("Action") or "",
            _full(each.get("DestinationNS", ""), each["DestinationName"]),
            str(each.get("Precedence", "")),
        ]
        for each in found
    ]
    given.out(table([["ID", "Source", "Action", "Destination", "Precedence"], *rows]))
    return 0


@command(
    "intention match",
    "Show intentions that match a source or destination.",
    usage="intention match [options] SRC|DST",
    about="""
Show the list of intentions that would be enforced for a given source
or destination. The intentions are listed in the order they would be
evaluated.

    $ consulpy intention match db
    $ consulpy intention match -source web
""",
    flags=[
        Flag("destination", "Match intentions with the given destination.", switch, default=False),
        Flag("source", "Match intentions with the given source.", switch, default=False),
        FORMAT,
    ],
    uses_agent=True,
    uses_servers=True,
    usage_status=2,
)
def match(given: Invocation) -> int:
    """Print the matching intentions, one a line."""
    if len(given.arguments) != 1:
        given.err("Error: command requires exactly one argument: src or dst")
        return 1
    if given.values["source"] and given.values["destination"]:
        given.err("Error: only one of -source or -destination may be specified")
        return 1
    name = given.arguments[0]
    params = {"by": "source" if given.values["source"] else "destination", "name": name} | given.query
    try:
        found = given.client.get(f"{_PATH}/match", params)
    except ClientError as error:
        say(error, "Error matching the connection")
        return 1
    matching = found.get(name) or []
    if given.values["format"] == "json":
        given.out(as_json(matching))
        return 0
    for intention in matching:
        given.out(printable(_shown(intention)))
    return 0


def _named(given: Invocation) -> dict[str, Any] | None:
    """The intention of one (an id) or two (source, destination) arguments; None after an error was printed."""
    if len(given.arguments) not in (1, 2):
        given.err("Error: command requires exactly 1 or 2 arguments")
        return None
    try:
        if len(given.arguments) == 1:
            found: dict[str, Any] = given.client.get(f"{_PATH}/{given.arguments[0]}", given.query)
            return found
        by_names = _find(given, *given.arguments)
    except AnswerError as error:
        reason = f"Unexpected response {error.status}: {error.text}" if error.status == 400 else error
        given.err(f"Error reading the intention: {reason}")
        return None
    except ClientError as error:
        say(error, "Error reading the intention")
        return None
    if by_names is None:
        source, destination = given.arguments
        given.err(f'Error: Intention with source "{source}" and destination "{destination}" not found.')
    return by_names


@command(
    "intention get",
    "Show information about an intention.",
    usage="intention get [options] SRC DST | ID",
    about="""
Read and show the details about an intention. The intention can be looked
up via an exact source/destination match or via the unique intention ID.

    $ consulpy intention get web db
""",
    flags=[FORMAT],
    uses_agent=True,
    uses_servers=True,
)
def get(given: Invocation) -> int:
    """Print an intention in two columns."""
    found = _named(given)
    if found is None:
        return 1
    if given.values["format"] == "json":
        given.out(as_json(found))
        return 0
    rows = [
        ("Source:", _full(found["SourceNS"], found["SourceName"])),
        ("Destination:", _full(found["DestinationNS"], found["DestinationName"])),
        ("Action:", found["Action"]),
        ("ID:", found["ID"]),
        *([("Description:", found["Description"])] if found.get("Description") else []),
        *((f"Meta[{key}]:", value) for key, value in sorted((found.get("Meta") or {}).items())),
        ("Created At:", datetime.fromisoformat(found["CreatedAt"][:19]).strftime(_DATE)),
    ]
    width = max(len(name) for name, _ in rows) + 2
    for name, value in rows:
        given.out(printable(f"{name:<{width}}{value}"))
    return 0


@command(
    "intention delete",
    "Delete an intention.",
    usage="intention delete [options] SRC DST | ID",
    about="""
Delete an intention. This cannot be reversed. The intention can be looked
up via an exact source/destination match or via the unique intention ID.

    $ consulpy intention delete web db
""",
    uses_agent=True,
    uses_servers=True,
)
def delete(given: Invocation) -> int:
    """Delete an intention by names or by id."""
    intention_id = given.arguments[0] if len(given.arguments) == 1 else None
    if intention_id is None:
        found = _named(given)
        if found is None:
            return 1
        intention_id = found["ID"]
    try:
        given.client.delete(f"{_PATH}/{intention_id}", {"dc": given.query["dc"]})
    except ClientError as error:
        say(error, "Error reading the intention" if len(given.arguments) == 1 else "Error deleting the intention")
        return 1
    given.out("Intention deleted.")
    return 0
