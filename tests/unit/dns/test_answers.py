"""The very bytes that real Consul 1.8.7 answers (tests/vectors/dns/answers.json, recorded by record_answers.py)."""

import json
import re
from random import Random
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.names import dns

from consulpy.dns.config import DnsConfig, SoaConfig
from consulpy.dns.recursor import Recursor
from consulpy.dns.resolve import Resolver
from consulpy.dns.wire import Malformed, decode
from tests.conftest import VECTORS
from tests.fakes.caller import FakeCaller
from tests.harness import catalog

RECORDED = json.loads((VECTORS / "dns" / "answers.json").read_text())
CONFIGS = {
    "plain": DnsConfig(),
    "full": DnsConfig(
        domain="kon.sul.",
        alt_domain="alt.",
        node_ttl_s=7,
        service_ttl_s={"*": 3, "w*": 4, "web": 5},
        only_passing=True,
        enable_truncate=True,
        udp_answer_limit=20,
        disable_compression=True,
        soa=SoaConfig(11, 12, 13, 14),
        node_meta_txt=False,
    ),
}
FOUR, SIX = "0a000001.addr.@", "fd000001000000000000000000000001.addr.@"
#: Consul answers with the address whatever the type; names in the alternative domain are queried for SRV.
WRONG_TYPES = {
    f"{name} {word}"
    for name, own in ((FOUR, "A"), (SIX, "AAAA"))
    for word in (*catalog.TYPES, "alt")
    if word not in (own, "ANY", "NS", "SOA")
}
CASES = [(config, label) for config in CONFIGS for label in RECORDED[config]["answers"] if label not in WRONG_TYPES]
SIZES = [(config, label) for config in CONFIGS for label in RECORDED[config]["sizes"]]


def resolver(config: str, rng: Random | None = None) -> Resolver:
    caller = FakeCaller(RECORDED[config]["agent"], catalog.NODES + catalog.MANY)

    def no_recursor(*_: Any) -> "Deferred[bytes]":
        raise AssertionError("there is no recursor")

    rng = rng or Random(1)
    return Resolver(CONFIGS[config], caller, Clock().seconds, rng, Recursor(no_recursor, rng), lambda _: None)


RESOLVERS = {config: resolver(config) for config in CONFIGS}


def ask(resolver: Resolver, packet: bytes, *, udp: bool = True) -> bytes:
    try:
        question = decode(packet)
    except Malformed as error:
        return error.reply
    answers: list[Any] = []
    Deferred.fromCoroutine(resolver.respond(question, udp=udp)).addBoth(answers.append)
    answer: bytes = answers[0].packet
    return answer


def without_serial(packet: bytes) -> bytes:
    """An answer whose SOA records, if any, have the serial 0 (in Consul it is the time)."""
    return re.sub(
        rb"....(" + b"|".join((soa(11, 12, 13, 14), soa(3600, 600, 86400, 0))) + rb")",
        lambda found: b"\0\0\0\0" + found[1],
        packet,
        flags=re.DOTALL,
    )


def soa(*seconds: int) -> bytes:
    return re.escape(b"".join(value.to_bytes(4, "big") for value in seconds))


@pytest.mark.parametrize(("config", "label"), CASES, ids=lambda value: value)
def test_the_answer_is_consul_s(config: str, label: str) -> None:
    question = catalog.questions(config)[label]

    answer = ask(RESOLVERS[config], question)

    assert without_serial(answer).hex() == without_serial(bytes.fromhex(RECORDED[config]["answers"][label])).hex()


@pytest.mark.parametrize(("config", "label"), SIZES, ids=lambda value: value)
def test_large_answers_are_truncated_as_by_consul(config: str, label: str) -> None:
    """Except that Consul forgets its own OPT record, and so sends up to 11 bytes more than the client takes."""
    word, size = label.split()
    domain = CONFIGS[config].domain.rstrip(".")
    recorded = RECORDED[config]["sizes"][label]

    answer = ask(RESOLVERS[config], catalog.packet(f"many.service.{domain}", catalog.TYPES[word], int(size)))

    decoded = dns.Message()
    decoded.fromStr(answer)
    assert bool(decoded.trunc) == recorded["truncated"]
    assert len(answer) <= max(int(size), 512)
    assert (len(answer), len(decoded.answers)) == (recorded["size"], recorded["answers"]) or recorded["size"] > int(
        size
    )


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("label", sorted(WRONG_TYPES))
def test_an_address_does_not_answer_another_type(config: str, label: str) -> None:
    """RFC 2308, 2.2: NOERROR without an answer, and the SOA."""
    if label not in (questions := catalog.questions(config)):
        return
    decoded = dns.Message()
    decoded.fromStr(ask(RESOLVERS[config], questions[label]))
    found = [[each.type for each in part] for part in (decoded.answers, decoded.authority, decoded.additional)]
    assert (decoded.rCode, found) == (dns.OK, [[], [dns.SOA], []])


def test_an_address_in_the_alternative_domain_is_answered_with_the_queried_name() -> None:
    answer = ask(RESOLVERS["full"], catalog.packet("0A000001.addr.alt", dns.A))

    decoded = dns.Message()
    decoded.fromStr(answer)
    assert [(str(each.name), each.payload.dottedQuad()) for each in decoded.answers] == [
        ("0A000001.addr.alt", "10.0.0.1")
    ]


def test_tcp_answers_are_not_truncated() -> None:
    answer = ask(RESOLVERS["plain"], catalog.packet("many.service.consul", dns.SRV), udp=False)

    decoded = dns.Message()
    decoded.fromStr(answer)
    assert {str(each.payload.target) for each in decoded.answers} == {
        f"many-{number:02}.node.dc1.consul" for number in range(40)
    }
    assert len(decoded.additional) == 40


def test_over_tcp_pointers_stay_in_reach() -> None:
    """A pointer has 14 bits; beyond 16 kB names are written out."""
    registrations = [
        {"Node": f"node-{number}", "Address": "10.9.9.9", "Service": {"Service": "huge", "Port": 1}}
        for number in range(600)
    ]
    rng = Random(2)
    recursor = RESOLVERS["plain"]._recursor
    resolver = Resolver(
        DnsConfig(), FakeCaller("10.0.0.1", registrations), Clock().seconds, rng, recursor, lambda _: None
    )

    answer = ask(resolver, catalog.packet("huge.service.consul", dns.SRV), udp=False)

    decoded = dns.Message()
    decoded.maxCompressionPointers = 10_000
    decoded.fromStr(answer)
    assert len(answer) > 0x4000
    assert {str(each.name) for each in decoded.additional} == {str(each.payload.target) for each in decoded.answers}


def test_every_instance_comes_first_now_and_then() -> None:
    packet = catalog.packet("many.service.consul", dns.A)

    firsts = set()
    for _ in range(400):
        decoded = dns.Message()
        decoded.fromStr(ask(RESOLVERS["plain"], packet))
        firsts.add(decoded.answers[0].payload.dottedQuad())

    assert len(firsts) == 40
