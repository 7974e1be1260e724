"""`consulpy operator raft|autopilot ...`."""

import json
from typing import Any, Final

from consulpy.cli.command import Invocation, command, group
from consulpy.cli.format import FORMAT, as_json
from consulpy.cli.main import say
from consulpy.cli.table import table
from consulpy.client import AnswerError, ClientError
from consulpy.gocompat.duration import format_duration, parse_duration
from consulpy.gocompat.flag import Flag, switch, unsigned

group(
    "operator",
    "Provides cluster-level tools for Consul operators",
    """
Provides cluster-level tools for Consul operators, such as interacting with
the Raft subsystem. NOTE: Use this command with extreme caution, as improper
use could lead to a Consul outage and even loss of data.

Run consulpy operator <subcommand> with no arguments for help on that
subcommand.
""",
)
group(
    "operator raft",
    "Provides cluster-level tools for Consul operators",
    """
The Raft operator command shows the servers of a quorum, and in rare cases
recovers it by removing invalid ones.
""",
)
group(
    "operator usage",
    "Provides cluster-level usage information",
    """
The usage operator command shows how many services and instances there are.
""",
)
group(
    "operator autopilot",
    "Provides tools for modifying Autopilot configuration",
    """
The Autopilot operator command is used to interact with Consul's Autopilot
subsystem. The command can be used to view or modify the current configuration.
""",
)


@command(
    "operator raft list-peers",
    "Display the current Raft peer configuration",
    usage="operator raft list-peers [options]",
    about="""
Displays the current Raft peer configuration.
""",
    flags=[
        FORMAT,
        Flag(
            "detailed",
            "Adds the index of each server's last committed log entry, and how far it trails the leader (since Consul "
            "1.16).",
            switch,
            default=False,
        ),
    ],
    uses_agent=True,
    uses_servers=True,
)
def list_peers(given: Invocation) -> int:
    """Print the servers with their roles."""
    try:
        found = given.client.get("/v1/operator/raft/configuration", given.query)
    except ClientError as error:
        say(error, "Error getting peers: Failed to retrieve raft configuration")
        return 1
    indexes: dict[str, int] = {}
    if given.values["detailed"]:
        try:
            health = _health(given)
        except ClientError as error:
            say(error, "Error getting peers: Failed to retrieve autopilot health")
            return 1
        indexes = {server["ID"]: server["LastIndex"] for server in health["Servers"]}
        for server in found["Servers"]:
            server["LastIndex"] = indexes.get(server["ID"], 0)
    if given.values["format"] == "json":
        given.out(as_json(found["Servers"]))
        return 0
    newest = max((indexes.get(server["ID"], 0) for server in found["Servers"] if server["Leader"]), default=0)
    more = ["Commit Index", "Trails Leader By"] if given.values["detailed"] else []
    rows = [["Node", "ID", "Address", "State", "Voter", "RaftProtocol", *more]]
    for server in found["Servers"]:
        state = "leader" if server["Leader"] else "follower"
        voter = "true" if server["Voter"] else "false"
        shown = _progress(indexes.get(server["ID"]), newest, is_leader=server["Leader"]) if more else []
        rows.append([server["Node"], server["ID"], server["Address"], state, voter, server["ProtocolVersion"], *shown])
    given.out(table(rows))
    return 0


def _health(given: Invocation) -> Any:
    """The health of the servers, which is in a response 429 if one is not well."""
    try:
        return given.client.get("/v1/operator/autopilot/health", given.query)
    except AnswerError as error:
        if error.status != 429 or not error.text.startswith("{"):
            raise
        return json.loads(error.text)


def _progress(index: int | None, newest: int, *, is_leader: bool) -> list[str]:
    """The last index of a server, and by how much it trails the leader, as newer versions write it."""
    if index is None:
        return ["-", "-"]
    behind = max(newest - index, 0)
    return [str(index), "-" if is_leader else f"{behind} commit{'' if behind == 1 else 's'}"]


@command(
    "operator raft remove-peer",
    "Remove a Consul server from the Raft configuration",
    usage="operator raft remove-peer [options]",
    about="""
Remove the Consul server with given -address from the Raft configuration.

There are rare cases where a peer may be left behind in the Raft quorum even
though the server is no longer present and known to the cluster. This command
removes the failed server, so that it no longer affects the quorum. If the
server still shows in the output of "consulpy members", it is preferable to
run "consulpy force-leave" instead of this command.
""",
    flags=[
        Flag("address", "The address to remove from the Raft configuration.", default="", placeholder="string"),
        Flag("id", "The ID to remove from the Raft configuration.", default="", placeholder="string"),
        FORMAT,
    ],
    uses_agent=True,
    uses_servers=True,
)
def remove_peer(given: Invocation) -> int:
    """Remove a server by address or id."""
    address, server_id = given.values["address"], given.values["id"]
    if not address and not server_id:
        given.err("Error removing peer: an address or id is required for the peer to remove")
        return 1
    if address and server_id:
        given.err("Error removing peer: cannot give both an address and id")
        return 1
    named = {"address": address} if address else {"id": server_id}
    try:
        given.client.delete("/v1/operator/raft/peer", named | given.query)
    except ClientError as error:
        say(error, "Error removing peer")
        return 1
    if given.values["format"] == "json":
        given.out(as_json({"Address": address, "ID": server_id, "Removed": True}))
        return 0
    given.out(f"Removed peer with {'address' if address else 'id'} {address or server_id!r}".replace("'", '"'))
    return 0


@command(
    "operator raft transfer-leader",
    "Transfer leadership to another Consul server",
    usage="operator raft transfer-leader [options]",
    about="""
Hands the leadership over to the server with the given -id, or to the one that
is best prepared.
""",
    flags=[Flag("id", "The ID of the server that shall lead.", default="", placeholder="string"), FORMAT],
    uses_agent=True,
    uses_servers=True,
)
def transfer_leader(given: Invocation) -> int:
    """To the best one, or by id."""
    named = {"id": given.values["id"]} if given.values["id"] else {}
    try:
        found = given.client.post("/v1/operator/raft/transfer-leader", named | given.query, {})
    except ClientError as error:
        say(error, "Error transferring leadership")
        return 1
    given.out(as_json(found) if given.values["format"] == "json" else "Success")
    return 0


def _duration(text: str) -> str:
    """A duration in Go's shortest spelling. Raises `ValueError`."""
    return format_duration(parse_duration(text))


#: Names of the settings in the API, and their flags.
_SETTINGS: Final = (
    ("CleanupDeadServers", Flag(
        "cleanup-dead-servers",
        "Controls whether Consul will automatically remove dead servers when new ones are successfully added. Must be "
        "one of `true|false`.",
        switch, placeholder="true|false",
    )),
    ("LastContactThreshold", Flag(
        "last-contact-threshold",
        "Controls the maximum amount of time a server can go without contact from the leader before being considered "
        "unhealthy. Must be a duration value such as `200ms`.",
        _duration, placeholder="200ms",
    )),
    ("MaxTrailingLogs", Flag(
        "max-trailing-logs",
        "Controls the maximum number of log entries that a server can trail the leader by before being considered "
        "unhealthy.",
        unsigned,
    )),
    ("MinQuorum", Flag(
        "min-quorum",
        "Sets the minimum number of servers required in a cluster before autopilot is allowed to prune dead servers.",
        unsigned,
    )),
    ("ServerStabilizationTime", Flag(
        "server-stabilization-time",
        "Controls the minimum amount of time a server must be stable in the 'healthy' state before being added to the "
        "cluster. Only takes effect if all servers are running Raft protocol version 3 or higher. Must be a duration "
        "value such as `10s`.",
        _duration, placeholder="10s",
    )),
    ("RedundancyZoneTag", Flag(
        "redundancy-zone-tag",
        "(Enterprise-only) Controls the node_meta tag name used for separating servers into different redundancy "
        "zones.",
    )),
    ("DisableUpgradeMigration", Flag(
        "disable-upgrade-migration",
        "(Enterprise-only) Controls whether Consul will avoid promoting new servers until it can perform a migration. "
        "Must be one of `true|false`.",
        switch, placeholder="true|false",
    )),
    ("UpgradeVersionTag", Flag(
        "upgrade-version-tag",
        "(Enterprise-only) The node_meta tag to use for version info when performing upgrade migrations. If left "
        "blank, the Consul version will be used.",
    )),
)  # fmt: skip


@command(
    "operator autopilot get-config",
    "Display the current Autopilot configuration",
    usage="operator autopilot get-config [options]",
    about="""
Displays the current Autopilot configuration.
""",
    flags=[FORMAT],
    uses_agent=True,
    uses_servers=True,
)
def get_config(given: Invocation) -> int:
    """Print the settings, one a line."""
    given.no_arguments()
    try:
        found = given.client.get("/v1/operator/autopilot/configuration", given.query)
    except ClientError as error:
        say(error, "Error querying Autopilot configuration")
        return 1
    if given.values["format"] == "json":
        given.out(as_json(found))
        return 0
    for name, flag in _SETTINGS:
        given.out(f"{name} = {_shown(found[name], flag)}")
    return 0


def _shown(value: Any, flag: Flag) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value}"' if flag.convert is str else str(value)


@command(
    "operator autopilot set-config",
    "Modify the current Autopilot configuration",
    usage="operator autopilot set-config [options]",
    about="""
Modifies the current Autopilot configuration. Settings that are not given
stay as they are; nothing is written if they were changed meanwhile.
""",
    flags=[*(flag for _, flag in _SETTINGS), FORMAT],
    uses_agent=True,
    uses_servers=True,
)
def set_config(given: Invocation) -> int:
    """Read, change and write the settings with check-and-set."""
    given.no_arguments()
    client, path = given.client, "/v1/operator/autopilot/configuration"
    try:
        settings = client.get(path, given.query)
        for name, flag in _SETTINGS:
            value = given.values[flag.name]
            if value is not None:
                settings[name] = value
        params = {"cas": settings.pop("ModifyIndex", 0), "dc": given.query["dc"]}
        settings.pop("CreateIndex", None)
        written = client.put(path, params, settings)
    except ClientError as error:
        say(error, "Error setting Autopilot configuration")
        return 1
    if not written:
        given.err("Configuration could not be atomically updated, please try again")
        return 1
    given.out(as_json({"Updated": True}) if given.values["format"] == "json" else "Configuration updated!")
    return 0


@command(
    "operator usage instances",
    "Display service instance usage information",
    usage="operator usage instances [options]",
    about="""
Shows how many instances of services there are, and which of them bill in
Consul Enterprise.
""",
    flags=[
        Flag("all-datacenters", "Display service counts from all known datacenters.", switch, default=False),
        Flag("only-billable", "Display only billable service info.", switch, default=False),
        Flag("only-connect", "Display only Connect service info.", switch, default=False),
        FORMAT,
    ],
    uses_agent=True,
    uses_servers=True,
)
def usage_instances(given: Invocation) -> int:
    """The tables of billable and of Connect services."""
    if given.values["only-billable"] and given.values["only-connect"]:
        given.err("Cannot specify both -only-billable and -only-connect flags")
        return 1
    everywhere = {"global": ""} if given.values["all-datacenters"] else {}
    try:
        found = given.client.get("/v1/operator/usage", everywhere | given.query)["Usage"]
    except ClientError as error:
        say(error, "Error fetching usage information")
        return 1
    if given.values["format"] == "json":
        given.out(as_json(found))
        return 0
    if not given.values["only-connect"]:
        given.out(
            "Billable Service Instances Total: " + str(sum(each["BillableServiceInstances"] for each in found.values()))
        )
        rows = [[name, str(found[name]["Services"]), str(found[name]["ServiceInstances"])] for name in sorted(found)]
        given.out(table([["Datacenter", "Services", "Service instances"], *rows]))
    if not given.values["only-billable"]:
        kinds = [
            [name, kind, str(count)]
            for name in sorted(found)
            for kind, count in sorted(found[name]["ConnectServiceInstances"].items())
        ]
        given.out(table([["Datacenter", "Type", "Connect service instances"], *kinds]))
    return 0


#: Lines of one server in `autopilot state`, and their fields in the API.
_STATE_LINES: Final = (
    ("Name", "Name"),
    ("Address", "Address"),
    ("Version", "Version"),
    ("Status", "Status"),
    ("Node Type", "NodeType"),
    ("Node Status", "NodeStatus"),
    ("Healthy", "Healthy"),
    ("Last Contact", "LastContact"),
    ("Last Term", "LastTerm"),
    ("Last Index", "LastIndex"),
)


@command(
    "operator autopilot state",
    "Display the current Autopilot state",
    usage="operator autopilot state [options]",
    about="""
Displays how the servers of the quorum do: which one leads, which ones vote,
who is healthy, and how many may fail without an outage.
""",
    flags=[FORMAT],
    uses_agent=True,
    uses_servers=True,
)
def state(given: Invocation) -> int:
    """Print the whole, then each server."""
    given.no_arguments()
    try:
        found = given.client.get("/v1/operator/autopilot/state", given.query)
    except ClientError as error:
        say(error, "Error querying Autopilot state")
        return 1
    if given.values["format"] == "json":
        given.out(as_json(found))
        return 0
    lines = [
        f"Healthy:                      {str(found['Healthy']).lower()}",
        f"Failure Tolerance:            {found['FailureTolerance']}",
        f"Optimistic Failure Tolerance: {found['OptimisticFailureTolerance']}",
        f"Leader:                       {found['Leader']}",
        "Voters:",
        *(f"   {voter}" for voter in found["Voters"]),
        "Servers:",
    ]
    for server_id, server in sorted(found["Servers"].items()):
        lines.append(f"   {server_id}")
        for title, name in _STATE_LINES:
            value = server[name]
            shown = str(value).lower() if isinstance(value, bool) else value
            lines.append(f"      {title + ':':<14} {shown}")
    given.out("\n".join(lines))
    return 0
