"""Console sessions in documentation: commands with the output that a reader is to see.

A block fenced as `console` has lines `HOST$ COMMAND`, each followed by its output; `...` stands for anything. An HTML
comment says what happens between blocks: `<!-- run: NAME -->` begins a session, `<!-- HOST: ACTION -->` is an action.
"""

import doctest
import re
from dataclasses import dataclass

_PART = re.compile(r"<!-- (?P<who>\w+): (?P<action>.*?) -->|```console\n(?P<block>.*?)```", re.DOTALL)
_COMMAND = re.compile(r"(?m)^(\w*)\$ (.+)\n")


@dataclass(frozen=True)
class Command:
    """`text` on `host`; `output`: what it prints, with `...` for anything."""

    host: str
    text: str
    output: str


@dataclass(frozen=True)
class Action:
    """Something that the reader does on `host`, such as Ctrl-C."""

    host: str
    text: str


Step = Command | Action


def sessions(page: str) -> dict[str, list[Step]]:
    """The sessions of a page by name, each with its steps in order."""
    found: dict[str, list[Step]] = {}
    steps: list[Step] | None = None
    for part in _PART.finditer(page):
        if part["who"] == "run":
            steps = found.setdefault(part["action"], [])
        elif steps is None:
            raise ValueError(f"belongs to no session: {part[0][:80]}")
        elif part["who"]:
            steps.append(Action(part["who"], part["action"]))
        else:
            words = _COMMAND.split(part["block"])
            steps += [Command(*words[at : at + 3]) for at in range(1, len(words), 3)]
    return found


def matches(expected: str, printed: str) -> bool:
    """Whether a reader would say that this is the output; runs of blanks are one."""
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    return doctest.OutputChecker().check_output(expected, printed, options)
