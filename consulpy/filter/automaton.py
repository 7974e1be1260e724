"""Whether a pattern is found in a text, in time proportional to the text.

A pattern's tree becomes steps; reading a text, all steps are followed that the characters so far allow (Thompson's
construction). Sets of steps that come up are numbered and their successors remembered, so a character usually costs one
look-up. Both the steps and what is remembered are bounded.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

#: Steps that a pattern may have; counted repetitions are written out.
STEPS_MAX: Final = 20_000
#: Successors remembered before all are forgotten.
REMEMBERED_MAX: Final = 10_000

Fits = Callable[[str], bool]


def any_char(char: str) -> bool:  # noqa: ARG001
    """Every character fits."""
    return True


@dataclass(slots=True)
class Chars:
    """One character that fits."""

    fits: Fits


@dataclass(slots=True)
class Assertion:
    """A condition on a place: "start", "end", "line start", "line end", "word edge", "no word edge"."""

    kind: str


@dataclass(slots=True)
class Empty:
    """Nothing."""


@dataclass(slots=True)
class Sequence:
    """One after the other."""

    parts: "list[Node]"


@dataclass(slots=True)
class OneOf:
    """Any of these."""

    parts: "list[Node]"


@dataclass(slots=True)
class Repeat:
    """At least and at most so many times; None: no limit."""

    inner: "Node"
    least: int
    most: int | None


Node = Chars | Assertion | Empty | Sequence | OneOf | Repeat


class TooLarge(Exception):
    """A pattern of too many steps."""


class Automaton:
    """A compiled pattern."""

    #: The step at which the pattern has been found.
    _FOUND: Final = 0

    def __init__(self, tree: Node) -> None:
        # a step is the character test or condition to pass (None: neither), and the steps after it
        self._steps: list[tuple[Fits | str | None, tuple[int, ...]]] = [(None, ())]
        self._begin = self._add(tree, self._FOUND)
        self._numbers: dict[tuple[frozenset[int], str], int] = {}
        self._states: list[tuple[frozenset[int], str]] = []
        self._next: dict[tuple[int, str], int] = {}

    def search(self, text: str) -> bool:
        """Whether the pattern is found anywhere in `text`."""
        if len(self._next) > REMEMBERED_MAX:
            self._next.clear()
            self._numbers.clear()
            self._states.clear()
        state = self._number(frozenset(), "")
        remembered = self._next
        for char in text:
            after = remembered.get((state, char))
            if after is None:
                after = self._advance(state, char)
            if after < 0:
                return True
            state = after
        return self._advance(state, "") < 0

    def _number(self, steps: frozenset[int], before: str) -> int:
        key = (steps, before)
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self._states)
            self._states.append(key)
        return number

    def _advance(self, state: int, char: str) -> int:
        """The state after `char` ("" is the end of the text); -1 when the pattern has been found before it."""
        waiting, before = self._states[state]
        reached = self._reachable(waiting | {self._begin}, before, char)
        if self._FOUND in reached:
            after = -1
        elif not char:
            after = state
        else:
            passed: set[int] = set()
            for step in reached:
                test, following = self._steps[step]
                if test is not None and not isinstance(test, str) and test(char):
                    passed.update(following)
            after = self._number(frozenset(passed), _kind(char))
        self._next[state, char] = after
        return after

    def _reachable(self, begin: frozenset[int], before: str, char: str) -> set[int]:
        """All steps that are reached from `begin` without reading a character, between `before` and `char`."""
        reached: set[int] = set()
        todo = list(begin)
        while todo:
            step = todo.pop()
            if step in reached:
                continue
            reached.add(step)
            test, following = self._steps[step]
            if test is None or (isinstance(test, str) and _holds(test, before, _kind(char))):
                todo.extend(following)
        return reached

    def _step(self, test: Fits | str | None, *following: int) -> int:
        if len(self._steps) >= STEPS_MAX:
            raise TooLarge
        self._steps.append((test, following))
        return len(self._steps) - 1

    def _add(self, node: Node, following: int) -> int:
        """The first step of `node`, after which it goes on at `following`."""
        if isinstance(node, Chars):
            return self._step(node.fits, following)
        if isinstance(node, Assertion):
            return self._step(node.kind, following)
        if isinstance(node, Empty):
            return following
        if isinstance(node, Sequence):
            for part in reversed(node.parts):
                following = self._add(part, following)
            return following
        if isinstance(node, OneOf):
            return self._step(None, *(self._add(part, following) for part in node.parts))
        return self._add_repeat(node, following)

    def _add_repeat(self, node: Repeat, following: int) -> int:
        if node.most is None:
            loop = self._step(None)
            self._steps[loop] = (None, (self._add(node.inner, loop), following))
            following = loop
        else:
            end = following
            for _ in range(node.most - node.least):
                following = self._step(None, self._add(node.inner, following), end)
        for _ in range(node.least):
            following = self._add(node.inner, following)
        return following


def _kind(char: str) -> str:
    """What conditions need to know of a character: "" none, "\\n", "w" of a word, "." any other."""
    if char in ("", "\n"):
        return char
    return "w" if char == "_" or (char.isascii() and char.isalnum()) else "."


def _holds(condition: str, before: str, after: str) -> bool:
    if condition == "start":
        return before == ""
    if condition == "end":
        return after == ""
    if condition == "line start":
        return before in ("", "\n")
    if condition == "line end":
        return after in ("", "\n")
    edge = (before == "w") != (after == "w")
    return edge if condition == "word edge" else not edge
