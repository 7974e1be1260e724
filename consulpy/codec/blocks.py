"""Blocks of a configuration file: mappings that know the line of each name.

The HCL and JSON readers create them, so that errors can name the line.
"""

from collections.abc import Mapping
from typing import Any

from consulpy.errors import ConfigError


class Block(dict[str, Any]):
    """Names and values of a block; `line`: of its beginning, `lines`: of each name (0: unknown).

    `is_list`: where a list is expected, the block is a list of one (HCL; not JSON).
    """

    def __init__(self, line: int = 0, *, is_list: bool = True) -> None:
        super().__init__()
        self.line = line
        self.is_list = is_list
        self.lines: dict[str, int] = {}

    def line_of(self, name: str) -> int:
        """The line of a name, or of the block's beginning."""
        return self.lines.get(name, self.line)


class Label(Block):
    """The block around a labelled one: it has the label for its only name."""


class Blocks(list[Any]):
    """The blocks of a name that was written several times."""


def single(value: Any) -> Any:
    """The only item of a list, at any depth; any other value, unchanged.

    What Consul does with a list in the place of one value.
    """
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    return value


def line_of(block: Any, name: str = "") -> int:
    """The line of a name in a block, or of the block; 0 for values without lines."""
    return block.line_of(name) if isinstance(block, Block) else 0


def block_of(settings: Mapping[str, Any]) -> Block:
    """The blocks of a program's mapping; tuples count as lists. Raises `ConfigError` for a name that is no text."""
    block = Block()
    for name, value in settings.items():
        if not isinstance(name, str):
            raise ConfigError(f"expected names of settings as texts, not {name!r}")
        block[name] = _value_of(value)
    return block


def _value_of(value: Any) -> Any:
    if isinstance(value, Mapping):
        return block_of(value)
    return [_value_of(one) for one in value] if isinstance(value, list | tuple) else value
