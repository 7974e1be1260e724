"""Cached responses of requests that differ in their token only: tokens with equal rights share them.

What a route of the response cache answers depends on what a token may do, never on whose token it is.
"""

import re
from collections.abc import Callable
from typing import Final, Generic, TypeVar
from weakref import WeakValueDictionary

from consulpy.acl.authorizer import Authorizer
from consulpy.errors import RPCError
from consulpy.rpc.acl.resolver import Identity

#: The header with the token, as `consulpy.http.api.params.token` reads it.
_TOKEN: Final = re.compile(
    rb"\r\n(?:x-consul-token:[ \t]*([!-~]+)|authorization:[ \t]*bearer +([!-~]+))[ \t]*(?=\r\n)", re.IGNORECASE
)

T = TypeVar("T")
#: A request without its token, and the rights of the token.
Key = tuple[bytes, Authorizer]


class TokenSharing(Generic[T]):
    """Finds the cached response of another token with the same rights. `resolve(secret)`: raises `RPCError`."""

    def __init__(self, resolve: Callable[[str], Identity]) -> None:
        self._resolve = resolve
        #: Entries end with the cache that holds them.
        self._entries: WeakValueDictionary[Key, T] = WeakValueDictionary()

    def find(self, head: bytes) -> T | None:
        """The entry that answers `head` too, with the rights of now; None if none is known."""
        key = self._key(head)
        return None if key is None else self._entries.get(key)

    def add(self, head: bytes, entry: T) -> None:
        """The response to `head` is cached as `entry`, computed with the rights that its token has now."""
        key = self._key(head)
        if key is not None:
            self._entries[key] = entry

    def _key(self, head: bytes) -> Key | None:
        parts = _split(head)
        if parts is None:
            return None
        try:
            return parts[0], self._resolve(parts[1]).authorizer
        except RPCError:
            return None


def without_token(head: bytes) -> bytes:
    """The request without the header of its token; as it is if it has none, or several."""
    parts = _split(head)
    return head if parts is None else parts[0]


def _split(head: bytes) -> tuple[bytes, str] | None:
    found = _TOKEN.search(head)
    if found is None or _TOKEN.search(head, found.end()) is not None:
        return None
    return head[: found.start()] + head[found.end() :], (found[1] or found[2]).decode("ascii")
