"""Whether a change of the config entries leaves every discovery chain and ingress gateway that it touches intact.

Every server of a quorum decides this when it applies the change, so it must decide as Consul does: one that is refused
changes nothing. Source: docs/wire/discovery-chains.md.
"""

from collections.abc import Iterable
from typing import Any, Final, Protocol

from consulpy.connect.discovery_chain.compiler import compile_chain
from consulpy.connect.discovery_chain.links import WILDCARD, ingress_services
from consulpy.connect.discovery_chain.request import DEFAULT_PROTOCOL, ChainQuery, GraphError
from consulpy.gocompat.literals import quoted
from consulpy.structs.config_entry import PROXY_DEFAULTS, IngressGateway
from consulpy.structs.discovery_chain import RESOLVER, Chain
from consulpy.structs.gateway import INGRESS, TERMINATING

#: Kinds that make a chain.
CHAIN_KINDS: Final = ("service-router", "service-splitter", "service-resolver")
#: Names are not looked at here: a chain is compiled for its errors and its protocol.
_DATACENTER: Final = "dc1"
_TRUST_DOMAIN: Final = "b6fc9da3-03d4-4b5a-9134-c045e9b20152.consul"


class Entries(Protocol):
    """The config entries before the change."""

    def find(self, kind: str, name: str) -> Any:
        """The entry of exactly this name, or None."""

    def of_kind(self, kind: str) -> Iterable[Any]:
        """All entries of a kind."""

    def linking_to(self, service: str) -> Iterable[Any]:
        """The entries that name this service (`links.linked_services`)."""


def check_change(entries: Entries, kind: str, name: str, new: Any) -> None:
    """Raises `GraphError` if replacing an entry by `new` (None: deleting it) is not allowed."""
    if kind in (INGRESS, TERMINATING):
        _check_clash(entries, kind, name, new)
    chains, gateways = _touched(entries, kind, name)
    if kind == INGRESS:
        gateways = {name: new} if new is not None else {}
        chains.pop(name, None)
    for gateway in gateways.values():
        chains.update(dict.fromkeys(ingress_services(gateway)))

    def find(wanted_kind: str, wanted: str) -> Any:
        if wanted_kind == kind and wanted == name:
            return new
        return entries.find(wanted_kind, wanted)

    compiled = {
        service: compile_chain(ChainQuery(service, _DATACENTER, _DATACENTER, _TRUST_DOMAIN), find) for service in chains
    }
    for gateway in gateways.values():
        _check_protocols(gateway, compiled, is_written=gateway is new)


def _touched(entries: Entries, kind: str, name: str) -> tuple[dict[str, None], dict[str, IngressGateway]]:
    """The names of the chains, and the ingress gateways, that a change can break."""
    if kind == PROXY_DEFAULTS:
        chains = dict.fromkeys(entry.name for each in CHAIN_KINDS for entry in entries.of_kind(each))
        return chains, {entry.name: entry for entry in entries.of_kind(INGRESS)}
    chains = {name: None}
    gateways: dict[str, IngressGateway] = {}
    for entry in entries.linking_to(name):
        if isinstance(entry, IngressGateway):
            gateways[entry.name] = entry
        else:
            chains[entry.name] = None
    return chains, gateways


def _check_clash(entries: Entries, kind: str, name: str, new: Any) -> None:
    """A name, in whatever case, is that of one kind of gateway only."""
    other = TERMINATING if kind == INGRESS else INGRESS
    if new is not None and any(entry.name.lower() == name.lower() for entry in entries.of_kind(other)):
        raise GraphError(
            f"cannot create a {quoted(kind)} config entry with name {quoted(name)}, "
            f"a {quoted(other)} config entry with that name already exists"
        )


def _check_protocols(gateway: IngressGateway, chains: dict[str, Chain], *, is_written: bool) -> None:
    """Each service of a listener has its protocol.

    Of a tcp listener, while something else than the gateway is written: only where requests are routed or split.
    """
    for listener in gateway.listeners or ():
        for service in listener.services or ():
            if service.name == WILDCARD:
                continue
            chain = chains[service.name]
            is_plain = chain.start_node.startswith(RESOLVER)
            if listener.protocol == DEFAULT_PROTOCOL and is_plain and not is_written:
                continue
            if chain.protocol != listener.protocol:
                raise GraphError(
                    f"service {quoted(service.name)} has protocol {quoted(chain.protocol)}, which does not match "
                    f"defined listener protocol {quoted(listener.protocol)}"
                )
