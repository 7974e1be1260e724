"""The form in which config entries are stored. Source: answers of Consul 1.8.7 (docs/wire/discovery-chains.md)."""

import dataclasses
from typing import Any, Final

from consulpy.connect.discovery_chain.graph import normalized_weight
from consulpy.connect.discovery_chain.request import DEFAULT_NAMESPACE
from consulpy.structs.config_entry import (
    GLOBAL,
    IngressGateway,
    ProxyDefaults,
    Route,
    ServiceDefaults,
    ServiceRouter,
    ServiceSplitter,
)
from consulpy.structs.newer_config_fields import without_empty

_TCP: Final = "tcp"


def normalized(entry: Any, kind: str) -> Any:
    """A copy of an entry with this kind, and protocols, methods, weights and fixed names as Consul stores them."""
    new = dataclasses.replace(entry, kind=kind or entry.kind)
    if isinstance(new, ProxyDefaults):
        new.name = GLOBAL
        new.config = _with_floats(new.config)
    elif isinstance(new, ServiceDefaults):
        new.protocol = new.protocol.lower()
    elif isinstance(new, ServiceRouter) and new.routes:
        new.routes = [_route(each) for each in new.routes]
    elif isinstance(new, ServiceSplitter) and new.splits:
        new.splits = [dataclasses.replace(each, weight=normalized_weight(each.weight)) for each in new.splits]
    elif isinstance(new, IngressGateway) and new.listeners:
        new.listeners = [dataclasses.replace(each, protocol=each.protocol.lower() or _TCP) for each in new.listeners]
    return without_empty(new)


def _with_floats(value: Any) -> Any:
    """Free settings with all numbers as Go decodes them from JSON: float64."""
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, dict):
        return {key: _with_floats(each) for key, each in value.items()}
    return [_with_floats(each) for each in value] if isinstance(value, list) else value


def _route(route: Route) -> Route:
    """Methods in upper case; only where there are any, the destination gets its namespace."""
    http = route.match.http if route.match is not None else None
    if http is None or not http.methods:
        return route
    methods = dataclasses.replace(http, methods=[each.upper() for each in http.methods])
    match = dataclasses.replace(route.match, http=methods) if route.match is not None else None
    destination = route.destination
    if destination is not None and not destination.namespace:
        destination = dataclasses.replace(destination, namespace=DEFAULT_NAMESPACE)
    return dataclasses.replace(route, match=match, destination=destination)
