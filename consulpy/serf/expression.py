"""Regular expressions of query filters, in time that grows only with their length and the text's.

Anybody in the cluster may send one, and Go's `regexp` cannot be made to run away; Python's can (`(a+)+$`). So the
standard library only parses here, and the match follows all ways through the expression at once (Thompson, 1968).
What Go does not know (look-around, back-references) is refused, as are expressions that become too large.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from re import _constants as c  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any, Final

LENGTH_LIMIT: Final = 512
#: The most steps of a compiled expression; counted repetitions are written out.
STEPS_LIMIT: Final = 4096

#: What can stand at one place: (character -> whether it fits), or (text, position) -> whether we may pass.
_Fits = Callable[[str], bool]
_Passes = Callable[[str, int], bool]

_CATEGORIES: Final[dict[Any, _Fits]] = {  # ASCII only, as in Go
    c.CATEGORY_DIGIT: lambda x: "0" <= x <= "9",
    c.CATEGORY_NOT_DIGIT: lambda x: not "0" <= x <= "9",
    c.CATEGORY_SPACE: lambda x: x in "\t\n\f\r ",
    c.CATEGORY_NOT_SPACE: lambda x: x not in "\t\n\f\r ",
    c.CATEGORY_WORD: lambda x: _is_word(x),
    c.CATEGORY_NOT_WORD: lambda x: not _is_word(x),
}


def _is_word(character: str) -> bool:
    return character == "_" or (character.isascii() and character.isalnum())


def _at_boundary(text: str, at: int) -> bool:
    before = at > 0 and _is_word(text[at - 1])
    return before != (at < len(text) and _is_word(text[at]))


_PLACES: Final[dict[Any, _Passes]] = {
    c.AT_BEGINNING: lambda _text, at: at == 0,
    c.AT_BEGINNING_STRING: lambda _text, at: at == 0,
    c.AT_END: lambda text, at: at == len(text),
    c.AT_END_STRING: lambda text, at: at == len(text),
    c.AT_BOUNDARY: _at_boundary,
    c.AT_NON_BOUNDARY: lambda text, at: not _at_boundary(text, at),
}
_LINE_PLACES: Final[dict[Any, _Passes]] = {
    c.AT_BEGINNING: lambda text, at: at == 0 or text[at - 1] == "\n",
    c.AT_END: lambda text, at: at == len(text) or text[at] == "\n",
}


class _Unsupported(Exception):
    """Go refuses this, or it is too large."""


class Expression:
    """A compiled expression. Raises `_Unsupported` or `re.error`."""

    def __init__(self, expression: str) -> None:
        #: Each step: a character that fits, a place that passes, or nothing; and where it leads.
        self._fits: list[_Fits | None] = []
        self._passes: list[_Passes | None] = []
        self._next: list[tuple[int, ...]] = []
        parsed = _parser.parse(expression)
        self._end = self._step()
        self._start = self._sequence(parsed, parsed.state.flags, self._end)

    def search(self, text: str) -> bool:
        """Whether it is found anywhere in `text`."""
        here: set[int] = set()
        for at in range(len(text) + 1):
            self._follow(self._start, text, at, here)
            if self._end in here:
                return True
            if at < len(text):
                there: set[int] = set()
                for step in here:
                    fits = self._fits[step]
                    if fits is not None and fits(text[at]):
                        self._follow(self._next[step][0], text, at + 1, there)
                here = there
        return self._end in here

    def _follow(self, step: int, text: str, at: int, reached: set[int]) -> None:
        """All steps that are reached from `step` without taking a character."""
        waiting = [step]
        while waiting:
            step = waiting.pop()
            if step not in reached:
                reached.add(step)
                passes = self._passes[step]
                if self._fits[step] is None and (passes is None or passes(text, at)):
                    waiting += self._next[step]

    def _step(self, *following: int, fits: _Fits | None = None, passes: _Passes | None = None) -> int:
        if len(self._next) >= STEPS_LIMIT:
            raise _Unsupported
        self._fits.append(fits)
        self._passes.append(passes)
        self._next.append(following)
        return len(self._next) - 1

    def _sequence(self, parsed: Any, flags: int, following: int) -> int:
        """The steps of `parsed`, built from the end; the first one."""
        for code, argument in reversed(list(parsed)):
            following = self._part(code, argument, flags, following)
        return following

    def _part(self, code: Any, argument: Any, flags: int, following: int) -> int:
        if code in (c.MAX_REPEAT, c.MIN_REPEAT):
            least, most, inner = argument
            return self._repeat(least, most, inner, flags, following)
        if code is c.SUBPATTERN:
            _group, added, removed, inner = argument
            return self._sequence(inner, (flags | added) & ~removed, following)
        if code is c.BRANCH:
            return self._step(*(self._sequence(branch, flags, following) for branch in argument[1]))
        if code is c.AT:
            places = {**_PLACES, **_LINE_PLACES} if flags & re.MULTILINE else _PLACES
            return self._step(following, passes=places[argument])
        if code is c.ANY:
            return self._step(following, fits=(lambda _: True) if flags & re.DOTALL else (lambda x: x != "\n"))
        if code in (c.LITERAL, c.NOT_LITERAL, c.IN):
            items = argument if code is c.IN else [(code, argument)]
            return self._step(following, fits=_set(items, bool(flags & re.IGNORECASE)))
        raise _Unsupported

    def _repeat(self, least: int, most: Any, inner: Any, flags: int, following: int) -> int:
        if most is c.MAXREPEAT:
            loop = self._step()
            self._next[loop] = (self._sequence(inner, flags, loop), following)
            following = loop
        else:
            if most > 1000:  # Go's own limit
                raise _Unsupported
            end = following
            for _ in range(most - least):
                following = self._step(self._sequence(inner, flags, following), end)
        for _ in range(least):
            following = self._sequence(inner, flags, following)
        return following


def _set(items: Any, ignore_case: bool) -> _Fits:
    """Whether a character is one of a set."""
    tests: list[_Fits] = []
    negated = False
    for code, argument in items:
        if code is c.NEGATE:
            negated = True
        elif code is c.LITERAL:
            tests.append(_between(argument, argument))
        elif code is c.NOT_LITERAL:
            negated = True
            tests.append(_between(argument, argument))
        elif code is c.RANGE:
            tests.append(_between(*argument))
        elif code is c.CATEGORY:
            tests.append(_CATEGORIES[argument])
        else:
            raise _Unsupported
    if ignore_case:
        return lambda x: any(test(each) for test in tests for each in {x, x.lower()[:1], x.upper()[:1]}) != negated
    return lambda x: any(test(x) for test in tests) != negated


def _between(low: int, high: int) -> _Fits:
    return lambda x: low <= ord(x) <= high


@lru_cache(maxsize=256)
def compile_expression(expression: str) -> Expression | None:
    """`expression`, to `search` with; None if Go would refuse it, or if it is too large."""
    if len(expression) > LENGTH_LIMIT:
        return None
    try:
        return Expression(expression)
    except (_Unsupported, re.error, RecursionError, OverflowError):
        return None
