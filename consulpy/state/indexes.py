"""The index of each table and of each service: how readers learn whether anything that concerns them changed.

Keys are table names (`"nodes"`) or tuples (`("service", "web")`). A key that was never raised has 0, which answers show
as 1 (docs/wire/rpc.md 14).
"""

from collections.abc import Hashable, Iterable
from typing import Final

from consulpy.state.watch import WatchSet

NODES: Final = "nodes"
SERVICES: Final = "services"
CHECKS: Final = "checks"
COORDINATES: Final = "coordinates"
#: When a service lost its last instance.
EXTINCTION: Final = "service_last_extinction"
#: Configuration entries give gateways their services; nothing writes that table yet.
GATEWAY_SERVICES: Final = "gateway-services"


def service_key(name: str) -> tuple[str, str]:
    """The index key of one service."""
    return ("service", name.lower())


def connect_key(name: str) -> tuple[str, str]:
    """The index key of what Connect clients of one service reach."""
    return ("connect", name.lower())


def kind_key(kind: str) -> tuple[str, str]:
    """The index key of all services of one kind."""
    return ("kind", kind)


class Indexes:
    """The index of every key."""

    __slots__ = ("_of",)

    def __init__(self) -> None:
        self._of: dict[Hashable, int] = {}

    def max(self, watch: WatchSet | None, *keys: Hashable) -> int:
        """The largest index of these keys; the result that is being read depends on all of them."""
        if watch is not None:
            watch.add(*keys)
        of = self._of
        return max([of.get(key, 0) for key in keys])

    def get(self, key: Hashable) -> int:
        """The index of one key, 0 if it never changed."""
        return self._of.get(key, 0)

    def items(self) -> Iterable[tuple[Hashable, int]]:
        """Every key with its index."""
        return self._of.items()

    def _replace(self, key: Hashable, index: int) -> int:
        """Set (or, with 0, drop) a key and return what it had. Only `Change` and a restore call this."""
        old = self._of.get(key, 0)
        if index:
            self._of[key] = index
        else:
            self._of.pop(key, None)
        return old
