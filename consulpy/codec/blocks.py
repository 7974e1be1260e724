"""Blocks of a configuration file: mappings that know the line of each name.

The HCL and JSON readers create them, so that errors can name the line.
"""

from typing import Any


class Block(dict[str, Any]):
    """Names and values of a block; `line`: of its beginning, `lines`: of each name (0: unknown)."""

    def __init__(self, line: int = 0) -> None:
        super().__init__()
        self.line = line
        self.lines: dict[str, int] = {}

    def line_of(self, name: str) -> int:
        """The line of a name, or of the block's beginning."""
        return self.lines.get(name, self.line)


class Blocks(list[Any]):
    """The blocks of a name that was written several times."""


def line_of(block: Any, name: str = "") -> int:
    """The line of a name in a block, or of the block; 0 for values without lines."""
    return block.line_of(name) if isinstance(block, Block) else 0
