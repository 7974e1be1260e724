"""The order in which recursors are asked (`dns_config.recursor_strategy`, since Consul 1.11)."""

from collections import Counter
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.names import dns

from consulpy.dns.config import DnsConfig
from consulpy.dns.recursor import Recursor

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
