"""Access rules of the configuration: blocked endpoints, and networks that may write.

`http_config.block_endpoints` (prefixes of paths) and `http_config.allow_write_http_from`; the texts are Consul's.
"""

import ipaddress
from collections.abc import Sequence
from typing import Final

_READS: Final = ("GET", "HEAD", "OPTIONS")


class AccessRules:
    """`blocked`: prefixes of paths. `write_networks`: CIDR networks of clients that may write; empty: all."""

    def __init__(self, blocked: Sequence[str] = (), write_networks: Sequence[str] = ()) -> None:
        self._blocked = tuple(blocked)
        self._networks = [ipaddress.ip_network(text, strict=False) for text in write_networks]

    @property
    def has_rules(self) -> bool:
        """Whether anything may be refused."""
        return bool(self._blocked or self._networks)

    def refuses(self, method: str, path: str, client: str) -> str:
        """The reason for a 403, or "". `client`: an IP address, empty on a unix socket."""
        if self._blocked and path.startswith(self._blocked):
            return "Endpoint is blocked by agent configuration"
        if self._networks and method not in _READS and not self._is_allowed(client):
            return "Access is restricted"
        return ""

    def _is_allowed(self, client: str) -> bool:
        try:
            address = ipaddress.ip_address(client)
        except ValueError:
            return False
        return any(address in network for network in self._networks)
