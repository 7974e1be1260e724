"""`consulpy catalog nodes|services|datacenters`."""

from consulpy.cli.command import Invocation, UsageError, command, group
from consulpy.cli.format import FILTER, FORMAT, as_json
from consulpy.cli.main import say
from consulpy.cli.table import table
from consulpy.client import ClientError
from consulpy.codec.printable import printable
from consulpy.gocompat.flag import Flag, switch

group(
    "catalog",
    "Interact with the catalog",
    """
This command has subcommands for interacting with the catalog. The
catalog should not be confused with the agent, although the APIs and
responses may be similar.

Here are some simple examples, and more detailed examples are available
in the subcommands or the documentation.

List all datacenters:

    $ consulpy catalog datacenters

List all nodes:

    $ consulpy catalog nodes

List all services:

    $ consulpy catalog services

For more examples, ask for subcommand help or view the documentation.
""",
)


def equals_pair(text: str) -> tuple[str, str]:
    """A pair from `key=value`. Raises `ValueError` with Consul's text."""
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f'Missing "=" value in argument: {text}')
    return name, value


_META = Flag(
    "node-meta",
    "Metadata to filter nodes with the given `key=value` pairs. This flag may be specified multiple times to filter on "
    "multiple sources of metadata.",
    equals_pair,
    many=True,
    placeholder="key=value",
)


def _meta(given: Invocation) -> list[str]:
    return [f"{name}:{value}" for name, value in given.values["node-meta"]]


@command(
    "catalog datacenters",
    "Lists all known datacenters",
    usage="catalog datacenters [options]",
    about="""
Retrieves the list of all known datacenters. This datacenters will be sorted
in ascending order based on the estimated median round trip time from the
servers in this datacenter to the servers in the other datacenters.
""",
    flags=[FORMAT],
    uses_agent=True,
    uses_servers=True,
)
def datacenters(given: Invocation) -> int:
    """Print the names, one a line."""
    given.no_arguments()
    try:
        found = given.client.datacenters()
    except ClientError as error:
        say(error, "Error listing datacenters")
        return 1
    given.out(as_json(found) if given.values["format"] == "json" else "\n".join(found))
    return 0


@command(
    "catalog nodes",
    "Lists all nodes in the given datacenter",
    usage="catalog nodes [options]",
    about="""
Retrieves the list nodes registered in a given datacenter. By default, the
datacenter of the local agent is queried.
""",
    flags=[
        Flag(
            "detailed",
            "Output detailed information about the nodes including their addresses and metadata.",
            switch,
            default=False,
        ),
        FILTER,
        Flag(
            "near",
            "Node name to sort the node list in ascending order based on estimated round-trip time from that node.",
            default="",
            placeholder="string",
        ),
        _META,
        Flag("service", "Service `id or name` to filter nodes.", default="", placeholder="id or name"),
        FORMAT,
    ],
    uses_agent=True,
    uses_servers=True,
)
def nodes(given: Invocation) -> int:
    """Print the nodes as a table."""
    given.no_arguments()
    values = given.values
    params = {
        **given.query,
        "near": values["near"] or None,
        "node-meta": _meta(given),
        "filter": values["filter"] or None,
    }
    try:
        if values["service"]:
            instances = given.client.service_nodes(values["service"], **params)
            found = [{**one, "Meta": one.get("NodeMeta")} for one in instances]  # a row for each, as in Consul
        else:
            found = given.client.nodes(**params)
    except ClientError as error:
        say(error, "Error listing nodes")
        return 1
    if values["format"] == "json":
        given.out(as_json(found))
        return 0
    if not found:
        given.err("No nodes match the given query - try expanding your search.")
        return 0
    rows = [[one["Node"], one.get("ID", ""), one["Address"], one.get("Datacenter", "")] for one in found]
    headings = ["Node", "ID", "Address", "DC"]
    if not values["detailed"]:
        given.out(table([[name, node_id[:8], *rest] for name, node_id, *rest in rows], headings))
        return 0
    more = [[_pairs(one.get("TaggedAddresses")), _pairs(one.get("Meta"))] for one in found]
    given.out(
        table([[*row, *added] for row, added in zip(rows, more, strict=True)], [*headings, "TaggedAddresses", "Meta"])
    )
    return 0


def _pairs(mapping: dict[str, str] | None) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted((mapping or {}).items()))


@command(
    "catalog services",
    "Lists all registered services in a datacenter",
    usage="catalog services [options]",
    about="""
Retrieves the list services registered in a given datacenter. By default, the
datacenter of the local agent is queried.
""",
    flags=[
        FILTER,
        Flag("node", "Node `id or name` for which to list services.", default="", placeholder="id or name"),
        _META,
        Flag(
            "tags",
            "Display each service's tags as a comma-separated list beside each service entry.",
            switch,
            default=False,
        ),
        FORMAT,
    ],
    uses_agent=True,
    uses_servers=True,
)
def services(given: Invocation) -> int:
    """Print the names of services, with `-tags` in a table with their tags."""
    given.no_arguments()
    node = given.values["node"]
    if node and given.values["filter"]:
        raise UsageError("-filter and -node cannot be combined")
    try:
        if node:
            found = _of_node(given, node)
        else:
            chosen = {"node-meta": _meta(given), "filter": given.values["filter"] or None}
            found = given.client.services(**given.query, **chosen)
    except ClientError as error:
        say(error, "Error listing services for node" if node else "Error listing services")
        return 1
    if given.values["format"] == "json":
        given.out(as_json(found))
        return 0
    if not found:
        given.err("No services match the given query - try expanding your search.")
        return 0
    if given.values["tags"]:
        given.out(table([[name, ",".join(sorted(found[name]))] for name in sorted(found)]))
    else:
        given.out("\n".join(map(printable, sorted(found))))
    return 0


def _of_node(given: Invocation, node: str) -> dict[str, list[str]]:
    registered = (given.client.node_services(node, **given.query) or {}).get("Services") or {}
    found: dict[str, set[str]] = {}
    for one in registered.values():
        found.setdefault(one["Service"], set()).update(one.get("Tags") or [])
    return {name: sorted(tags) for name, tags in found.items()}
