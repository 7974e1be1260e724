"""Functions written out as straight code, once for each class, as `dataclasses` makes its methods.

To go through a record's fields by a table costs several times what is done with them, and every write and every answer
of a server does that for each record in it.
"""

from collections.abc import Callable
from typing import Any, Final

#: Types whose values stand in the text as they are.
_LITERALS: Final = (type(None), bool, int, float, str, bytes)


class Source:
    """The text of a function with one parameter, line by line."""

    def __init__(self, name: str, parameter: str) -> None:
        self._name = name
        self._lines = [f"def {name}({parameter}):"]
        self._objects: dict[str, Any] = {}

    def add(self, line: str, depth: int = 1) -> None:
        """One more line, so deep inside."""
        self._lines.append("    " * depth + line)

    def expression(self, value: Any) -> str:
        """How the text speaks of a value."""
        if type(value) in _LITERALS:
            return repr(value)
        name = f"_{len(self._objects)}"
        self._objects[name] = value
        return name

    def function(self) -> Callable[[Any], Any]:
        """What was written."""
        code = compile("\n".join(self._lines), f"<{__name__}.{self._name}>", "exec")
        exec(code, self._objects)  # our own text: names of fields and of the objects that were given
        made: Callable[[Any], Any] = self._objects[self._name]
        return made
