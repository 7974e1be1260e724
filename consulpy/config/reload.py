"""The effect of a reload: changed keys that are applied, and those that need a restart."""

from typing import Any

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.config.schema import KEYS, RuntimeConfig


@dataclass(frozen=True)
class Changes:
    """Names of changed keys."""

    applied: tuple[str, ...]
    need_restart: tuple[str, ...]

    def __str__(self) -> str:
        if not self.applied and not self.need_restart:
            return "nothing changed"
        parts = [f"applied: {', '.join(self.applied)}"] if self.applied else []
        parts += [f"not applied before a restart: {', '.join(self.need_restart)}"] if self.need_restart else []
        return "; ".join(parts)


def compare(before: RuntimeConfig, after: RuntimeConfig) -> Changes:
    """The keys whose values differ between two configurations."""
    different = [key for names, key in KEYS.values() if _value(before, names) != _value(after, names)]
    return Changes(
        tuple(key.path for key in different if key.reloadable),
        tuple(key.path for key in different if not key.reloadable and key.path != "node_id"),
    )


def _value(config: RuntimeConfig, names: tuple[str, ...]) -> Any:
    value: Any = config
    for name in names:
        value = getattr(value, name)
    return value
