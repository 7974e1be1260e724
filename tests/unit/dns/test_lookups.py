"""Lookups whose answer is more than one read: other datacenters, prepared queries, recursors, staleness."""

from collections.abc import Callable
from ipaddress import ip_address
from random import Random
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.names import dns

from consulpy.codec.record import Record
from consulpy.dns.config import DnsConfig
from consulpy.dns.recursor import Recursor
from consulpy.dns.resolve import Resolver
from consulpy.dns.wire import Malformed, decode
from consulpy.errors import NoLeader, NoPathToDatacenter, RPCError
from consulpy.structs.node import Node
from consulpy.structs.prepared_query import QueryDns, QueryExecuteReply
from consulpy.structs.requests import CheckServiceNodesReply, NodeServicesReply, NodesReply, ServiceNodesReply
from consulpy.structs.service import CheckServiceNode, NodeService, NodeServices, ServiceNode
from tests.harness.catalog import packet

Reply = Record | RPCError
SUBNET = bytes.fromhex("0000291000000000000000")[:-2] + bytes.fromhex("000b0008000700011800c0a801")


class Calls:
    """A caller that answers by a function, and keeps the requests."""

    def __init__(self, answer: Callable[[str, Any], Reply]) -> None:
        self._answer = answer
        self.requests: list[tuple[str, Any]] = []

    def call(self, method: str, request: Record, dependencies: Any = None) -> "Deferred[Any]":
        self.requests.append((method, request))
        reply = self._answer(method, request)
        return fail(reply) if isinstance(reply, RPCError) else succeed(reply)


class Recursors:
    """Recursors by address: a reply's maker, or an error."""

    def __init__(self, **known: Callable[[dns.Message], None] | Exception) -> None:
        self.known = known
        self.requested: list[str] = []

    def exchange(self, address: tuple[str, int], data: bytes, udp: bool, timeout_s: float) -> "Deferred[bytes]":
        self.requested.append(address[0])
        behaviour = self.known[address[0]]
        if isinstance(behaviour, Exception):
            return fail(behaviour)
        message = dns.Message()
        message.fromStr(data)
        message.answer, message.maxSize = 1, 0
        behaviour(message)
        return succeed(message.toStr())


def ask(config: DnsConfig, calls: Calls, question: bytes, recursors: Recursors | None = None) -> tuple[Any, int]:
    """The decoded answer, and the number of its choices (0: not cacheable)."""
    recursor = Recursor((recursors or Recursors()).exchange, Random(1))
    resolver = Resolver(config, calls, Clock().seconds, Random(1), recursor, lambda _: 1)
    out: list[Any] = []
    Deferred.fromCoroutine(resolver.respond(decode(question), udp=True, client="198.51.100.7")).addBoth(out.append)
    (made,) = out
    message = dns.Message()
    message.fromStr(made.packet)
    return message, made.choices


def node(name: str, address: str = "10.0.0.1", datacenter: str = "dc1") -> NodeServicesReply:
    return NodeServicesReply(node_services=NodeServices(node=Node(node=name, address=address, datacenter=datacenter)))


def instance(name: str, datacenter: str = "dc1", address: str = "10.0.0.1") -> CheckServiceNode:
    service = NodeService(service="web", port=80)
    return CheckServiceNode(Node(node=name, address=address, datacenter=datacenter), service, [])


def test_a_datacenter_label_before_node_if_no_node_has_that_name() -> None:
    def answer(method: str, request: Any) -> Reply:
        return node("web", "10.2.0.1", "dc2") if request.datacenter == "dc2" else NodeServicesReply()

    calls = Calls(answer)

    message, choices = ask(DnsConfig(), calls, packet("web.dc2.node.consul", dns.A))

    assert [each.payload.dottedQuad() for each in message.answers] == ["10.2.0.1"]
    assert [(request.node, request.datacenter) for _, request in calls.requests] == [("web.dc2", "dc1"), ("web", "dc2")]
    assert choices == 0, "another datacenter's state is not ours to keep"


def test_a_node_with_dots_in_its_name_takes_precedence() -> None:
    calls = Calls(lambda _method, request: node(request.node))

    message, _ = ask(DnsConfig(), calls, packet("web.dc2.node.consul", dns.A))

    assert len(message.answers) == 1
    assert len(calls.requests) == 1


@pytest.mark.parametrize(
    ("error", "rcode"),
    [
        (NoPathToDatacenter(), dns.ENAME),
        (RPCError("rpc error making call: No path to datacenter"), dns.ENAME),
        (NoLeader(), dns.ESERVER),
    ],
)
def test_errors_of_reads(error: RPCError, rcode: int) -> None:
    message, choices = ask(DnsConfig(), Calls(lambda *_: error), packet("web.node.consul", dns.A))

    assert message.rCode == rcode
    assert choices == 0


def test_a_result_that_is_too_stale_is_read_again_from_the_leader() -> None:
    def answer(method: str, request: Any) -> Reply:
        reply = node("web")
        reply.meta.last_contact = 6_000_000_000 if request.options.allow_stale else 0
        stale.append(request.options.allow_stale)
        return reply

    stale: list[bool] = []

    ask(DnsConfig(max_stale_s=5), Calls(answer), packet("web.node.consul", dns.A))

    assert stale == [True, False]


def test_reads_use_the_agent_cache_if_configured() -> None:
    requested: list[tuple[bool, int]] = []

    def answer(method: str, request: Any) -> Reply:
        requested.append((request.options.use_cache, request.options.max_age))
        return node("web")

    for config in (DnsConfig(use_cache=True, cache_max_age_s=5), DnsConfig()):
        ask(config, Calls(answer), packet("web.node.consul", dns.A))

    assert requested == [(True, 5_000_000_000), (False, 0)]


def test_a_prepared_query_keeps_its_order_and_has_its_own_ttl() -> None:
    rows = [instance(f"n{number}", address=f"10.0.0.{number}") for number in range(3)]
    reply = QueryExecuteReply(service="web", nodes=rows, dns=QueryDns(ttl="1m30s"), datacenter="dc1")
    calls = Calls(lambda *_: reply)

    message, choices = ask(DnsConfig(node_name="self"), calls, packet("geo.query.consul", dns.A))

    assert [(each.payload.dottedQuad(), each.ttl) for each in message.answers] == [
        ("10.0.0.0", 90),
        ("10.0.0.1", 90),
        ("10.0.0.2", 90),
    ]
    (request,) = [request for _, request in calls.requests]
    assert (request.query_id_or_name, request.source.ip, request.agent.node) == ("geo", "198.51.100.7", "self")
    assert choices == 0


def test_a_prepared_query_uses_the_client_s_edns_subnet() -> None:
    calls = Calls(lambda *_: QueryExecuteReply(service="web", nodes=[instance("n")]))
    plain = packet("geo.query.consul", dns.A, 4096)

    message, _ = ask(DnsConfig(), calls, plain[:-11] + SUBNET)

    assert calls.requests[0][1].source.ip == "192.168.1.0"
    (opt,) = message.additional
    assert opt.payload.data.hex() == "0008000700011818c0a801", "the answer holds for that subnet"


@pytest.mark.parametrize(
    ("data", "is_valid"),
    [
        ("00000000", True),  # as dig sends it for +subnet=0
        ("0001200001020304", True),
        ("000280000000", True),
        ("00000100", False),
        ("000900000a", False),
        ("0001210001020304", False),
        ("0001182101020304", False),
        ("00028100", False),
        ("000118", False),
    ],
)
def test_a_client_subnet_is_checked_as_consul_does(data: str, is_valid: bool) -> None:
    option = bytes.fromhex(data)
    option = b"\0\x08" + len(option).to_bytes(2, "big") + option
    plain = packet("web.service.consul", dns.A, 4096)
    question = plain[:-2] + len(option).to_bytes(2, "big") + option
    if is_valid:
        decode(question)
        return
    with pytest.raises(Malformed) as refused:
        decode(question)
    assert refused.value.reply[3] & 0xF == dns.EFORMAT


def test_srv_targets_of_another_datacenter_are_named_there() -> None:
    reply = QueryExecuteReply(service="web", nodes=[instance("n", "dc2")], datacenter="dc2", failovers=1)

    message, _ = ask(DnsConfig(), Calls(lambda *_: reply), packet("geo.query.consul", dns.SRV))

    assert str(message.answers[0].payload.target) == "n.node.dc2.consul"


def test_name_servers_are_at_most_three_and_have_addresses() -> None:
    rows = [instance(f"s{number}") for number in range(5)] + [instance("bad name")]
    calls = Calls(lambda *_: CheckServiceNodesReply(nodes=rows))

    message, _ = ask(DnsConfig(), calls, packet("consul", dns.NS))

    assert len(message.answers) == len(message.additional) == 3


def answered(message: dns.Message) -> None:
    message.answers.append(dns.RRHeader(message.queries[0].name.name, dns.A, dns.IN, 60, dns.Record_A("192.0.2.9")))


def refused(message: dns.Message) -> None:
    message.rCode = dns.EREFUSED


def no_reply(*_: Any) -> Reply:
    raise AssertionError("foreign names are no reads")


def test_foreign_names_are_answered_by_the_first_usable_recursor() -> None:
    recursors = Recursors(**{"192.0.2.1": ConnectionRefusedError(), "192.0.2.2": refused, "192.0.2.3": answered})
    config = DnsConfig(recursors=("192.0.2.1", "192.0.2.2:53", "192.0.2.3"))

    message, choices = ask(config, Calls(no_reply), packet("www.example.com", dns.A), recursors)

    assert recursors.requested == ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
    assert (message.id, message.recAv, message.answers[0].payload.dottedQuad()) == (0x0123, 1, "192.0.2.9")
    assert choices == 0


def test_without_a_usable_recursor_it_is_servfail() -> None:
    recursors = Recursors(**{"192.0.2.1": refused})

    message, _ = ask(DnsConfig(recursors=("192.0.2.1",)), Calls(no_reply), packet("example.com", dns.A), recursors)

    assert message.rCode == dns.ESERVER


def test_an_external_address_is_resolved_by_recursors_with_the_service_s_ttl() -> None:
    row = instance("n")
    assert row.service is not None
    row.service.address = "www.example.com"
    recursors = Recursors(**{"192.0.2.1": answered})
    config = DnsConfig(recursors=("192.0.2.1",), service_ttl_s={"web": 5})

    message, choices = ask(
        config, Calls(lambda *_: CheckServiceNodesReply(nodes=[row])), packet("web.service.consul", dns.A), recursors
    )

    assert [(str(each.name), each.type, each.ttl) for each in message.answers] == [
        ("web.service.consul", dns.CNAME, 5),
        ("www.example.com", dns.A, 5),
    ]
    assert choices == 0, "what others say is not our state"


@pytest.mark.parametrize("kind", [dns.A, dns.SRV])
def test_a_service_at_another_name_of_the_domain_is_not_cached(kind: int) -> None:
    """The target changes without the service."""
    row = instance("n")
    assert row.service is not None
    row.service.address = "other.node.consul"

    def answer(method: str, request: Any) -> Reply:
        return CheckServiceNodesReply(nodes=[row]) if method == "Health.ServiceNodes" else node("other")

    message, choices = ask(DnsConfig(), Calls(answer), packet("web.service.consul", kind))

    assert {str(each.name) for each in (*message.answers, *message.additional)} >= {"other.node.consul"}
    assert choices == 0


@pytest.mark.parametrize(
    ("kind", "families", "requested"),
    [
        (dns.A, {dns.A, dns.AAAA}, [dns.A]),
        (dns.AAAA, {dns.A, dns.AAAA}, [dns.AAAA]),
        (dns.AAAA, {dns.AAAA}, [dns.AAAA]),
        (dns.AAAA, {dns.A}, [dns.AAAA, dns.A]),
        (dns.A, {dns.AAAA}, [dns.A]),
        (dns.SRV, {dns.AAAA}, [dns.A, dns.AAAA]),
        (dns.ALL_RECORDS, {dns.AAAA}, [dns.A, dns.AAAA]),
        (dns.SRV, {dns.A, dns.AAAA}, [dns.A]),
    ],
)
def test_an_external_host_is_resolved_to_the_requested_family(
    kind: int, families: set[int], requested: list[int]
) -> None:
    """Consul queries recursors for A only, so that AAAA has no answer for hosts with IPv6 only."""
    row = instance("n")
    assert row.service is not None
    row.service.address = "www.example.com"
    wanted = []

    def some(message: dns.Message) -> None:
        wanted.append(message.queries[0].type)
        if wanted[-1] in families:
            record = dns.Record_A("192.0.2.7") if wanted[-1] == dns.A else dns.Record_AAAA("2001:db8::7")
            message.answers.append(dns.RRHeader(b"www.example.com", wanted[-1], payload=record))

    config = DnsConfig(recursors=("192.0.2.1",))
    calls = Calls(lambda *_: CheckServiceNodesReply(nodes=[row]))
    message, _ = ask(config, calls, packet("web.service.consul", kind), Recursors(**{"192.0.2.1": some}))

    assert wanted == requested
    found = {each.type for each in (*message.answers, *message.additional)} & {dns.A, dns.AAAA}
    assert found == ({requested[-1]} & families)


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("::ffff:10.2.0.7", [(dns.A, "10.2.0.7")]),
        ("010.002.0.8", [(dns.A, "10.2.0.8")]),
        ("FD00::000B", [(dns.AAAA, "fd00::b")]),
        ("fe80::1%eth0", [(dns.CNAME, "fe80::1%eth0")]),
        ("10.2.0.256", [(dns.CNAME, "10.2.0.256")]),
        ("10.2.1", [(dns.CNAME, "10.2.1")]),
        ("\u0661.2.3.4", [(dns.CNAME, "\u0661.2.3.4")]),
    ],
)
@pytest.mark.parametrize("of_node", [False, True])
def test_addresses_are_parsed_as_by_go(address: str, found: list[tuple[int, str]], of_node: bool) -> None:
    row = instance("n", address=address)
    calls = Calls(lambda *_: node("n", address) if of_node else CheckServiceNodesReply(nodes=[row]))
    name = "n.node.consul" if of_node else "web.service.consul"

    message, _ = ask(DnsConfig(), calls, packet(name, dns.ALL_RECORDS))

    shown = {
        dns.A: lambda payload: payload.dottedQuad(),
        dns.AAAA: lambda payload: str(ip_address(payload.address)),
        dns.CNAME: lambda payload: payload.name.name.decode(),
    }
    assert [(each.type, shown[each.type](each.payload)) for each in message.answers] == found


@pytest.mark.parametrize(
    "own", ["web.service.consul", "web.service.consul.", "WEB.Service.Consul", "web.service.dc1.consul"]
)
@pytest.mark.parametrize("kind", [dns.A, dns.SRV, dns.AAAA, dns.MX])
def test_a_service_whose_address_is_its_own_name_has_its_nodes_address(own: str, kind: int) -> None:
    """The name in dc1 differs from the queried name: there is one alias to it, and none back."""
    row = instance("n")
    assert row.service is not None
    assert row.node is not None
    row.service.address, row.node.address = own, "10.1.1.1"
    calls = Calls(lambda *_: CheckServiceNodesReply(nodes=[row]))

    message, _ = ask(DnsConfig(), calls, packet("web.service.consul", kind))

    aliases = [each for each in message.answers if each.type == dns.CNAME]
    assert len(aliases) == (1 if "dc1" in own and kind != dns.SRV else 0)
    addresses = [each for each in (*message.answers, *message.additional) if each.type == dns.A]
    assert len(addresses) == (1 if kind in (dns.A, dns.SRV) or "dc1" in own else 0)
    assert all(each.payload.dottedQuad() == "10.1.1.1" for each in addresses)
    targets = [str(each.payload.target) for each in message.answers if each.type == dns.SRV]
    assert targets == ([] if kind != dns.SRV else [own] if "dc1" in own else ["n.node.dc1.consul"])


def test_a_service_whose_address_is_its_own_name_on_a_node_without_address() -> None:
    row = instance("n")
    assert row.service is not None
    assert row.node is not None
    row.service.address = row.node.address = "web.service.consul"
    calls = Calls(lambda *_: CheckServiceNodesReply(nodes=[row]))

    message, _ = ask(DnsConfig(), calls, packet("web.service.consul", dns.A))

    assert {each.type for each in message.answers} == {dns.CNAME}
    assert len(calls.requests) < 6


def test_cyclic_names_end() -> None:
    calls = Calls(lambda _method, request: node(request.node, f"{request.node}.node.consul"))

    message, _ = ask(DnsConfig(), calls, packet("loop.node.consul", dns.A))

    assert {each.type for each in message.answers} == {dns.CNAME}
    assert len(calls.requests) < 6


@pytest.mark.parametrize(("address", "names"), [("10.5.0.2", ["other.service.dc1.consul"]), ("10.5.0.3", [])])
def test_a_tagged_address_leads_to_no_name(address: str, names: list[str]) -> None:
    """The catalog finds services at their tagged addresses too, DNS does not, as real Consul's."""
    tagged = ServiceNode(node="n", service_name="web", service_address="10.5.0.1")

    def answer(method: str, request: Any) -> Reply:
        if method == "Catalog.ListNodes":
            return NodesReply()
        assert request.service_address == address
        named = ServiceNode(node="n", service_name="other", service_address="10.5.0.2")
        return ServiceNodesReply(service_nodes=[tagged, named])

    reverse = ".".join(reversed(address.split(".")))
    message, _ = ask(DnsConfig(), Calls(answer), packet(f"{reverse}.in-addr.arpa", dns.PTR))
    assert [str(each.payload.name) for each in message.answers] == names
    assert message.rCode == (0 if names else dns.ESERVER)
