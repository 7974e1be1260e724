"""Who waits for which change: the other half of a blocking query.

A read notes in a `WatchSet` what its result depends on; a change names what it touched. Keys are hashable: a table's
name, or a finer thing such as `("service", "web")`, so that a watcher wakes only when its own result may have changed.
"""

from collections.abc import Callable, Hashable, Iterable
from typing import Final

#: What every watcher waits for besides its own keys: the whole state was replaced (a snapshot was restored).
RESTORED: Final = "restored"


_KV: Final = "kv"
_KV_PREFIX: Final = "kv-prefix"


def kv_key(key: str) -> tuple[str, bytes]:
    """What a read of one key of the key/value store depends on; its change also wakes who reads a prefix of it."""
    return (_KV, key.encode("utf-8", "surrogateescape"))  # a prefix may end inside a character


def kv_prefix(prefix: str) -> tuple[str, bytes]:
    """What a read of all keys under a prefix depends on."""
    return (_KV_PREFIX, prefix.encode("utf-8", "surrogateescape"))


class WatchSet:
    """The keys that one read depends on. A read that nobody will wait for is given None instead."""

    __slots__ = ("is_lasting", "keys")

    def __init__(self) -> None:
        self.keys: set[Hashable] = set()
        #: Whether the result stays true until one of the keys changes; if not, it also ends with time.
        self.is_lasting = True

    def add(self, *keys: Hashable) -> None:
        """The result depends on these."""
        self.keys.update(keys)


class Watch:
    """Somebody who waits for the first change of any of some keys."""

    __slots__ = ("_call", "_keys", "_watchers")

    def __init__(self, watchers: "WatchRegistry", keys: tuple[Hashable, ...], call: Callable[[], None]) -> None:
        self._watchers = watchers
        self._keys = keys
        self._call: Callable[[], None] | None = call

    def cancel(self) -> None:
        """Stop waiting. Harmless when already woken."""
        if self._call is not None:
            self._call = None
            self._watchers._forget(self, self._keys)

    def _fire(self) -> None:
        call, self._call = self._call, None
        if call is not None:
            self._watchers._forget(self, self._keys)
            call()


class WatchRegistry:
    """All waiters, by key."""

    def __init__(self) -> None:
        self._by_key: dict[Hashable, dict[Watch, None]] = {}
        #: How many prefixes of each length are waited for: a changed key is cut at these lengths only.
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
        """Wake everybody who waits for any of `keys`, in the order in which they began to wait for each key."""
        for key in keys:
            self._wake(key)
            if type(key) is tuple and key[0] == _KV:
                for length in [length for length in self._prefix_lengths if length <= len(key[1])]:
                    self._wake((_KV_PREFIX, key[1][:length]))

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
