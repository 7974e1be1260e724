"""Nodes and services with an address of each family: tagged addresses by the type of the question. Pure.

A question for A is answered with `lan_ipv4`, for AAAA with `lan_ipv6`, of any other type with `lan_ipv6`, else
`lan_ipv4`; without a fitting one, with the address itself. For instances of another datacenter whose addresses are
translated (`translate_wan_addrs`) it is `wan_ipv4` and `wan_ipv6`. Source: answers of Consul 1.8.7.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from twisted.names import dns

from consulpy.structs.node import Node
from consulpy.structs.service import CheckServiceNode, NodeService

#: Type of question -> the tags that fit, best first; `_BOTH`: of all other types.
_TAGS: Final = {dns.A: ("lan_ipv4",), dns.AAAA: ("lan_ipv6",)}
_BOTH: Final = ("lan_ipv6", "lan_ipv4")
_WAN_TAGS: Final = {dns.A: ("wan_ipv4",), dns.AAAA: ("wan_ipv6",)}
_WAN_BOTH: Final = ("wan_ipv6", "wan_ipv4")


def address_of_node(node: Node, kind: int, *, wan: bool) -> str:
    """The address of a node that answers a question of type `kind`. `wan`: whether addresses are translated."""
    tagged = node.tagged_addresses
    return (tagged and _first(tagged, kind, wan)) or node.address


def for_question(rows: Sequence[CheckServiceNode], kind: int, *, wan: bool) -> list[CheckServiceNode]:
    """The instances with the addresses that answer a question of type `kind`.

    A tagged address of the node becomes the service's if that has none, as it is not what the node's name leads to.
    """
    return [with_address_for(row, kind, wan=wan) for row in rows]


def with_address_for(row: CheckServiceNode, kind: int, *, wan: bool) -> CheckServiceNode:
    """One of these instances."""
    service, node = row.service, row.node
    if service is None or node is None:
        return row
    address = _address_of_service(service, kind, wan)
    if not address:
        of_node = address_of_node(node, kind, wan=wan)
        address = of_node if of_node != node.address else ""
    return row if address == service.address else replace(row, service=replace(service, address=address))


def _address_of_service(service: NodeService, kind: int, wan: bool) -> str:
    tagged = service.tagged_addresses
    found = tagged and _first(tagged, kind, wan)
    return (found and str(found.address)) or service.address


def _first(tagged: Mapping[str, Any], kind: int, wan: bool) -> Any:
    tags = _WAN_TAGS.get(kind, _WAN_BOTH) if wan else _TAGS.get(kind, _BOTH)
    return next((tagged[tag] for tag in tags if tagged.get(tag)), None)
