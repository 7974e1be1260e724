"""Tagged addresses of both families, by the type of the question; values as Consul 1.8.7 answers them."""

import pytest
from twisted.names import dns

from consulpy.dns.dual_stack import address_of_node, for_question
from consulpy.structs.node import Node
from consulpy.structs.service import CheckServiceNode, NodeService, ServiceAddress

V4, V6 = "192.0.2.4", "2001:db8::6"
WAN4, WAN6 = "198.51.100.4", "2001:db8::77"
ALL = {"lan": "192.0.2.99", "lan_ipv4": V4, "lan_ipv6": V6, "wan_ipv4": WAN4, "wan_ipv6": WAN6}
OWN = "192.0.2.1"


@pytest.mark.parametrize(
    ("tagged", "kind", "wan", "address"),
    [
        (ALL, dns.A, False, V4),
        (ALL, dns.AAAA, False, V6),
        (ALL, dns.SRV, False, V6),
        (ALL, dns.ALL_RECORDS, False, V6),
        ({"lan_ipv4": V4}, dns.ALL_RECORDS, False, V4),
        ({"lan_ipv4": V4}, dns.AAAA, False, OWN),
        ({"lan_ipv6": V6}, dns.A, False, OWN),
        ({"lan_ipv6": ""}, dns.AAAA, False, OWN),
        ({"lan": V4, "wan": WAN4}, dns.A, False, OWN),
        (None, dns.A, False, OWN),
        (ALL, dns.A, True, WAN4),
        (ALL, dns.AAAA, True, WAN6),
        ({"lan_ipv4": V4}, dns.A, True, OWN),
    ],
)
@pytest.mark.parametrize("of_node", [True, False], ids=["node", "service"])
def test_which_address_answers(
    tagged: dict[str, str] | None, kind: int, wan: bool, address: str, of_node: bool
) -> None:
    if of_node:
        assert address_of_node(Node(node="n", address=OWN, tagged_addresses=tagged), kind, wan=wan) == address
        return
    places = {name: ServiceAddress(each, 1) for name, each in tagged.items() if each} if tagged else None
    row = CheckServiceNode(Node(node="n", address="10.0.0.1"), NodeService(address=OWN, tagged_addresses=places), [])
    (found,) = for_question([row], kind, wan=wan)
    assert found.service is not None
    assert found.service.address == address


def test_a_service_without_an_address_is_at_its_nodes_one_of_that_family() -> None:
    node = Node(node="n", address=OWN, tagged_addresses={"lan_ipv6": V6})
    row = CheckServiceNode(node, NodeService(service="s"), [])
    addresses = {}
    for kind in (dns.A, dns.AAAA, dns.SRV):
        (found,) = for_question([row], kind, wan=False)
        assert found.service is not None
        addresses[kind] = found.service.address
    assert addresses == {dns.A: "", dns.AAAA: V6, dns.SRV: V6}  # "": the node's name leads to it
