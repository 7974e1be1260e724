"""Tells what listens at a TCP port that speaks no gossip: HTTP, a server's RPC, DNS, TLS, or a greeting."""

from collections.abc import Callable
from typing import Final

from twisted.internet.defer import Deferred, gatherResults

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
_DNS_ID: Final = b"\x43\x50"
#: A question for the name servers of the root, without recursion, with its length in front.
_DNS: Final = b"\0\x11" + _DNS_ID + b"\0\0\0\1\0\0\0\0\0\0" + b"\0\0\2\0\1"
#: The type byte of multiplexed calls, then a ping of yamux.
_RPC: Final = b"\4" + b"\0\2\0\1\0\0\0\0\0\0\0\7"
_YAMUX_PONG: Final = b"\0\2\0\2"
_READ_MAX: Final = 64

#: `Transport.exchange`.
Exchange = Callable[[Address, bytes, float, StreamReader, Callable[[Exception | None], None]], None]


class _Raw:
    """Reads the first bytes, whatever they are."""

    def __init__(self) -> None:
        self.data = b""

    def feed(self, data: bytes) -> bool:
        """True once there is enough to tell."""
        self.data += data[:_READ_MAX]
        return len(self.data) >= 8


def identify(exchange: Exchange, at: Address) -> "Deferred[str]":
    """Description of the program that listens at `at`; empty if it can't be identified."""

    def ask(request: bytes) -> "Deferred[bytes]":
        answered: Deferred[bytes] = Deferred()
        reader = _Raw()
        exchange(at, request, TIMEOUT_S, reader, lambda _error: answered.callback(reader.data))
        return answered

    http = b"GET /v1/status/leader HTTP/1.0\r\nHost: consul\r\n\r\n"
    return gatherResults([ask(http), ask(_RPC), ask(_DNS)], consumeErrors=True).addCallback(
        lambda answers: _description(*answers)
    )


def _description(http: bytes, rpc: bytes, dns: bytes) -> str:
    if http.startswith(b"HTTP/"):
        return "HTTP (the API is on 8500 by default)"
    if rpc.startswith(_YAMUX_PONG):
        return "a Consul server's RPC (8300 by default)"
    if dns[2:4] == _DNS_ID and len(dns) > 4 and dns[4] & 0x80:
        return "DNS (8600 by default)"
    for answer in (http, rpc, dns):
        if answer[:2] in (b"\x15\x03", b"\x16\x03"):
            return "TLS (HTTPS, perhaps)"
    greeting = http[:24].decode("ascii", "replace").strip()
    return f"a program that says {greeting!r}" if greeting.isprintable() and len(greeting) > 3 else ""
