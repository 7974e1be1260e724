"""Addresses that are host names, and names that no packet can hold, as seen in Consul 1.8.7."""

from ipaddress import ip_address
from random import Random
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.names import dns

from consulpy.dns.config import DnsConfig
from consulpy.dns.recursor import Recursor
from consulpy.dns.resolve import Resolver
from consulpy.dns.wire import Malformed, decode
from consulpy.structs.node import Node
from consulpy.structs.prepared_query import QueryDns, QueryExecuteReply
from consulpy.structs.requests import CheckServiceNodesReply, NodeServicesReply
from consulpy.structs.service import CheckServiceNode, NodeService, NodeServices
from tests.harness.catalog import packet

TOO_LONG = "l" * 64 + ".example.com"


class Catalog:
    """Services by name, each the addresses of its instances; nodes by name; the query `q` of the service `web`."""

    def __init__(self, nodes: dict[str, str], **services: list[str]) -> None:
        self.nodes, self.services = nodes, services
        self.meta: dict[str, str] | None = None

    def rows(self, service: str) -> list[CheckServiceNode]:
        return [
            CheckServiceNode(
                Node(node=f"n{number}", address="10.0.0.1", datacenter="dc1", meta=self.meta),
                NodeService(service=service, address=address, port=80 + number),
                [],
            )
            for number, address in enumerate(self.services.get(service, ()))
        ]

    def call(self, method: str, request: Any, dependencies: Any = None) -> "Deferred[Any]":
        if method == "Catalog.NodeServices":
            address = self.nodes.get(request.node)
            node = address and NodeServices(node=Node(node=request.node, address=address, datacenter="dc1"))
            return succeed(NodeServicesReply(node_services=node or None))
        if method == "Health.ServiceNodes":
            return succeed(CheckServiceNodesReply(nodes=self.rows(request.service_name)))
        assert method == "PreparedQuery.Execute"
        is_known = request.query_id_or_name == "q"
        nodes = self.rows("web") if is_known else None
        return succeed(QueryExecuteReply(service="web", nodes=nodes, datacenter="dc1", dns=QueryDns(ttl="9s")))


def ask(catalog: Catalog, name: str, kind: int = dns.A, size: int | None = None, **config: Any) -> dns.Message:
    def no_recursor(*_: Any) -> "Deferred[bytes]":
        raise AssertionError("there is no recursor")

    resolver = Resolver(
        DnsConfig(**config), catalog, Clock().seconds, Random(1), Recursor(no_recursor, Random(1)), lambda _: None
    )
    out: list[Any] = []
    question = decode(packet(name, kind, size) if size else packet(name, kind))
    Deferred.fromCoroutine(resolver.respond(question, udp=True)).addBoth(out.append)
    message = dns.Message()
    message.fromStr(out[0].packet)
    return message


def shown(records: list[Any]) -> list[str]:
    return [
        str(each.payload.name) if each.type == dns.CNAME else str(ip_address(each.payload.address))
        for each in records
        if each.type in (dns.A, dns.AAAA, dns.CNAME)
    ]


def test_a_cname_stands_beside_no_address() -> None:
    """RFC 1034 3.6.2."""
    catalog = Catalog({}, web=["h1.example.com", "10.0.0.7", "h2.example.com"])

    assert shown(ask(catalog, "web.service.consul").answers) == ["10.0.0.7"]
    assert shown(ask(catalog, "web.service.consul", dns.ALL_RECORDS).answers) == ["10.0.0.7"]


def test_of_several_host_names_there_is_one_cname() -> None:
    catalog = Catalog({}, web=[f"h{number}.example.com" for number in range(8)])

    assert len(ask(catalog, "web.service.consul").answers) == 1
    assert len(ask(catalog, "web.service.consul", dns.AAAA).answers) == 1


def test_a_name_that_leads_to_a_service_has_as_many_addresses_as_an_answer_over_udp() -> None:
    catalog = Catalog({"n": "web.service.consul"}, web=[f"10.8.0.{number}" for number in range(1, 61)])

    assert len(ask(catalog, "n.node.consul").answers) == 1 + 3
    assert len(ask(catalog, "n.node.consul", udp_answer_limit=20).answers) == 1 + 8
    assert len(ask(catalog, "n.node.consul", a_record_limit=2).answers) == 1 + 2


def test_of_them_those_of_the_requested_family_come_first() -> None:
    catalog = Catalog({"n": "web.service.consul"}, web=["10.8.0.1", *(f"fd00::{number}" for number in range(1, 9))])

    assert shown(ask(catalog, "n.node.consul").answers)[1] == "10.8.0.1"


def test_a_name_may_lead_to_a_prepared_query() -> None:
    catalog = Catalog({"n": "q.query.consul", "m": "none.query.consul"}, web=["10.0.0.7"], to=["q.query.consul"])

    of_node = ask(catalog, "n.node.consul")

    assert shown(of_node.answers) == ["q.query.consul", "10.0.0.7"]
    assert of_node.answers[1].ttl == 9
    assert shown(ask(catalog, "to.service.consul").answers) == ["q.query.consul", "10.0.0.7"]
    assert shown(ask(catalog, "to.service.consul", dns.SRV).additional) == ["10.0.0.7"]
    assert shown(ask(catalog, "m.node.consul").answers) == ["none.query.consul"]


@pytest.mark.parametrize("name", ["a..example.com", ".example.com", TOO_LONG, "abcdefgh." * 29 + "com"])
@pytest.mark.parametrize("kind", [dns.A, dns.SRV])
def test_a_name_that_no_packet_can_hold_is_no_record(name: str, kind: int) -> None:
    """Consul sends nothing, and the client waits."""
    catalog = Catalog({"n": name}, bad=[name], half=[name, "10.0.0.7"], to=["n.node.consul"])

    assert ask(catalog, "bad.service.consul", kind).answers == []
    assert len(ask(catalog, "half.service.consul", kind).answers) == 1
    assert ask(catalog, "n.node.consul", kind).answers == []
    assert len(ask(catalog, "to.service.consul", kind).answers) == 1


def test_a_node_whose_name_is_no_label_is_named_by_its_address() -> None:
    class Long(Catalog):
        def rows(self, service: str) -> list[CheckServiceNode]:
            node = Node(node="n" * 64, address="10.0.0.1", datacenter="dc1", meta={"a": "b"})
            return [CheckServiceNode(node, NodeService(service="web", port=80), [])]

    (answer,) = ask(Long({}), "web.service.consul", dns.SRV).answers

    payload: Any = answer.payload
    assert str(payload.target) == "0a000001.addr.dc1.consul"


@pytest.mark.parametrize("addresses", [[""] * 6, [f"10.0.1.{number}" for number in range(6)]])
def test_metadata_of_nodes_costs_no_instance_its_place(addresses: list[str]) -> None:
    """As in Consul: where the answer must be cut, the additional section has the targets' addresses only."""
    catalog = Catalog({}, web=addresses)
    catalog.meta = {"note": "x" * 200}

    answer = ask(catalog, "web.service.consul", dns.SRV)

    assert len(answer.answers) == 3
    assert [each.type for each in answer.additional] == [dns.A] * 3


def test_metadata_is_left_out_before_an_instance_is() -> None:
    catalog = Catalog({}, web=["", "10.0.1.1", "q.query.consul", "h.example.com"])
    catalog.meta = {"note": "x" * 200}

    answer = ask(catalog, "web.service.consul", dns.SRV, 600)
    whole = ask(catalog, "web.service.consul", dns.SRV, 4096)

    assert len(answer.answers) == 4
    assert not any(each.type == dns.TXT for each in answer.additional)
    assert sum(each.type == dns.TXT for each in whole.additional) == 4


def edns(name: str, options: str) -> bytes:
    """A question with an OPT record."""
    section = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0\0\1\0\1"
    data = bytes.fromhex(options)
    opt = bytes.fromhex("0000291000 00000000") + len(data).to_bytes(2, "big") + data
    return bytes.fromhex("000701000001000000000001") + section + opt


FIRST, SECOND = "00080007000118000a0102", "00080008000120000a090909"


def answer_to(raw: bytes) -> bytes:
    resolver = Resolver(
        DnsConfig(),
        Catalog({}, web=["10.0.0.7"]),
        Clock().seconds,
        Random(1),
        Recursor(lambda *_: Deferred(), Random(1)),
        lambda _: None,
    )
    out: list[Any] = []
    Deferred.fromCoroutine(resolver.respond(decode(raw), udp=True)).addBoth(out.append)
    made: bytes = out[0].packet
    return made


def test_of_two_client_subnets_the_first_counts() -> None:
    assert answer_to(edns("web.service.consul", FIRST + SECOND)).endswith(bytes.fromhex(FIRST))


def test_the_answer_about_a_query_that_is_not_there_holds_for_all_subnets() -> None:
    """The scope, the fourth byte of the option's data."""
    assert answer_to(edns("none.query.consul", SECOND)).endswith(bytes.fromhex("000120000a090909"))
    assert answer_to(edns("q.query.consul", SECOND)).endswith(bytes.fromhex("000120200a090909"))


@pytest.mark.parametrize(
    ("flags", "answer"), [(0x0300, 0x8301), (0x0120, 0x8121), (0x0180, 0x8181), (0x2000, 0x8001), (0x0400, 0x8001)]
)
def test_a_malformed_question_gets_back_its_flags(flags: int, answer: int) -> None:
    for bad in (b"\1x\0\0", bytes.fromhex("0178000001000100002904d000000000000600080002") + b"\0\1"):
        counts = bytes.fromhex("0001000000000001")
        with pytest.raises(Malformed) as refused:
            decode(b"\0\7" + flags.to_bytes(2, "big") + counts + bad)
        assert int.from_bytes(refused.value.reply[2:4], "big") == answer
