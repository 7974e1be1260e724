"""Counters of service look-ups, labelled with the name of the service, as in Consul."""

from collections.abc import Sized
from typing import TYPE_CHECKING

from consulpy.rpc.dependencies import DependencySet
from consulpy.state.watch import WatchSet
from consulpy.structs.requests import ServiceRequest

if TYPE_CHECKING:
    from consulpy.rpc.server import Server


def count_look_up(
    server: "Server", family: str, request: ServiceRequest, found: Sized | None, watch: WatchSet | None
) -> None:
    """Count a look-up of `family` ("health" or "catalog") with the result `found`; record that in `watch`."""
    prefix = f"{family}.{'connect' if request.connect else 'service'}"
    service = {"service": request.service_name}
    names = [(f"{prefix}.query", service)]
    if request.service_tag:
        names.append((f"{prefix}.query-tag", {**service, "tag": request.service_tag}))
    if request.service_tags:
        names.append((f"{prefix}.query-tags", {**service, "tag": ",".join(sorted(request.service_tags))}))
    if not found:
        names.append((f"{prefix}.not-found", service))
    for name, labels in names:
        server.metrics.incr(name, 1, labels)
    if isinstance(watch, DependencySet):
        watch.counts += names
