"""A recursor's packet is passed on only if it is a complete reply to the query (RFC 5452 section 9.1)."""

import socket
import threading
from collections.abc import Callable
from random import Random

import pytest
import pytest_twisted
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.names import dns

from consulpy.dns.config import DnsConfig
from consulpy.dns.recursor import Recursor
from consulpy.dns.reply import is_complete, is_reply_to
from consulpy.dns.transport.exchange import UdpExchange
from consulpy.dns.wire import Answer, decode
from tests.harness.catalog import packet

QUERY = packet("Www.Example.com", dns.A)
RECORD = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00<\x00\x04\xc0\x00\x02\t"
Alter = Callable[[bytes], bytes]


def reply_to(query: bytes, records: bytes = RECORD, count: int = 1, flags: bytes = b"\x81\x80") -> bytes:
    head = query[:2] + flags + b"\x00\x01" + count.to_bytes(2, "big") + bytes(4)
    return head + query[12 : 12 + len(b"\x03www\x07example\x03com\x00") + 4] + records


INVALID: dict[str, Alter] = {
    "another id": lambda query: bytes([query[0] ^ 1]) + reply_to(query)[1:],
    "another name": lambda query: reply_to(query).replace(b"Www", b"Wwx"),
    "another type": lambda query: reply_to(query).replace(b"com\x00\x00\x01", b"com\x00\x00\x1c"),
    "another class": lambda query: reply_to(query).replace(b"com\x00\x00\x01\x00\x01", b"com\x00\x00\x01\x00\x03"),
    "no question": lambda query: query[:2] + b"\x81\x80" + bytes(8),
    "two questions": lambda query: query[:2] + b"\x81\x80\x00\x02" + bytes(6) + 2 * query[12:],
    "no reply but the query": lambda query: query,
    "another opcode": lambda query: reply_to(query, flags=b"\xa1\x80"),
    "a byte behind": lambda query: reply_to(query) + b"\x00",
    "a record behind": lambda query: reply_to(query) + RECORD,
    "junk behind": lambda query: reply_to(query) + b"\xff" * 300,
    "a record less than said": lambda query: reply_to(query, count=2),
    "a record that ends early": lambda query: reply_to(query)[:-1],
    "a name that points forward": lambda query: reply_to(query, b"\xc0\xff" + RECORD[2:]),
    "a name that points at itself": lambda query: reply_to(query, b"\xc0\x21" + RECORD[2:]),
    "nothing": lambda query: b"",
    "half a header": lambda query: query[:6],
    "junk": lambda query: query[:2] + b"\x81\x80" + b"\xff" * 40,
}


def forward(*recursors: Alter) -> tuple[Answer | bytes, int]:
    """The reply to the client for these replies of recursors, and the number of queries to them."""
    queried: list[int] = []

    def exchange(address: tuple[str, int], data: bytes, udp: bool, timeout_s: float) -> "Deferred[bytes]":
        queried.append(address[1])
        return succeed(recursors[address[1] - 1](data))

    config = DnsConfig(recursors=tuple(f"192.0.2.1:{number}" for number in range(1, len(recursors) + 1)))
    found: list[Answer | bytes] = []
    Deferred.fromCoroutine(Recursor(exchange, Random(3)).forward(decode(QUERY), config, udp=True)).addCallback(
        found.append
    )
    return found[0], len(queried)


@pytest.mark.parametrize("kind", INVALID)
def test_after_an_invalid_reply_the_next_recursor_is_tried_then_servfail(kind: str) -> None:
    passed_on, queried = forward(INVALID[kind], reply_to)
    assert (passed_on, queried) == (reply_to(QUERY), 2)
    passed_on, _ = forward(INVALID[kind])
    assert isinstance(passed_on, Answer)
    assert passed_on.rcode == dns.ESERVER


@pytest.mark.parametrize(
    "alter",
    [
        reply_to,
        lambda query: reply_to(query, b"", 0),
        lambda query: reply_to(query, b"", 0, b"\x81\x83"),
        lambda query: reply_to(query, b"\x03abc\xc0\x0c" + RECORD[2:]),
        lambda query: reply_to(query, b"", 3, b"\x83\x80"),
        lambda query: (
            reply_to(query)[:10] + b"\x00\x01" + reply_to(query)[12:] + b"\x00\x00\x29\x10\x00\x00\x00\x00\x00\x00\x00"
        ),
    ],
    ids=["an address", "no records", "NXDOMAIN", "a compressed name", "cut to nothing", "with EDNS"],
)
def test_a_valid_reply_is_passed_on_unchanged(alter: Alter) -> None:
    passed_on, _ = forward(alter)
    assert passed_on == alter(QUERY)


@given(st.binary(max_size=80), st.integers(0, 60))
def test_validation_of_any_bytes_does_not_fail(data: bytes, at: int) -> None:
    reply = reply_to(QUERY)
    for each in (data, reply[:at] + data, reply[:at] + data + reply[at:]):
        if is_reply_to(QUERY, each):
            is_complete(each)


@pytest_twisted.ensureDeferred
async def test_a_forged_packet_does_not_end_the_exchange() -> None:
    recursor = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    recursor.bind(("127.0.0.1", 0))

    def serve() -> None:
        query, client = recursor.recvfrom(512)
        for kind in ("another id", "another name", "another type", "half a header"):
            recursor.sendto(INVALID[kind](query), client)
        recursor.sendto(reply_to(query), client)

    thread = threading.Thread(target=serve)
    thread.start()
    done: Deferred[bytes] = Deferred()
    done.addTimeout(5, reactor)  # type: ignore[arg-type]
    UdpExchange(reactor, recursor.getsockname(), QUERY, done)
    reply = await done
    thread.join()
    recursor.close()
    assert reply == reply_to(QUERY)
