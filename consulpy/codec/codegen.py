"""Generation of straight-line functions, compiled once per class, as `dataclasses` generates its methods.

Iterating over a record's fields costs several times the work on them, and servers do it for each record in every write
and answer.
"""

from collections.abc import Callable
from typing import Any, Final

#: Types whose values are written as literals.
_LITERALS: Final = (type(None), bool, int, float, str, bytes)


class Source:
    """The source of a function with one parameter."""

    def __init__(self, name: str, parameter: str) -> None:
        self._name = name
        self._lines = [f"def {name}({parameter}):"]
        self._objects: dict[str, Any] = {}

    def add(self, line: str, depth: int = 1) -> None:
        """Append a line at an indentation depth."""
        self._lines.append("    " * depth + line)

    def expression(self, value: Any) -> str:
        """A name or literal for `value` in the source."""
        if type(value) in _LITERALS:
            return repr(value)
        name = f"_{len(self._objects)}"
        self._objects[name] = value
        return name

    def function(self) -> Callable[[Any], Any]:
        """Compile the function."""
        code = compile("\n".join(self._lines), f"<{__name__}.{self._name}>", "exec")
        exec(code, self._objects)  # our own source: names of fields and of given objects
        made: Callable[[Any], Any] = self._objects[self._name]
        return made
