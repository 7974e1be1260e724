"""Requests by which a TCP port is told that speaks no gossip, and what their answers mean. Pure."""

from typing import Final

_DNS_ID: Final = b"\x43\x50"
#: A question for the name servers of the root, without recursion, with its length in front.
_DNS: Final = b"\0\x11" + _DNS_ID + b"\0\0\0\1\0\0\0\0\0\0" + b"\0\0\2\0\1"
#: The type byte of multiplexed calls, then a ping of yamux.
_RPC: Final = b"\4" + b"\0\2\0\1\0\0\0\0\0\0\0\7"
_YAMUX_PONG: Final = b"\0\2\0\2"
#: Bytes of an answer that are read.
READ_MAX: Final = 64
#: Answered by any agent itself: one that waits for its servers answers this too.
_HTTP: Final = b"GET / HTTP/1.0\r\nHost: consul\r\n\r\n"
#: Each is sent over a connection of its own.
REQUESTS: Final = (_HTTP, _RPC, _DNS)


def description(http: bytes, rpc: bytes, dns: bytes, *, is_last: bool) -> str:
    """What a program is by its answers to `REQUESTS`; "" if they do not tell.

    `is_last`: whether these are all answers; TLS and greetings are told from all only.
    """
    if b"\r\n\r\nClient sent an HTTP request to an" in http:
        return "HTTPS (the API is on 8501 by default)"
    if http.startswith(b"HTTP/"):
        return "HTTP (the API is on 8500 by default)"
    if rpc.startswith(_YAMUX_PONG):
        return "a Consul server's RPC (8300 by default)"
    if dns[2:4] == _DNS_ID and len(dns) > 4 and dns[4] & 0x80:
        return "DNS (8600 by default)"
    if not is_last:
        return ""
    for answer in (http, rpc, dns):
        if answer[:2] in (b"\x15\x03", b"\x16\x03"):
            return "TLS (HTTPS, perhaps)"
    greeting = http[:24].decode("ascii", "replace").strip()
    return f"a program that says {greeting!r}" if greeting.isprintable() and len(greeting) > 3 else ""
