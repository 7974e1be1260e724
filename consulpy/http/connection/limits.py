"""The limits of connections and requests (`http_config`, `limits`); Consul has the settings since 1.22 and 2.1."""

from dataclasses import dataclass
from typing import Final

from consulpy.http.errors import HEADERS_MAX_BYTES

#: A connection without a pending response is closed after this long without input, in seconds.
IDLE_TIMEOUT_S: Final = 60.0
#: Longest time from the first byte of a request to its last, in seconds; then 408.
REQUEST_TIMEOUT_S: Final = 120.0
#: Bodies above this size are refused before they are read: more than any endpoint takes.
BODY_MAX_BYTES: Final = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Times in seconds, sizes in bytes. A change applies to connections that come after it."""

    #: Without a request on a connection that is kept (`http_config.idle_timeout`).
    idle_s: float = IDLE_TIMEOUT_S
    #: For the arrival of a request; 0: no limit (`http_config.read_timeout`).
    request_s: float = REQUEST_TIMEOUT_S
    #: For the arrival of its head; 0: the time of the request (`http_config.read_header_timeout`).
    head_s: float = 0.0
    #: Without progress of a response that is being written (`http_config.write_timeout`).
    write_s: float = IDLE_TIMEOUT_S
    #: Of request line and headers (`http_config.max_header_bytes`).
    head_bytes: int = HEADERS_MAX_BYTES
    #: Of a body; snapshots have a limit of their own (`limits.http_max_request_body_size`).
    body_bytes: int = BODY_MAX_BYTES

    @property
    def full_path_bytes(self) -> int:
        """Size above which a request takes the full path, which looks at the limits; 0: none is below the default."""
        least = min(self.head_bytes, self.body_bytes)
        return least if least < HEADERS_MAX_BYTES else 0


DEFAULT_LIMITS: Final = ConnectionLimits()
