"""Tells what listens at a TCP port that speaks no gossip: HTTP, a server's RPC, DNS, TLS, or a greeting."""

from collections.abc import Callable
from typing import Final

from twisted.internet.defer import Deferred

from consulpy.diagnosis.protocols import READ_MAX, REQUESTS, description
from consulpy.memberlist.delegate import StreamReader
from consulpy.memberlist.member import Address

#: How long each question may take, in seconds.
TIMEOUT_S: Final = 0.8
#: Consul's default ports that are not gossip, and what they are.
DEFAULT_PORTS: Final = {
    8300: "the servers' RPC",
    8500: "the HTTP API",
    8501: "the HTTPS API",
    8502: "gRPC",
    8600: "DNS",
}
#: `Transport.exchange`.
Exchange = Callable[[Address, bytes, float, StreamReader, Callable[[Exception | None], None]], None]


class _Raw:
    """Reads the first bytes, whatever they are."""

    def __init__(self) -> None:
        self.data = b""

    def feed(self, data: bytes) -> bool:
        """True once there is enough to tell."""
        self.data += data[:READ_MAX]
        return len(self.data) >= 8


def identify(exchange: Exchange, at: Address) -> "Deferred[str]":
    """Description of the program that listens at `at`, as soon as one is known; empty if it can't be identified."""
    answers: list[bytes | None] = [None] * len(REQUESTS)
    identified: Deferred[str] = Deferred()

    def answered(number: int, data: bytes) -> None:
        answers[number] = data
        if identified.called:
            return
        is_last = None not in answers
        what = description(*(answer or b"" for answer in answers), is_last=is_last)
        if what or is_last:
            identified.callback(what)

    for number, request in enumerate(REQUESTS):
        reader = _Raw()
        exchange(at, request, TIMEOUT_S, reader, lambda _error, n=number, r=reader: answered(n, r.data))  # type: ignore[misc]
    return identified
