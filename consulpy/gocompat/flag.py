"""Command line flags in the form of Go's package flag: `-name value`, `-name=value`, and the same with two dashes.

A boolean flag takes a value only with `=`: `-server`, `-server=false`. Unlike Go's, flags may also follow arguments
(`consulpy join 10.0.0.1 -wan`), and the error of an unknown flag names the nearest known one. argparse supports neither
`-server=false` nor values that begin with a dash.
"""

import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import field
from typing import Any, Final

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.errors import ConfigError

_TRUE: Final = ("1", "t", "T", "TRUE", "true", "True")
_FALSE: Final = ("0", "f", "F", "FALSE", "false", "False")
#: Characters per line of a flag's description.
_HELP_WIDTH: Final = 67


class HelpRequested(Exception):
    """The user requested help: -h or -help."""


def switch(text: str) -> bool:
    """Parse a boolean in any of Go's spellings. Raises `ValueError`."""
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise ValueError("expected true or false")


def whole(text: str) -> int:
    """Parse an integer. Raises `ValueError`."""
    try:
        return int(text)
    except ValueError:
        raise ValueError("expected a whole number") from None


def unsigned(text: str) -> int:
    """Parse an integer >= 0. Raises `ValueError`."""
    if not text.isascii() or not text.isdecimal():
        raise ValueError("expected a whole number, 0 or more")
    return int(text)


def pair(text: str) -> tuple[str, str]:
    """Split `key:value`; the value may be missing."""
    name, _, value = text.partition(":")
    return name, value


@dataclass(frozen=True)
class Flag:
    """One flag: its conversion, whether it may be repeated, and its help."""

    name: str
    doc: str
    convert: Callable[[str], Any] = str
    many: bool = False
    default: Any = None
    placeholder: str = "value"
    #: Left out of the help.
    hidden: bool = False

    @property
    def is_switch(self) -> bool:
        """Whether it is boolean."""
        return self.convert is switch


@dataclass
class FlagSet:
    """The flags of a command. With `stop_at_argument` all words after the first argument are arguments too."""

    flags: dict[str, Flag] = field(default_factory=dict)
    stop_at_argument: bool = False

    def add(self, name: str, doc: str, convert: Callable[[str], Any] = str, **rest: Any) -> None:
        """Declare a flag; see `Flag`."""
        self.flags[name] = Flag(name, doc, convert, **rest)

    def parse(self, argv: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
        """Parse a command line: (values by flag name, arguments). A missing flag has its default, `many` ones are
        lists.

        Raises `ConfigError` naming the flag, `HelpRequested`.
        """
        values: dict[str, Any] = {name: [] if one.many else one.default for name, one in self.flags.items()}
        arguments: list[str] = []
        words = list(argv)
        while words:
            word = words.pop(0)
            if word == "--" or (arguments and self.stop_at_argument):
                arguments += words if word == "--" else [word, *words]
                break
            if not word.startswith("-") or word == "-":
                arguments.append(word)
                continue
            name, equals, text = word.removeprefix("-").removeprefix("-").partition("=")
            flag = self._find(name, word)
            if not equals and flag.is_switch:
                text = "true"
            elif not equals:
                if not words:
                    raise ConfigError(f"flag needs an argument: -{name}")
                text = words.pop(0)
            value = _converted(flag, text)
            if flag.many:
                values[name].append(value)
            else:
                values[name] = value
        return values, arguments

    def _find(self, name: str, word: str) -> Flag:
        found = self.flags.get(name)
        if found is not None:
            return found
        if name in ("h", "help"):
            raise HelpRequested
        import difflib  # for misspelt names only

        near = difflib.get_close_matches(name, self.flags, n=1, cutoff=0.5)
        hint = f"; did you mean -{near[0]}?" if near else ""
        raise ConfigError(f"flag provided but not defined: {word.partition('=')[0]}{hint}")


def _converted(flag: Flag, text: str) -> Any:
    try:
        return flag.convert(text)
    except ValueError as error:
        raise ConfigError(f'invalid value "{text}" for flag -{flag.name}: {error}') from None


def flags_help(flags: Iterable[Flag]) -> str:
    """The help of all flags in the form of Consul's help texts; hidden ones are left out."""
    shown = []
    for flag in flags:
        if not flag.hidden:
            value = "" if flag.is_switch else f"=<{flag.placeholder}>"
            text = textwrap.fill(flag.doc, _HELP_WIDTH, break_on_hyphens=False)
            shown.append(f"  -{flag.name}{value}\n{textwrap.indent(text, '     ')}")
    return "\n\n".join(shown)
