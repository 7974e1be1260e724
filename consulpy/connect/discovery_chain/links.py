"""Which other services a config entry names: a change of their entries can break its chain."""

from typing import Any, Final

from consulpy.structs.config_entry import IngressGateway, ServiceResolver, ServiceRouter, ServiceSplitter

#: In an ingress gateway: all services.
WILDCARD: Final = "*"


def linked_services(entry: Any) -> tuple[str, ...]:
    """The names of the services that an entry leads to, without its own, each once."""
    names: list[str] = []
    if isinstance(entry, ServiceRouter):
        names = [route.destination.service for route in entry.routes or () if route.destination is not None]
    elif isinstance(entry, ServiceSplitter):
        names = [split.service for split in entry.splits or ()]
    elif isinstance(entry, ServiceResolver):
        names = [each.service for each in (entry.failover or {}).values()]
        if entry.redirect is not None:
            names.append(entry.redirect.service)
    elif isinstance(entry, IngressGateway):
        return tuple(dict.fromkeys(ingress_services(entry)))
    return tuple(dict.fromkeys(name for name in names if name and name != entry.name))


def ingress_services(entry: IngressGateway) -> list[str]:
    """The services that an ingress gateway lists by name."""
    listed = [service.name for listener in entry.listeners or () for service in listener.services or ()]
    return [name for name in listed if name != WILDCARD]
