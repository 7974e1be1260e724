"""Translation of addresses for clients in other datacenters (`translate_wan_addrs`).

Tagged addresses replace the others: `wan_ipv4`, `wan_ipv6` or `wan`, whichever exists first; the port of a service is
that of its `wan` address. Recorded from a real agent.
"""

from typing import Any, Final

from consulpy.structs.node import Node
from consulpy.structs.service import CheckServiceNode, NodeService, ServiceNode

_WAN: Final = "wan"
_TAGS: Final = ("wan_ipv4", "wan_ipv6", _WAN)


def translate(reply: Any) -> None:
    """Translate the addresses of all nodes and services in a reply."""
    for name in ("nodes", "service_nodes"):
        for row in getattr(reply, name, None) or ():
            _translate_row(row)
    found = getattr(reply, "node_services", None)
    if found is not None and hasattr(found, "node"):
        if found.node is not None:
            _translate_row(found.node)
        services = found.services or ()
        for service in services.values() if isinstance(services, dict) else services:
            _translate_row(service)


def _translate_row(row: Any) -> None:
    if isinstance(row, Node):
        row.address = _node_address(row.tagged_addresses) or row.address
    elif isinstance(row, NodeService):
        row.address, row.port = _service_place(row.tagged_addresses, row.address, row.port)
    elif isinstance(row, CheckServiceNode):
        if row.node is not None:
            _translate_row(row.node)
        if row.service is not None:
            _translate_row(row.service)
    elif isinstance(row, ServiceNode):
        row.address = _node_address(row.tagged_addresses) or row.address
        row.service_address, row.service_port = _service_place(
            row.service_tagged_addresses, row.service_address, row.service_port
        )


def _node_address(tagged: dict[str, str] | None) -> str:
    return next((tagged[tag] for tag in _TAGS if tagged.get(tag)), "") if tagged else ""


def _service_place(tagged: dict[str, Any] | None, address: str, port: int) -> tuple[str, int]:
    places = tagged or {}
    address = next((places[tag].address for tag in _TAGS if tag in places and places[tag].address), address)
    return address, (places[_WAN].port if _WAN in places and places[_WAN].port else port)
