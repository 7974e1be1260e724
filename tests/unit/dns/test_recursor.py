"""The order in which recursors are asked (`dns_config.recursor_strategy`, since Consul 1.11)."""

from collections import Counter
from random import Random
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.names import dns

from consulpy.dns.config import DnsConfig
from consulpy.dns.recursor import Recursor
from consulpy.dns.wire import decode

RECURSORS = ("10.0.0.1", "10.0.0.2", "10.0.0.3")


def asked(config: DnsConfig, recursor: Recursor, seen: list[str]) -> tuple[str, ...]:
    seen.clear()
    Deferred.fromCoroutine(recursor.addresses("example.com", config, dns.A))
    return tuple(seen)


def orders(**settings: Any) -> Counter[tuple[str, ...]]:
    seen: list[str] = []

    def exchange(address: tuple[str, int], packet: bytes, udp: bool, timeout_s: float) -> "Deferred[bytes]":
        seen.append(address[0])
        return fail(TimeoutError("no answer"))

    recursor, config = Recursor(exchange, Random(1)), DnsConfig(recursors=RECURSORS, **settings)
    return Counter(asked(config, recursor, seen) for _ in range(120))


def test_recursors_are_asked_as_listed() -> None:
    assert orders() == {RECURSORS: 120}


def test_recursors_are_asked_in_any_order_if_wanted() -> None:
    found = orders(random_recursors=True)
    assert len(found) == 6
    assert all(set(order) == set(RECURSORS) for order in found)
    assert min(found.values()) > 5


def query(name: bytes = b"\x03WwW\x07example\x00", *, kind: bytes = b"\x00\x01") -> bytes:
    return b"\x12\x34\x01\x00\x00\x01" + bytes(6) + name + kind + b"\x00\x01"


def forwarded(packet: bytes, question: bytes, records: int, *, udp: bool) -> bytes:
    """What a client gets of a recursor's reply with this question section and so many addresses."""

    def exchange(_address: tuple[str, int], sent: bytes, _udp: bool, _timeout_s: float) -> "Deferred[bytes]":
        found = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x0a\x00\x00\x01" * records
        counts = b"\x00\x01" + records.to_bytes(2, "big") + bytes(4)
        return succeed(sent[:2] + b"\x81\x80" + counts + question + found)

    answers: list[Any] = []
    recursor = Recursor(exchange, Random(1))
    coroutine = recursor.forward(decode(packet), DnsConfig(recursors=("10.0.0.1",)), udp=udp)
    Deferred.fromCoroutine(coroutine).addCallback(answers.append)
    return answers[0] if isinstance(answers[0], bytes) else b""


@pytest.mark.parametrize("change", [bytes, bytes.lower, bytes.upper])
def test_a_recursor_may_answer_in_other_letter_case(change: Any) -> None:
    """Names have no case (RFC 4343), and some forwarders change it; the client gets its own question back."""
    packet = query()
    name = packet[12:-4]
    answer = forwarded(packet, change(name) + packet[-4:], 1, udp=True)
    assert answer[12 : 12 + len(name) + 4] == packet[12:]
    assert answer[6:8] == b"\x00\x01"


def test_types_have_no_letter_case() -> None:
    """65 is HTTPS, and 97 another type."""
    packet = query(kind=b"\x00\x41")
    assert forwarded(packet, packet[12:].lower(), 1, udp=True) == b""


def test_a_reply_above_what_the_client_takes_is_truncated() -> None:
    """A recursor that sends more than was asked for would make this agent a reflector, and cut the answer anyway."""
    packet = query()
    answer = forwarded(packet, packet[12:], 100, udp=True)
    assert (answer[2] & 0x02, answer[4:12], answer[12:]) == (0x02, b"\x00\x01" + bytes(6), packet[12:])
    assert len(forwarded(packet, packet[12:], 100, udp=False)) == len(packet) + 1600
    assert len(forwarded(packet, packet[12:], 30, udp=True)) == len(packet) + 480
