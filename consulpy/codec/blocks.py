"""A block of settings as it was written: a mapping that knows the line of each of its names.

The readers of HCL and of JSON make them, so that an error can say where the setting stands.
"""

from typing import Any


class Block(dict[str, Any]):
    """Names and values of one block; `line` is where it begins, `lines` where each name stands (0: not known)."""

    def __init__(self, line: int = 0) -> None:
        super().__init__()
        self.line = line
        self.lines: dict[str, int] = {}

    def line_of(self, name: str) -> int:
        """The line of a name, or where the block begins."""
        return self.lines.get(name, self.line)


class Blocks(list[Any]):
    """A name that was written as a block several times."""


def line_of(block: Any, name: str = "") -> int:
    """The line of a name in a block, or of the block; 0 for values that were not read from a text."""
    return block.line_of(name) if isinstance(block, Block) else 0
