"""Counters that are too frequent for a call of the registry each: added up here, and read by it periodically."""

from functools import partial

from consulpy.metrics.registry import Registry


class Tallies:
    """Samples, or counters, by name. The registry learns of a name when it is first used."""

    def __init__(self, registry: Registry, *, samples: bool = True) -> None:
        self._registry = registry
        self._samples = samples
        self._tallies: dict[str, list[float]] = {}

    def add(self, name: str, value: float, count: int = 1) -> None:
        """Add `count` values whose sum is `value`."""
        tally = self._tallies.get(name)
        if tally is None:
            tally = self._tallies[name] = [0, 0.0]
            self._registry.pull(name, partial(_read, tally), samples=self._samples)
        tally[0] += count
        tally[1] += value


def _read(tally: list[float]) -> tuple[int, float]:
    return int(tally[0]), tally[1]
