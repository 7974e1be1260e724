"""The index of each table and of each service, which blocking queries compare.

Keys are table names (`"nodes"`) or tuples (`("service", "web")`). A key that was never set has 0, which answers show as
1 (docs/wire/rpc.md 14).
"""

from collections.abc import Hashable, Iterable
from typing import Final

from consulpy.state.watch import WatchSet

NODES: Final = "nodes"
SERVICES: Final = "services"
CHECKS: Final = "checks"
COORDINATES: Final = "coordinates"
#: Index key of the last removal of a service's last instance.
EXTINCTION: Final = "service_last_extinction"
#: Index key of Consul's table of that name; nothing writes it, as the services are computed from config entries.
GATEWAY_SERVICES: Final = "gateway-services"


def service_key(name: str) -> tuple[str, str]:
    """Index key of a service."""
    return ("service", name.lower())


def connect_key(name: str) -> tuple[str, str]:
    """Index key of the Connect-capable instances of a service."""
    return ("connect", name.lower())


def kind_key(kind: str) -> tuple[str, str]:
    """Index key of all services of a kind."""
    return ("kind", kind)


class Indexes:
    """Index by key."""

    __slots__ = ("_of",)

    def __init__(self) -> None:
        self._of: dict[Hashable, int] = {}

    def max(self, watch: WatchSet | None, *keys: Hashable) -> int:
        """The largest index of these keys, which are added to `watch`."""
        if watch is not None:
            watch.add(*keys)
        of = self._of
        return max([of.get(key, 0) for key in keys])

    def get(self, key: Hashable) -> int:
        """The index of a key, 0 if it was never set."""
        return self._of.get(key, 0)

    def items(self) -> Iterable[tuple[Hashable, int]]:
        """All keys with their indexes."""
        return self._of.items()

    def _replace(self, key: Hashable, index: int) -> int:
        """Set (or, with 0, remove) a key; its previous index. Only `Change` and a restore call this."""
        old = self._of.get(key, 0)
        if index:
            self._of[key] = index
        else:
            self._of.pop(key, None)
        return old
