"""The packet cache: question bytes -> answer bytes, without ids, for as long as what they are about is the same.

A hit costs two look-ups: the packet, and the version of the node or service that it is about. What may be kept: answers
that depend on nothing but one node or service of this datacenter. Several records are a random choice, so for those a
set of different answers is kept and shown in turn: each of the first is drawn as it is asked for, then one at a time is
drawn anew, and after a second the set begins again. Clients still see the instances in changing order, who asks seldom
gets a new choice each time, and nobody waits for more than one to be drawn.
"""

from collections.abc import Callable, Hashable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import repeat
from typing import Final

#: Questions kept for UDP, and for TCP, whose answers are larger; when there are more, all are forgotten (that happens
#: to floods of random names only).
ENTRIES_MAX: Final = 20_000
TCP_ENTRIES_MAX: Final = 500
#: Different answers kept for one question, and how many bytes of them at most if they are large.
CHOICES: Final = 16
SET_BYTES_MAX: Final = 96 * 1024
#: How often the set is gone through for each answer that is drawn anew, and for how many seconds it lives.
ROUNDS: Final = 4
CHOICES_LIFE_S: Final = 1.0
#: Records that the sets choose from, together, and as many again of the second before; a set keeps some 2 kB for each.
#: When there are more, the older sets are forgotten.
SET_RECORDS_MAX: Final = 10_000
#: Larger questions are not kept: nobody asks them honestly.
QUESTION_SIZE_MAX: Final = 300

NODE: Final = "node"
SERVICE: Final = "service"
#: What an answer is about: `NODE` or `SERVICE` with its name in lower case, or two empty texts for nothing of the kind.
Scope = tuple[str, str]
#: Names the state of a scope: equal as long as nothing in it changed; None while there is nothing to go by.
Version = Callable[[Scope], Hashable | None]


@dataclass(slots=True)
class CacheableAnswer:
    """An answer, and what is needed to keep it.

    `choices`: of how many records it is one random choice, 0 if it can't be kept. `version`: that of `scope` before the
    answer was made. `draw`: makes another choice of the same records at once; without it a choice can't be kept.
    """

    packet: bytes
    choices: int = 0
    scope: Scope = ("", "")
    version: Hashable | None = None
    draw: Callable[[], bytes] | None = None


@dataclass(slots=True)
class _Entry:
    answers: Iterator[bytes]
    scope: Scope
    version: Hashable
    choices: int = 1
    draw: Callable[[], bytes] | None = None


class PacketCache:
    """Answers to questions that came the same way: UDP and TCP have one each. `most`: how many questions are kept."""

    def __init__(self, version: Version, most: int = ENTRIES_MAX) -> None:
        self._version = version
        self._most = most
        self._entries: dict[bytes, _Entry] = {}
        self._sets: dict[bytes, _Entry] = {}
        self._resting: dict[bytes, _Entry] = {}
        self._records = 0
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._entries) + len(self._sets) + len(self._resting)

    def get(self, packet: bytes) -> bytes | None:
        """The answer to a packet, under its id; None if it has to be made."""
        body = packet[2:]
        entry = self._entries.get(body) or self._sets.get(body) or self._woken(body)
        if entry is not None:
            if self._version(entry.scope) == entry.version:
                for answer in entry.answers:
                    self.hits += 1
                    return packet[:2] + answer
            self._forget(body)  # no longer true, or it can't be drawn: whoever makes it plainly says why
        self.misses += 1
        return None

    def put(self, packet: bytes, made: CacheableAnswer) -> None:
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
        if made.draw is not None:
            self._resting.pop(body, None)
            self._begin(body, _Entry(_turns(made.draw), made.scope, made.version, made.choices, made.draw))

    def forget_choices(self) -> None:
        """Begin all sets of choices again, without those that nobody asks for; to be called every `CHOICES_LIFE_S`."""
        self._sets, self._resting, self._records = {}, self._sets, 0
        for entry in self._resting.values():
            entry.answers = iter(())

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._sets, self._resting, self._records = {}, {}, 0

    def _begin(self, body: bytes, entry: _Entry) -> None:
        if self._records >= SET_RECORDS_MAX:
            self.forget_choices()
        self._records += entry.choices
        self._sets[body] = entry

    def _woken(self, body: bytes) -> _Entry | None:
        """A set from before the last `forget_choices`, begun again."""
        entry = self._resting.pop(body, None)
        if entry is not None and entry.draw is not None:
            entry.answers = _turns(entry.draw)
            self._begin(body, entry)
        return entry

    def _forget(self, body: bytes) -> None:
        self._entries.pop(body, None)
        self._sets.pop(body, None)


def _turns(draw: Callable[[], bytes]) -> Iterator[bytes]:
    """Choices without their ids, in turn, as the module's text says. Ends when one can't be drawn."""
    shown: list[bytes] = []
    with suppress(Exception):  # some instance can't be said in DNS; a wake-up of the socket must not end with that
        while len(shown) < CHOICES and sum(map(len, shown)) < SET_BYTES_MAX:
            shown.append(draw()[2:])
            yield shown[-1]
        while True:
            for at in range(len(shown)):
                shown[at] = draw()[2:]
                for _ in range(ROUNDS):
                    yield from shown
