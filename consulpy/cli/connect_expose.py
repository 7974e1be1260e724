"""`consulpy connect expose`: puts a service behind an ingress gateway, and allows the gateway to connect to it."""

from typing import Any, Final

from consulpy.cli.command import Invocation, command
from consulpy.cli.main import say
from consulpy.client import ClientError
from consulpy.gocompat.flag import Flag, whole

_STRING: Final = {"default": "", "placeholder": "string"}
_INGRESS: Final = "ingress-gateway"
_DEFAULT_NAMESPACE: Final = "default"
_REFUSED: Final = (
    ("service", "A service name must be given via the -service flag."),
    ("ingress-gateway", "An ingress gateway service must be given via the -ingress-gateway flag."),
    ("port", "A port must be provided via the -port flag."),
)


@command(
    "connect expose",
    "Expose a Connect-enabled service through an Ingress gateway",
    usage="connect expose [options]",
    about="""
Exposes a Connect-enabled service through the given ingress gateway, using the
given protocol and port.
""",
    flags=[
        Flag(
            "host",
            "Additional DNS hostname to use for routing to this service. Can be specified multiple times.",
            many=True,
        ),
        Flag(
            "ingress-gateway",
            "The name of the ingress gateway service to use. A namespace can optionally be specified as a prefix via "
            "the 'namespace/service' format. (Required)",
            **_STRING,  # type: ignore[arg-type]
        ),
        Flag(
            "port",
            "The listener port to use for the service on the Ingress gateway. (Required)",
            whole,
            default=0,
            placeholder="int",
        ),
        Flag("protocol", "The protocol for the service. Defaults to 'tcp'.", default="tcp", placeholder="string"),
        Flag(
            "service",
            "The name of destination service to expose. A namespace can optionally be specified as a prefix via the "
            "'namespace/service' format. (Required)",
            **_STRING,  # type: ignore[arg-type]
        ),
    ],
    uses_agent=True,
    uses_servers=True,
)
def expose(given: Invocation) -> int:
    """Write the gateway's config entry and the intention."""
    for name, error in _REFUSED:
        if not given.values[name]:
            given.err(error)
            return 1
    for name, what in (("service", "service"), ("ingress-gateway", "ingress gateway")):
        if given.values[name].count("/") > 1:
            given.err(f"Invalid {what} name: target can contain at most one '/'")
            return 1
    service, gateway = (given.values[name].rpartition("/")[2] for name in ("service", "ingress-gateway"))
    try:
        entry = _with_service(given, _entry_of(given, gateway), service)
    except ClientError as error:
        say(error, "Error fetching existing ingress configuration")
        return 1
    if entry is None:
        return 1
    try:
        given.client.put("/v1/config", {"dc": given.query["dc"], "cas": entry.pop("ModifyIndex", 0)}, entry)
    except ClientError as error:
        say(error, "Error writing ingress config entry")
        return 1
    given.out(f'Successfully updated config entry for ingress service "{gateway}"')
    return _allow(given, gateway, service)


def _entry_of(given: Invocation, gateway: str) -> dict[str, Any]:
    """The gateway's config entry, a new one if there is none. Raises `ClientError`."""
    found: dict[str, Any] | None = given.client.find(f"/v1/config/{_INGRESS}/{gateway}", given.query)
    return found or {"Kind": _INGRESS, "Name": gateway, "Listeners": []}


def _with_service(given: Invocation, entry: dict[str, Any], service: str) -> dict[str, Any] | None:
    """The entry with the service on its listener; None after an error was printed."""
    port, protocol = given.values["port"], given.values["protocol"].lower()
    exposed: dict[str, Any] = {"Name": service} | ({"Hosts": given.values["host"]} if given.values["host"] else {})
    listeners = entry.get("Listeners") or []
    entry = {name: value for name, value in entry.items() if name != "CreateIndex"} | {"Listeners": listeners}
    listener = next((each for each in listeners if each["Port"] == port), None)
    if listener is None:
        listeners.append({"Port": port, "Protocol": protocol, "Services": [exposed]})
        return entry
    if listener["Protocol"] != protocol:
        given.err(f'Listener on port {port} already configured with conflicting protocol "{listener["Protocol"]}"')
        return None
    services = listener.get("Services") or []
    for number, each in enumerate(services):
        if each["Name"] == service:
            given.out(f'Updating service definition for "{service}" on listener with port {port}')
            services[number] = exposed
            return entry
    given.out(f'Adding service definition for "{service}" to listener with port {port}')
    listener["Services"] = [*services, exposed]
    return entry


def _allow(given: Invocation, gateway: str, service: str) -> int:
    """Create the intention that lets the gateway connect to the service, unless there is one between them."""
    try:
        intentions = given.client.get("/v1/connect/intentions", given.query) or []
    except ClientError as error:
        say(error, "Error looking up existing intentions")
        return 1
    if any(each["SourceName"] == gateway and each["DestinationName"] == service for each in intentions):
        given.out(f'Intention already exists for "{gateway}" -> "{service}"')
        return 0
    body = {
        "SourceName": gateway,
        "SourceNS": _DEFAULT_NAMESPACE,
        "DestinationName": service,
        "DestinationNS": _DEFAULT_NAMESPACE,
        "SourceType": "consul",
        "Action": "allow",
    }
    try:
        given.client.post("/v1/connect/intentions", {"dc": given.query["dc"]}, body)
    except ClientError as error:
        say(error, "Error creating intention")
        return 1
    given.out(f'Successfully set up intention for "{gateway}" -> "{service}"')
    return 0
