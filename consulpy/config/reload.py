"""The effect of a reload: changed keys that are applied, and those that need a restart."""

from typing import Any

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.config.schema import KEYS, RuntimeConfig
from consulpy.config.tls import tls_settings


@dataclass(frozen=True)
class Changes:
    """Names of changed keys. `has_tls`: whether there are certificate files, which each reload reads again."""

    applied: tuple[str, ...]
    need_restart: tuple[str, ...]
    has_tls: bool

    def __str__(self) -> str:
        parts = [f"applied: {', '.join(self.applied)}"] if self.applied else []
        parts += [f"not applied before a restart: {', '.join(self.need_restart)}"] if self.need_restart else []
        parts = parts or ["no setting changed"]
        parts += ["certificates and keys were read again"] if self.has_tls else []
        return "; ".join(parts)


def compare(before: RuntimeConfig, after: RuntimeConfig) -> Changes:
    """The keys whose values differ between two configurations."""
    tls = tls_settings(after)
    different = [key for names, key in KEYS.values() if _value(before, names) != _value(after, names)]
    return Changes(
        tuple(key.path for key in different if key.reloadable),
        tuple(key.path for key in different if not key.reloadable and key.path != "node_id"),
        tls.has_ca or tls.has_certificate or tls.of_https.has_certificate,
    )


def _value(config: RuntimeConfig, names: tuple[str, ...]) -> Any:
    value: Any = config
    for name in names:
        value = getattr(value, name)
    return value
