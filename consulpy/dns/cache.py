"""The packet cache: question bytes -> answer bytes, without ids, for as long as the state is the same.

A hit costs one dict look-up. What may be kept: answers that depend on nothing but the state of this datacenter. Several
records are a random choice, so of those a set of different answers is collected first, then shown in turn a limited
number of times, then collected anew: each client still sees the instances in changing order.
"""

from collections.abc import Callable, Hashable, Iterator
from itertools import cycle, islice, repeat
from typing import Final

#: Questions kept; when there are more, all are forgotten (that happens to floods of random names only).
ENTRIES_MAX: Final = 20_000
#: Different answers collected for one question, and how often the set is gone through.
CHOICES: Final = 16
ROUNDS: Final = 16
#: Larger questions are not kept: nobody asks them honestly.
QUESTION_SIZE_MAX: Final = 300


class PacketCache:
    """Answers to UDP questions. `version` names the state that answers come from; None: keep nothing now."""

    def __init__(self, version: Callable[[], Hashable | None]) -> None:
        self._version = version
        self._current: Hashable | None = None
        self._entries: dict[bytes, Iterator[bytes]] = {}
        self._collecting: dict[bytes, list[bytes]] = {}
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, packet: bytes) -> bytes | None:
        """The answer to a packet, under its id; None if it has to be made."""
        version = self._version()
        if version != self._current:
            self.clear()
            self._current = version
            return None
        body = packet[2:]
        entry = self._entries.get(body)
        if entry is None:
            self.misses += 1
            return None
        for answer in entry:
            self.hits += 1
            return packet[:2] + answer
        del self._entries[body]  # shown often enough
        return None

    def version(self) -> Hashable | None:
        """To be taken before an answer is made, and given to `put`."""
        return self._version()

    def put(self, packet: bytes, answer: bytes, choices: int, version: Hashable | None) -> None:
        """Keep an answer that was made from the state `version`, one of `choices` records' many orders."""
        if version is None or version != self._current or not choices or len(packet) > QUESTION_SIZE_MAX:
            return
        if len(self._entries) + len(self._collecting) >= ENTRIES_MAX:
            self.clear()
        body, kept = packet[2:], answer[2:]
        if choices == 1:
            self._entries[body] = repeat(kept)
            return
        collected = self._collecting.setdefault(body, [])
        collected.append(kept)
        if len(collected) == CHOICES:
            del self._collecting[body]
            self._entries[body] = islice(cycle(collected), CHOICES * ROUNDS)

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._collecting.clear()
