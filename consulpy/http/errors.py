"""The answer to a request that breaks a limit, and is not looked at."""

from typing import Final

#: Request line and headers together (Go allows 1 MiB; parsing costs us more).
HEADERS_MAX_BYTES: Final = 64 * 1024


def error_response(status: str, text: str) -> bytes:
    """A whole answer to a request that is not looked at, as Go's server writes it."""
    body = text.encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
