"""What names ask for, and what is done before and after: the forms that the recorded answers can't show."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.names import dns

from consulpy.dns.config import DnsConfig
from consulpy.dns.question import ExternalName, NodeLookup, NonexistentName, QueryLookup, ServiceLookup, lookup_of
from consulpy.dns.recursor import address_of
from consulpy.dns.wire import Malformed, decode
from tests.harness.catalog import packet

CONFIG = DnsConfig(datacenter="dc1", alt_domain="alt.example.")


@pytest.mark.parametrize(
    ("name", "kind", "lookup"),
    [
        ("web.node.consul", dns.A, NodeLookup("web", "dc1")),
        ("web.node.dc2.consul", dns.A, NodeLookup("web", "dc2")),
        ("web.dc2.node.consul", dns.A, NodeLookup("web.dc2", "dc1", NodeLookup("web", "dc2"))),
        ("a.b.dc2.node.alt.example", dns.A, NodeLookup("a.b.dc2", "dc1", NodeLookup("a.b", "dc2"))),
        ("_web._tcp.consul", dns.SRV, ServiceLookup("web", "dc1")),
        ("_web._v1.dc2.consul", dns.SRV, ServiceLookup("web", "dc2", "v1")),
        ("_web._tcp.consul", dns.A, NonexistentName()),
        ("a.b.web.service.consul", dns.A, ServiceLookup("web", "dc1", "a.b")),
        ("x.web.connect.consul", dns.A, ServiceLookup("web", "dc1", connect=True)),
        ("web.ingress.consul", dns.A, ServiceLookup("web", "dc1", ingress=True)),
        ("geo.db.query.consul", dns.A, QueryLookup("geo.db", "dc1")),
        ("node.service.consul", dns.A, ServiceLookup("node", "dc1")),
        ("myconsul", dns.A, ExternalName()),
        ("", dns.A, ExternalName()),
        # Consul 1.14 and 1.15
        ("web.service.dc2.dc.consul", dns.A, ServiceLookup("web", "dc2")),
        ("v1.web.service.default.ns.default.ap.dc2.dc.consul", dns.A, ServiceLookup("web", "dc2", "v1")),
        ("_web._v1.service.default.ap.consul", dns.SRV, ServiceLookup("web", "dc1", "v1")),
        ("n1.node.default.ns.consul", dns.A, NodeLookup("n1", "dc1")),
        ("web.service.team.ns.consul", dns.A, NonexistentName()),
        ("web.service.x.ap.dc2.dc.consul", dns.A, NonexistentName()),
        ("web.service.dc2.dc.default.ns.consul", dns.A, NonexistentName()),
        ("web.service.dc2.dc.dc3.dc.consul", dns.A, NonexistentName()),
        ("web.service.default.ns.dc2.consul", dns.A, NonexistentName()),
        ("_geo._tcp.query.consul", dns.SRV, QueryLookup("geo", "dc1")),
        ("_geo._udp.query.consul", dns.SRV, QueryLookup("_geo._udp", "dc1")),
    ],
)
def test_names(name: str, kind: int, lookup: object) -> None:
    assert lookup_of(name, kind, CONFIG) == lookup


@pytest.mark.parametrize(
    ("service", "ttl_s"), [("web", 5), ("web2", 4), ("worker", 3), ("db", 2), ("w*", 3)], ids=lambda value: str(value)
)
def test_the_ttl_is_that_of_the_name_or_of_its_longest_prefix(service: str, ttl_s: int) -> None:
    config = DnsConfig(service_ttl_s={"*": 2, "w*": 3, "web*": 4, "web": 5})

    assert config.ttl_of_service(service) == ttl_s


@pytest.mark.parametrize(
    ("recursor", "address"),
    [
        ("192.0.2.1", ("192.0.2.1", 53)),
        ("192.0.2.1:5353", ("192.0.2.1", 5353)),
        ("2001:db8::1", ("2001:db8::1", 53)),
        ("[2001:db8::1]", ("2001:db8::1", 53)),
        ("[2001:db8::1]:5353", ("2001:db8::1", 5353)),
    ],
)
def test_addresses_of_recursors(recursor: str, address: tuple[str, int]) -> None:
    assert address_of(recursor) == address


@given(st.binary(max_size=80))
def test_any_bytes_are_a_question_or_malformed(data: bytes) -> None:
    refusals = []
    for candidate in (data, packet("plain.node.consul", dns.A)[:12] + data):
        try:
            question = decode(candidate)
        except Malformed as error:
            refusals.append((error.reply, candidate))
        else:
            lookup_of(question.name, question.kind, CONFIG)

    for reply, candidate in refusals:
        assert reply == b"" or reply[:2] == candidate[:2]


@given(st.integers(0, 200), st.integers(0, 255))
def test_a_flipped_byte_is_no_crash(at: int, value: int) -> None:
    data = bytearray(packet("plain.node.consul", dns.A, 4096))
    data[at % len(data)] = value
    try:
        decode(bytes(data))
    except Malformed:
        return
