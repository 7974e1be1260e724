"""Error responses of connections: for requests that exceed a limit or cannot be parsed."""

from typing import Final

#: Request line and headers together in bytes (Go's `DefaultMaxHeaderBytes`).
HEADERS_MAX_BYTES: Final = 1024 * 1024
#: The request line alone, in bytes: an expression of 1 MiB in `filter` would take seconds. Go has no limit of its own.
LINE_MAX_BYTES: Final = 64 * 1024
#: Fields of a head: each costs some 300 bytes of memory beside its text. Go has no limit.
HEADERS_MAX: Final = 10_000
#: The answer to plain HTTP on the HTTPS port, byte for byte that of Go's `net/http`.
HTTP_ON_HTTPS_PORT: Final = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"


def error_response(status: str, text: str) -> bytes:
    """A whole error response, after which the connection closes, as Go's server writes it.

    `status`: "400 Bad Request".
    """
    body = text.encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
