"""The place of a setting in a file, for errors with file and line."""

from typing import Any

from consulpy.codec.blocks import line_of
from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.secrets import holds_secrets
from consulpy.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a value: file, line (0: unknown) and path of names."""

    origin: str
    line: int
    path: str

    def at(self, name: str, block: Any) -> "Place":
        """The place of a name in a block."""
        return Place(self.origin, line_of(block, name) or self.line, f"{self.path}.{name}" if self.path else name)

    def item(self, index: int, value: Any) -> "Place":
        """The place of an item of a list."""
        return Place(self.origin, line_of(value) or self.line, f"{self.path}[{index}]")

    def __str__(self) -> str:
        return f"{self.origin}:{self.line}" if self.line else self.origin

    def check_spellings(self, block: Any) -> None:
        """Raise `ConfigError` if the block, at this place, has a name in two spellings that differ by case."""
        seen: dict[str, str] = {}
        for name in block:
            other = seen.setdefault(name.lower(), name)
            if other != name:
                here = self.at(name, block)
                raise ConfigError(f"{here}: invalid config key {here.path}: the block has {other} already")

    def wrong(self, expected: str, value: Any, *, secret: bool = False) -> ConfigError:
        """The error of a value of the wrong type. A secret value, by declaration or by name, is not shown."""
        shown = repr(value) if len(repr(value)) < 60 else f"{repr(value)[:57]}..."
        if secret or any(holds_secrets(name.partition("[")[0]) for name in self.path.split(".")):
            shown = f"what is there ({type(value).__name__})"
        return ConfigError(f"{self}: {self.path}: expected {expected}, not {shown}")

    def fault(self, why: object) -> ConfigError:
        """An error at this place."""
        return ConfigError(f"{self}: {self.path}: {why}")
