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
    count = server.metrics.incr
    count(f"{asked}.query", 1, service)
    if request.service_tag:
        count(f"{asked}.query-tag", 1, {**service, "tag": request.service_tag})
    if request.service_tags:
        count(f"{asked}.query-tags", 1, {**service, "tag": ",".join(sorted(request.service_tags))})
    if not found:
        count(f"{asked}.not-found", 1, service)
