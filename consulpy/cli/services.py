"""`consulpy services register|deregister`."""

from collections.abc import Iterable
from typing import Any, Final

from consulpy.cli.catalog import equals_pair
from consulpy.cli.command import Invocation, command, group
from consulpy.cli.main import say
from consulpy.client import ClientError
from consulpy.config.disk import SUFFIXES, Source, read_path
from consulpy.config.values import Reading
from consulpy.errors import ConfigError
from consulpy.gocompat.flag import Flag, whole
from consulpy.proxy.settings import split_address

group(
    "services",
    "Interact with services",
    """
This command has subcommands for interacting with services. The subcommands
default to working with services registered with the local agent. Please see
the "consulpy catalog" command for interacting with the entire catalog.

For more examples, ask for subcommand help or view the documentation.
""",
)

#: Top-level names of a body of the HTTP API, which are not valid in a file.
_OF_THE_API: Final = frozenset({"Name", "ID", "Tags", "Port", "Address", "Meta"})


@command(
    "services register",
    "Register services with the local agent",
    usage="services register [options] [FILE...]",
    about="""
Register one or more services using the local agent API. Services can
be registered from standard configuration files (HCL or JSON) or
using flags. The service is registered and the command returns. The caller
must remember to call "consulpy services deregister" or a similar API to
deregister the service when complete.

    $ consulpy services register web.json

Additional flags and more advanced use cases are detailed below.
""",
    flags=[
        Flag(
            "address",
            "Address of the service to register for arg-based registration.",
            default="",
            placeholder="string",
        ),
        Flag(
            "id",
            "ID of the service to register for arg-based registration. If this isn't set, it will default to the -name "
            "value.",
            default="",
            placeholder="string",
        ),
        Flag("kind", "The services 'kind'", default="", placeholder="string"),
        Flag(
            "meta",
            "Metadata to set on the service, formatted as key=value. This flag may be specified multiple times to set "
            "multiple meta fields.",
            equals_pair,
            many=True,
        ),
        Flag("name", "Name of the service to register for arg-based registration.", default="", placeholder="string"),
        Flag(
            "port", "Port of the service to register for arg-based registration.", whole, default=0, placeholder="int"
        ),
        Flag(
            "tag",
            "Tag to add to the service. This flag can be specified multiple times to set multiple tags.",
            many=True,
        ),
        Flag(
            "tagged-address",
            "Tagged address to set on the service, formatted as key=value. This flag may be specified multiple times "
            "to set multiple addresses.",
            equals_pair,
            many=True,
        ),
    ],
    uses_agent=True,
    uses_servers=True,
)
def register(given: Invocation) -> int:
    """Register the services of the files, or that of the flags."""
    from_flags = any(given.values[name] for name in ("address", "id", "kind", "meta", "name", "port", "tag"))
    if not given.arguments and not from_flags:
        given.err("Service registration requires at least one argument or flags.")
        return 1
    if given.arguments and from_flags:
        given.err("Service registration requires arguments or -id, not both.")
        return 1
    for definition in _from_files(given) if given.arguments else [_from_flags(given.values)]:
        name = definition.get("Name", "")
        try:
            given.client.register_service(definition)
        except ClientError as error:
            say(error, f'Error registering service "{name}"')
            return 1
        given.out(f"Registered service: {name}")
    return 0


@command(
    "services deregister",
    "Deregister services with the local agent",
    usage="services deregister [options] [FILE...]",
    about="""
Deregister one or more services that were previously registered with
the local agent.

    $ consulpy services deregister web.json db.json

The -id flag may be used to deregister a single service by ID:

    $ consulpy services deregister -id=web

Services are deregistered from the local agent catalog. This command must
be run against the same agent where the service was registered.
""",
    flags=[Flag("id", "ID to delete. This must not be set if arguments are given.", default="", placeholder="string")],
    uses_agent=True,
    uses_servers=True,
)
def deregister(given: Invocation) -> int:
    """Deregister the services of the files, or that of -id."""
    if not given.arguments and not given.values["id"]:
        given.err("Service deregistration requires at least one argument or -id.")
        return 1
    if given.arguments and given.values["id"]:
        given.err("Service deregistration requires arguments or -id, not both.")
        return 1
    ids = [given.values["id"]]
    if given.arguments:
        ids = [definition.get("ID") or definition.get("Name", "") for definition in _from_files(given)]
    for service_id in ids:
        try:
            given.client.deregister_service(service_id)
        except ClientError as error:
            say(error, f'Error registering service "{service_id}"')
            return 1
        given.out(f"Deregistered service: {service_id}")
    return 0


def _from_flags(values: dict[str, Any]) -> dict[str, Any]:
    definition = {
        "Kind": values["kind"],
        "ID": values["id"],
        "Name": values["name"],
        "Port": values["port"],
        "Address": values["address"],
        "Tags": values["tag"],
        "Meta": dict(values["meta"]),
    }
    tagged: dict[str, Any] = {}
    for name, text in values["tagged-address"]:
        try:
            address, port = split_address(text)
        except ValueError as error:
            raise ConfigError(f"Invalid Tagged Address: {error}") from None
        tagged[name] = {"Address": address, "Port": port}
    definition["TaggedAddresses"] = tagged
    return {name: value for name, value in definition.items() if value}


def _sources(path: str) -> list[Source]:
    try:
        return read_path(path)
    except ConfigError as error:
        raise ConfigError(f"Error: {error}") from None


def _from_files(given: Invocation) -> Iterable[dict[str, Any]]:
    """The definitions of files in the API's form. Raises `ConfigError`."""
    for path in given.arguments:
        if path.rpartition(".")[2] not in [suffix[1:] for suffix in SUFFIXES] and "." in path.rpartition("/")[2]:
            raise ConfigError(f"{path}: expected a name that ends in .hcl or .json")
        for source in _sources(path):
            if source.tree.keys() & _OF_THE_API:
                raise ConfigError(
                    f"{path}: this is a service as the HTTP API takes it; in a file it stands in a block: "
                    '{"service": {"name": ...}}'
                )
            yield from Reading(source).values.get("services", ())
