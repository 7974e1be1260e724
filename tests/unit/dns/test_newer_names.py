"""Names of Consul 1.14 and 1.15, and faults of 1.19's DNS that are not ours (Consul's issues 21325, 21560, 21580)."""

from typing import Any

import pytest
from twisted.names import dns

from consulpy.dns.config import DnsConfig
from consulpy.structs.node import Node
from consulpy.structs.prepared_query import QueryExecuteReply
from consulpy.structs.requests import CheckServiceNodesReply, NodeServicesReply
from consulpy.structs.service import CheckServiceNode, NodeService
from tests.harness.catalog import packet
from tests.unit.dns.test_lookups import Calls, ask

NAMES = [
    "web.service.consul",
    "web.service.dc1.consul",
    "web.service.default.ns.consul",
    "web.service.default.ap.consul",
    "web.service.dc1.dc.consul",
    "web.service.default.ns.default.ap.dc1.dc.consul",
    "_web._tcp.service.default.ns.dc1.dc.consul",
    "_web._tcp.default.ap.consul",
    "WEB.Service.Default.NS.consul",
    "web.connect.default.ns.dc1.dc.consul",
    "web.ingress.default.ap.consul",
    "q.query.default.ns.dc1.dc.consul",
    "_q._tcp.query.consul",
    "_q._tcp.query.dc1.dc.consul",
]


def instances() -> list[CheckServiceNode]:
    """On nodes with other addresses, each at an address and a port of its own."""
    found = []
    for number in range(1, 6):
        service = NodeService(service="web", address=f"10.9.0.{number}", port=8000 + number)
        found.append(
            CheckServiceNode(Node(node=f"n{number}", address=f"10.0.0.{number}", datacenter="dc1"), service, [])
        )
    return found


def answer(method: str, request: Any) -> Any:
    if method == "PreparedQuery.Execute":
        return QueryExecuteReply(service="web", nodes=instances(), datacenter="dc1")
    if method == "Catalog.NodeServices":
        return NodeServicesReply()
    return CheckServiceNodesReply(nodes=instances())


@pytest.mark.parametrize("name", NAMES)
def test_every_instance_has_a_target_of_its_own_with_its_address_and_port(name: str) -> None:
    message, _ = ask(DnsConfig(udp_answer_limit=8), Calls(answer), packet(name, dns.SRV))
    addresses = {str(each.name): each.payload.dottedQuad() for each in message.additional if each.type == dns.A}
    found = {addresses[str(each.payload.target)]: each.payload.port for each in message.answers}
    assert found == {f"10.9.0.{number}": 8000 + number for number in range(1, 6)}
    assert {str(each.payload.target) for each in message.answers} == {
        f"0a0900{number:02x}.addr.dc1.consul" for number in range(1, 6)
    }


@pytest.mark.parametrize("name", NAMES[:6])
def test_addresses_are_those_of_the_instances(name: str) -> None:
    message, _ = ask(DnsConfig(udp_answer_limit=8), Calls(answer), packet(name, dns.A))
    assert sorted(each.payload.dottedQuad() for each in message.answers) == [
        f"10.9.0.{number}" for number in range(1, 6)
    ]
    assert {str(each.name) for each in message.answers} == {name}


@pytest.mark.parametrize("kind", [dns.A, dns.AAAA, dns.SRV, dns.ALL_RECORDS, dns.TXT])
@pytest.mark.parametrize(
    "name",
    [
        "web.virtual.consul",
        "web.virtual.default.ns.consul",
        "web.service.other.peer.consul",
        "web.service.some.sg.consul",
        "web.service.team.ns.consul",
        "web.service.default.ns.team.ap.consul",
        "n1.node.team.ap.consul",
        "web.service.ns.consul.",
        "web.service.dc1.dc.default.ns.consul",
    ],
)
def test_what_needs_a_mesh_peers_or_enterprise_does_not_exist(name: str, kind: int) -> None:
    calls = Calls(answer)
    message, _ = ask(DnsConfig(), calls, packet(name, kind))
    if name == "web.service.ns.consul.":  # as in 1.8.7: a datacenter of this name
        assert calls.requests[0][1].datacenter == "ns"
    else:
        assert (message.rCode, message.answers, calls.requests) == (dns.ENAME, [], [])
