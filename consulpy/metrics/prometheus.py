"""The registry in Prometheus' text format (version 0.0.4).

Written here instead of with `prometheus_client`: the format is these few lines, and the library has its own
process-wide registry.
"""

import math
import re
from collections.abc import Iterable
from typing import Final

from consulpy.metrics.registry import Key, Registry

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
QUANTILES: Final = (0.5, 0.9, 0.99)
_NOT_A_NAME: Final = re.compile(r"[^a-zA-Z0-9_:]")


def render(registry: Registry) -> str:
    """All gauges, and counters and samples since the start; samples as summaries."""
    lines: list[str] = []
    _family(lines, registry, "gauge", registry.gauges().items())
    _family(lines, registry, "counter", registry.totals.items())
    named, newest = "", registry.recent
    for key, total in sorted(registry.sample_totals.items()):
        name = _name(registry, key)
        if name is None:
            continue
        if name != named:
            lines += [f"# HELP {name} {name}", f"# TYPE {name} summary"]
            named = name
        recent = sorted(newest[key])
        for quantile in QUANTILES:
            at = min(math.ceil(quantile * len(recent)), len(recent)) - 1
            lines.append(f"{name}{_labels(key, quantile)} {_number(recent[at])}")
        lines.append(f"{name}_sum{_labels(key)} {_number(total.sum)}")
        lines.append(f"{name}_count{_labels(key)} {total.count}")
    return "\n".join(lines) + "\n" if lines else ""


def _family(lines: list[str], registry: Registry, kind: str, values: Iterable[tuple[Key, float]]) -> None:
    named = ""
    for key, value in sorted(values):
        name = _name(registry, key, kind)
        if name is None:
            continue
        if name != named:
            lines += [f"# HELP {name} {name}", f"# TYPE {name} {kind}"]
            named = name
        lines.append(f"{name}{_labels(key)} {_number(value)}")


def _name(registry: Registry, key: Key, kind: str = "") -> str | None:
    """The displayed name; None if the configuration filters it out."""
    name = registry.shown_name(key[0], gauge=kind == "gauge")
    return _NOT_A_NAME.sub("_", name) if registry.rules.allows(name) else None


def _labels(key: Key, quantile: float | None = None) -> str:
    shown = [f'{_NOT_A_NAME.sub("_", name)}="{_escaped(value)}"' for name, value in key[1]]
    if quantile is not None:
        shown.append(f'quantile="{quantile}"')
    return "{" + ",".join(shown) + "}" if shown else ""


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)
