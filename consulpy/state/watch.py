"""Watches on keys of the state store, for blocking queries.

A read collects in a `WatchSet` the keys that its result depends on; a change names the keys that it changed. Keys are
hashable: a table's name, or a finer one such as `("service", "web")`.
"""

from bisect import bisect_left
from collections.abc import Callable, Hashable, Iterable
from typing import Final

#: Key of all watches besides their own: the whole state was replaced (a snapshot was restored).
RESTORED: Final = "restored"


_KV: Final = "kv"
_KV_PREFIX: Final = "kv-prefix"


def kv_key(key: str) -> tuple[str, bytes]:
    """Watch key of one key of the KV store; its change also fires watches on its prefixes."""
    return (_KV, key.encode("utf-8", "surrogateescape"))  # a prefix may end inside of a character


def kv_prefix(prefix: str) -> tuple[str, bytes]:
    """Watch key of all KV keys under a prefix."""
    return (_KV_PREFIX, prefix.encode("utf-8", "surrogateescape"))


class WatchSet:
    """The keys that a read depends on. A read that is not watched gets None instead."""

    __slots__ = ("is_time_independent", "keys")

    def __init__(self) -> None:
        self.keys: set[Hashable] = set()
        #: Whether the result changes only with one of the keys; if not, also with time.
        self.is_time_independent = True

    def add(self, *keys: Hashable) -> None:
        """Add keys that the result depends on."""
        self.keys.update(keys)


class Watch:
    """A callback at the first change of any of some keys."""

    __slots__ = ("_call", "_keys", "_watchers")

    def __init__(self, watchers: "WatchRegistry", keys: tuple[Hashable, ...], call: Callable[[], None]) -> None:
        self._watchers = watchers
        self._keys = keys
        self._call: Callable[[], None] | None = call

    def cancel(self) -> None:
        """Cancel. May be called after it fired."""
        if self._call is not None:
            self._call = None
            self._watchers._forget(self, self._keys)

    def _fire(self) -> None:
        call, self._call = self._call, None
        if call is not None:
            self._watchers._forget(self, self._keys)
            call()


class WatchRegistry:
    """All watches, by key."""

    def __init__(self) -> None:
        self._by_key: dict[Hashable, dict[Watch, None]] = {}
        #: Number of watched prefixes by length: a changed key is looked up with prefixes of these lengths only.
        self._prefix_lengths: dict[int, int] = {}

    def wait(self, watch: WatchSet, call: Callable[[], None]) -> Watch:
        """Call `call` once, at the next change of any key in `watch` (or when the state is replaced)."""
        keys = (*watch.keys, RESTORED)
        waiter = Watch(self, keys, call)
        for key in keys:
            waiters = self._by_key.get(key)
            if waiters is None:
                waiters = self._by_key[key] = {}
                self._count_prefix(key, 1)
            waiters[waiter] = None
        return waiter

    def changed(self, keys: Iterable[Hashable]) -> None:
        """Fire all watches on any of `keys`, per key in the order of their registration."""
        for key in keys:
            self._wake(key)
            if type(key) is tuple and key[0] == _KV:
                for length in [length for length in self._prefix_lengths if length <= len(key[1])]:
                    self._wake((_KV_PREFIX, key[1][:length]))

    def changed_kv(self, raw_keys: list[bytes]) -> None:
        """Fire all watches on keys of the KV store and on their prefixes. `raw_keys`: sorted."""
        if len(raw_keys) < len(self._by_key):
            self.changed([(_KV, raw) for raw in raw_keys])
            return
        for key in list(self._by_key):
            if type(key) is tuple and key[0] in (_KV, _KV_PREFIX):
                at = bisect_left(raw_keys, key[1])
                first = raw_keys[at] if at < len(raw_keys) else b""
                if first == key[1] or (key[0] == _KV_PREFIX and first.startswith(key[1])):
                    self._wake(key)

    def _wake(self, key: Hashable) -> None:
        for waiter in list(self._by_key.get(key, ())):
            waiter._fire()

    def _count_prefix(self, key: Hashable, difference: int) -> None:
        if type(key) is tuple and key[0] == _KV_PREFIX:
            count = self._prefix_lengths.get(len(key[1]), 0) + difference
            if count:
                self._prefix_lengths[len(key[1])] = count
            else:
                del self._prefix_lengths[len(key[1])]

    def __len__(self) -> int:
        return len(self._by_key.get(RESTORED, ()))

    def _forget(self, waiter: Watch, keys: tuple[Hashable, ...]) -> None:
        for key in keys:
            waiters = self._by_key.get(key)
            if waiters is not None:
                waiters.pop(waiter, None)
                if not waiters:
                    del self._by_key[key]
                    self._count_prefix(key, -1)
