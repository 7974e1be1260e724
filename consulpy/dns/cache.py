"""The packet cache: question bytes -> answer bytes, both without message ids.

An entry is valid while the validator of its tag (one node or service) is unchanged; a hit costs two look-ups, of the
packet and of the validator. Only answers that depend on one node or service of this datacenter are cached.

An answer with several records is a random permutation, so for such a question a set of different answers is cached and
served in turn. The first ones are each shuffled on request, then one at a time is replaced, and every second the set
starts again. So clients see changing orders, rare questions get a new one each time, and no request shuffles twice.
"""

from collections.abc import Callable, Hashable, Iterator
from contextlib import suppress
from itertools import repeat
from typing import Final

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.rpc.cache.tag import CacheTag, Validator

#: Cached questions of UDP, and of TCP, whose answers are larger. Above them the cache is cleared: only floods of random
#: names get there.
ENTRIES_MAX: Final = 20_000
TCP_ENTRIES_MAX: Final = 500
#: Answers in the set of one question, and the bytes of them above which it takes no more.
SET_ANSWERS_MAX: Final = 16
SET_BYTES_MAX: Final = 96 * 1024
#: Times that the full set is served for each answer that is replaced, and seconds after which the set starts again.
ROUNDS: Final = 4
SET_LIFETIME_S: Final = 1.0
#: Records in all current sets (some 2 kB each), and again in those of the second before. Above it, the older sets go.
SET_RECORDS_MAX: Final = 10_000
#: Larger questions, in bytes, are not cached: honest ones are smaller.
QUESTION_SIZE_MAX: Final = 300


@dataclass(slots=True)
class CacheableAnswer:
    """An answer with what the cache needs.

    `choices`: the number of records of which it is a random permutation, 0 for an answer that is not cacheable.
    `validator`: of `tag`, before the answer was computed. `shuffle`: computes another permutation; needed if `choices`
    is more than 1.
    """

    packet: bytes
    choices: int = 0
    tag: CacheTag = ("", "")
    validator: Hashable | None = None
    shuffle: Callable[[], bytes] | None = None


@dataclass(slots=True)
class _Entry:
    answers: Iterator[bytes]
    tag: CacheTag
    validator: Hashable
    choices: int = 1
    shuffle: Callable[[], bytes] | None = None


class PacketCache:
    """The cached answers of one transport, UDP or TCP. `entries_max`: questions above which it is cleared."""

    def __init__(self, validator: Validator, entries_max: int = ENTRIES_MAX) -> None:
        self._validator = validator
        self._entries_max = entries_max
        self._entries: dict[bytes, _Entry] = {}
        self._sets: dict[bytes, _Entry] = {}
        self._expired: dict[bytes, _Entry] = {}
        self._records = 0
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._entries) + len(self._sets) + len(self._expired)

    def get(self, packet: bytes) -> bytes | None:
        """The cached answer to a packet, with its id; None on a miss."""
        body = packet[2:]
        entry = self._entries.get(body) or self._sets.get(body) or self._restarted(body)
        if entry is not None:
            if self._validator(entry.tag) == entry.validator:
                for answer in entry.answers:
                    self.hits += 1
                    return packet[:2] + answer
            self._remove(body)  # stale, or shuffling failed: the full path reports why
        self.misses += 1
        return None

    def put(self, packet: bytes, answer: CacheableAnswer) -> None:
        """Cache the answer to a packet, if it is cacheable."""
        if not answer.choices or answer.validator is None or len(packet) > QUESTION_SIZE_MAX:
            return
        if len(self) >= self._entries_max:
            self.clear()
        body = packet[2:]
        self._entries.pop(body, None)
        if answer.choices == 1:
            self._entries[body] = _Entry(repeat(answer.packet[2:]), answer.tag, answer.validator)
            return
        if answer.shuffle is not None:
            self._expired.pop(body, None)
            entry = _Entry(_in_turn(answer.shuffle), answer.tag, answer.validator, answer.choices, answer.shuffle)
            self._add_set(body, entry)

    def restart_sets(self) -> None:
        """Start all sets again, and drop those not requested since the last call. Called every `SET_LIFETIME_S`."""
        self._sets, self._expired, self._records = {}, self._sets, 0
        for entry in self._expired.values():
            entry.answers = iter(())

    def clear(self) -> None:
        """Drop all entries."""
        self._entries.clear()
        self._sets, self._expired, self._records = {}, {}, 0

    def _add_set(self, body: bytes, entry: _Entry) -> None:
        if self._records >= SET_RECORDS_MAX:
            self.restart_sets()
        self._records += entry.choices
        self._sets[body] = entry

    def _restarted(self, body: bytes) -> _Entry | None:
        """A set from before the last `restart_sets`, started again; None if there is none."""
        entry = self._expired.pop(body, None)
        if entry is not None and entry.shuffle is not None:
            entry.answers = _in_turn(entry.shuffle)
            self._add_set(body, entry)
        return entry

    def _remove(self, body: bytes) -> None:
        self._entries.pop(body, None)
        self._sets.pop(body, None)


def _in_turn(shuffle: Callable[[], bytes]) -> Iterator[bytes]:
    """The answers of a set without their ids, as the module's docstring says. Ends when `shuffle` fails."""
    served: list[bytes] = []
    with suppress(Exception):  # an instance may not be encodable; that must not end a read of the socket
        while len(served) < SET_ANSWERS_MAX and sum(map(len, served)) < SET_BYTES_MAX:
            served.append(shuffle()[2:])
            yield served[-1]
        while True:
            for at in range(len(served)):
                served[at] = shuffle()[2:]
                for _ in range(ROUNDS):
                    yield from served
