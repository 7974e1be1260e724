"""How often which service is asked for, and not found: counted with the service's name as a label, as Consul does."""

from collections.abc import Sized
from typing import TYPE_CHECKING

from consulpy.structs.requests import ServiceRequest

if TYPE_CHECKING:
    from consulpy.rpc.server import Server


def count_look_up(server: "Server", family: str, request: ServiceRequest, found: Sized | None) -> None:
    """One look-up of `family` ("health" or "catalog") that gave `found`."""
    asked = f"{family}.{'connect' if request.connect else 'service'}"
    service = {"service": request.service_name}
    names = [(f"{asked}.query", service)]
    if request.service_tag:
        names.append((f"{asked}.query-tag", {**service, "tag": request.service_tag}))
    if request.service_tags:
        names.append((f"{asked}.query-tags", {**service, "tag": ",".join(sorted(request.service_tags))}))
    if not found:
        names.append((f"{asked}.not-found", service))
    for name, labels in names:
        server.metrics.incr(name, 1, labels)
    if server.noting is not None:
        server.noting.counts += names
