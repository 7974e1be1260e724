"""The packet cache: question bytes -> answer bytes, without ids, for as long as what they are about is the same.

A hit costs two look-ups: the packet, and the version of the node or service that it is about. What may be kept: answers
that depend on nothing but one node or service of this datacenter. Several records are a random choice, so of those a
set of different answers is collected first, then shown in turn for a second at most, then collected anew: clients still
see the instances in changing order, and who asks seldom gets a new choice each time.
"""

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from itertools import cycle, islice, repeat
from typing import Final

#: Questions kept for UDP, and for TCP, whose answers are larger; when there are more, all are forgotten (that happens
#: to floods of random names only).
ENTRIES_MAX: Final = 20_000
TCP_ENTRIES_MAX: Final = 500
#: Different answers collected for one question, how often the set is gone through, and for how many seconds it lives.
CHOICES: Final = 16
ROUNDS: Final = 64
CHOICES_LIFE_S: Final = 1.0
#: Larger questions are not kept: nobody asks them honestly.
QUESTION_SIZE_MAX: Final = 300

NODE: Final = "node"
SERVICE: Final = "service"
#: What an answer is about: `NODE` or `SERVICE` with its name in lower case, or two empty texts for nothing of the kind.
Scope = tuple[str, str]
#: Names the state of a scope: equal as long as nothing in it changed; None while there is nothing to go by.
Version = Callable[[Scope], Hashable | None]


@dataclass(slots=True)
class Made:
    """An answer, and what is needed to keep it.

    `choices`: of how many records it is one random choice, 0 if it can't be kept. `version`: that of `scope` before the
    answer was made.
    """

    packet: bytes
    choices: int = 0
    scope: Scope = ("", "")
    version: Hashable | None = None


@dataclass(slots=True)
class _Entry:
    answers: Iterator[bytes]
    scope: Scope
    version: Hashable


class PacketCache:
    """Answers to questions that came the same way: UDP and TCP have one each. `most`: how many questions are kept."""

    def __init__(self, version: Version, most: int = ENTRIES_MAX) -> None:
        self._version = version
        self._most = most
        self._entries: dict[bytes, _Entry] = {}
        self._sets: dict[bytes, _Entry] = {}
        self._collecting: dict[bytes, tuple[Hashable, list[bytes]]] = {}
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._entries) + len(self._sets) + len(self._collecting)

    def get(self, packet: bytes) -> bytes | None:
        """The answer to a packet, under its id; None if it has to be made."""
        body = packet[2:]
        entry = self._entries.get(body) or self._sets.get(body)
        if entry is not None:
            if self._version(entry.scope) == entry.version:
                for answer in entry.answers:
                    self.hits += 1
                    return packet[:2] + answer
            self._forget(body)  # shown often enough, or no longer true
        self.misses += 1
        return None

    def put(self, packet: bytes, made: Made) -> None:
        """Keep the answer that was made for a packet, if it may be kept."""
        if not made.choices or made.version is None or len(packet) > QUESTION_SIZE_MAX:
            return
        if len(self) >= self._most:
            self.clear()
        body, kept = packet[2:], made.packet[2:]
        self._entries.pop(body, None)
        if made.choices == 1:
            self._entries[body] = _Entry(repeat(kept), made.scope, made.version)
            return
        version, collected = self._collecting.get(body, (None, []))
        if version != made.version:
            collected = []
        collected.append(kept)
        self._collecting[body] = (made.version, collected)
        if len(collected) == CHOICES:
            del self._collecting[body]
            self._sets[body] = _Entry(islice(cycle(collected), CHOICES * ROUNDS), made.scope, made.version)

    def forget_choices(self) -> None:
        """Forget all sets of choices; to be called every `CHOICES_LIFE_S` seconds."""
        self._sets.clear()
        self._collecting.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self.forget_choices()

    def _forget(self, body: bytes) -> None:
        self._entries.pop(body, None)
        self._sets.pop(body, None)
