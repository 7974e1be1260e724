"""`consulpy session create|destroy|renew|info|list|node`: Consul 1.8 has sessions over HTTP only."""

from typing import Any, Final
from urllib.parse import quote

from consulpy.cli.command import Invocation, command, group
from consulpy.cli.format import FORMAT, as_json
from consulpy.cli.main import say
from consulpy.cli.table import table
from consulpy.client import AnswerError, ClientError
from consulpy.gocompat.flag import Flag

group(
    "session",
    "Create, list and end sessions",
    """
This command has subcommands for sessions, which hold locks in the key-value
store until they are destroyed, expire or fail with their node. For example:

    $ consulpy session create -name deploy -ttl 30s
    $ consulpy session list
    $ consulpy session destroy ID
""",
)

_USES_SERVERS: Final[dict[str, Any]] = {"uses_agent": True, "uses_servers": True}


def _path_argument(given: Invocation, name: str) -> str:
    """The only argument, quoted for a path. Raises `UsageError`."""
    return quote(given.one_argument(name), safe="", errors="surrogateescape")


def _show(given: Invocation, sessions: list[dict[str, Any]]) -> None:
    if given.values["format"] == "json":
        given.out(as_json(sessions))
    elif sessions:
        rows = [
            [one["ID"], one["Name"] or "-", one["Node"], one["TTL"] or "-", one["Behavior"], _seconds(one["LockDelay"])]
            for one in sessions
        ]
        given.out(table(rows, ["ID", "Name", "Node", "TTL", "Behavior", "LockDelay"]))


def _seconds(nanoseconds: float) -> str:
    return f"{nanoseconds / 1e9:g}s"


@command(
    "session create",
    "Creates a session",
    usage="session create [options]",
    about="""
Creates a session and prints its ID. It is bound to this agent's node and
its serfHealth check unless told otherwise.
""",
    flags=[
        Flag("behavior", "What becomes of its locks when it ends: release (default) or delete.", default=""),
        Flag("check", "ID of a check of the node that it depends on. May be specified multiple times.", many=True),
        Flag("lock-delay", 'How long its locks cannot be taken after it failed, such as "15s".', default=""),
        Flag("name", "Name for people.", default=""),
        Flag("node", "Node that it is bound to.", default=""),
        Flag("ttl", 'It expires if not renewed for this long, "10s" to "24h".', default=""),
        FORMAT,
    ],
    **_USES_SERVERS,
)
def create(given: Invocation) -> int:
    """Create a session and print its ID."""
    given.no_arguments()
    values = given.values
    fields = {"Name": "name", "Node": "node", "TTL": "ttl", "LockDelay": "lock-delay", "Behavior": "behavior"}
    body: dict[str, Any] = {field: values[flag] for field, flag in fields.items() if values[flag]}
    if values["check"]:
        body["Checks"] = values["check"]
    try:
        answer = given.client.put("/v1/session/create", {"dc": values["datacenter"]}, body)
    except ClientError as error:
        say(error, "Error creating session")
        return 1
    given.out(as_json(answer) if values["format"] == "json" else answer["ID"])
    return 0


@command(
    "session destroy",
    "Ends a session",
    usage="session destroy [options] ID",
    about="""
Ends a session; what it held is released or deleted, as its behavior says.
""",
    **_USES_SERVERS,
)
def destroy(given: Invocation) -> int:
    """Destroy a session; a missing one is no error, as in the API."""
    session = _path_argument(given, "ID")
    try:
        given.client.put(f"/v1/session/destroy/{session}", {"dc": given.values["datacenter"]})
    except ClientError as error:
        say(error, "Error destroying session")
        return 1
    given.out(f"Success! Destroyed session: {given.arguments[0]}")
    return 0


@command(
    "session renew",
    "Renews a session with a TTL",
    usage="session renew [options] ID",
    about="""
Lets the TTL of a session begin anew.
""",
    flags=[FORMAT],
    **_USES_SERVERS,
)
def renew(given: Invocation) -> int:
    """Renew a session and print it."""
    session = _path_argument(given, "ID")
    try:
        found = given.client.put(f"/v1/session/renew/{session}", {"dc": given.values["datacenter"]})
    except AnswerError as error:
        given.err(f"Error! No session exists with ID: {given.arguments[0]}" if error.status == 404 else f"{error}")
        return 1
    except ClientError as error:
        say(error, "Error renewing session")
        return 1
    _show(given, found)
    return 0


@command(
    "session info",
    "Shows a session",
    usage="session info [options] ID",
    about="""
Shows one session.
""",
    flags=[FORMAT],
    **_USES_SERVERS,
)
def info(given: Invocation) -> int:
    """Print a session; a missing one is an error."""
    session = _path_argument(given, "ID")
    return _list(given, f"/v1/session/info/{session}", f"No session exists with ID: {given.arguments[0]}")


@command(
    "session list",
    "Lists all sessions",
    usage="session list [options]",
    about="""
Lists the sessions of the datacenter.
""",
    flags=[FORMAT],
    **_USES_SERVERS,
)
def sessions(given: Invocation) -> int:
    """Print all sessions."""
    given.no_arguments()
    return _list(given, "/v1/session/list")


@command(
    "session node",
    "Lists the sessions of a node",
    usage="session node [options] NODE",
    about="""
Lists the sessions that are bound to a node.
""",
    flags=[FORMAT],
    **_USES_SERVERS,
)
def of_node(given: Invocation) -> int:
    """Print the sessions of a node."""
    node = _path_argument(given, "NODE")
    return _list(given, f"/v1/session/node/{node}")


def _list(given: Invocation, path: str, missing: str = "") -> int:
    try:
        found = given.client.get(path, given.query) or []
    except ClientError as error:
        say(error, "Error listing sessions")
        return 1
    if missing and not found:
        given.err(f"Error! {missing}")
        return 1
    _show(given, found)
    return 0
