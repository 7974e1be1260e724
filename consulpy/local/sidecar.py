"""The sidecar proxy of a service (`Connect.SidecarService`): its definition with defaults filled in.

No proxy is run: this is the registration of one. Defaults as seen in the responses of a real agent.
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import Final

from consulpy.connect.central_merge import CONNECT_PROXY
from consulpy.errors import BadRequest
from consulpy.gocompat.multierror import format_errors
from consulpy.structs.definition import CheckType, ServiceDefinition
from consulpy.structs.service import NodeService

#: A sidecar's id and name are those of its service with this suffix.
ID_SUFFIX: Final = "-sidecar-proxy"
#: The ports that are assigned to sidecars without one, unless configured.
PORTS: Final = range(21000, 21256)
_NO_PORT: Final = "Bad request: Invalid SidecarService: no port provided for sidecar_service and"
_LOOPBACK: Final = "127.0.0.1"


def check_sidecar(sidecar: ServiceDefinition) -> None:
    """Raises `BadRequest` for a sidecar with an ID or a sidecar of its own."""
    if sidecar.service.id:
        raise BadRequest(format_errors(["A SidecarService cannot specify an ID as this is managed by the agent"]))
    if sidecar.sidecar is not None:
        raise BadRequest(format_errors(["A SidecarService cannot have a nested SidecarService"]))


def complete(
    definition: ServiceDefinition, services: Mapping[str, NodeService], ports: range = PORTS
) -> ServiceDefinition:
    """The sidecar of `definition` with defaults filled in. `services`: of the agent, by id.

    Raises `BadRequest` for members that a sidecar may not have, and when no port of `ports` is free.
    """
    assert definition.sidecar is not None, "only called for services with a sidecar"
    parent, sidecar = definition.service, deepcopy(definition.sidecar)
    service, proxy = sidecar.service, sidecar.service.proxy
    check_sidecar(sidecar)
    service.id = (parent.id or parent.service) + ID_SUFFIX
    service.service = service.service or parent.service + ID_SUFFIX
    service.locally_registered_as_sidecar = True
    service.kind = service.kind or CONNECT_PROXY
    service.tags = service.tags or parent.tags
    service.meta = service.meta or parent.meta
    service.address = service.address or parent.address
    proxy.destination_service_name = proxy.destination_service_name or parent.service
    proxy.destination_service_id = proxy.destination_service_id or parent.id or parent.service
    if proxy.local_service_port == 0 and parent.port > 0:
        proxy.local_service_port = parent.port
    proxy.local_service_address = proxy.local_service_address or _LOOPBACK
    if service.port < 1:
        service.port = _port(service.id, services, ports)
    sidecar.token = sidecar.token or definition.token
    sidecar.checks = sidecar.checks or [
        CheckType(name="Connect Sidecar Listening", tcp=f"{_LOOPBACK}:{service.port}", interval=10_000_000_000),
        CheckType(
            name=f"Connect Sidecar Aliasing {parent.id or parent.service}", alias_service=parent.id or parent.service
        ),
    ]
    return sidecar


def _port(sidecar_id: str, services: Mapping[str, NodeService], ports: range) -> int:
    """The sidecar's present port, or the lowest free one of the range. Raises `BadRequest`."""
    if not ports:
        raise BadRequest(f"{_NO_PORT} auto-assignment disabled in config")
    before = services.get(sidecar_id)
    if before is not None and before.port in ports:
        return before.port
    used = {service.port for service in services.values()}
    for port in ports:
        if port not in used:
            return port
    raise BadRequest(f"{_NO_PORT} none left in the configured range [{ports[0]}, {ports[-1]}]")
