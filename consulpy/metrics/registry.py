"""Counters, gauges and samples in intervals of 10 seconds, as `/v1/agent/metrics` shows them.

Names are dotted without the prefix (`rpc.request`); shown they begin with `consul.`. What is shown is the last whole
interval, so that two readers see the same. Form seen in the answers of a real agent.
"""

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

#: How long an interval lasts, in seconds.
INTERVAL_S: Final = 10
#: How many different names (with labels) are kept; more are counted in `dropped`.
NAMES_MAX: Final = 4096
#: How many of the last values of a sample are kept for quantiles.
RECENT_MAX: Final = 512

#: A name with its labels.
Key = tuple[str, tuple[tuple[str, str], ...]]


@dataclass(slots=True)
class Aggregate:
    """Values that were added up: how many, their sum, extremes and spread."""

    count: int = 0
    sum: float = 0.0
    square_sum: float = 0.0
    minimum: float = math.inf
    maximum: float = -math.inf

    def add(self, value: float) -> None:
        """One more value."""
        self.count += 1
        self.sum += value
        self.square_sum += value * value
        self.minimum = min(self.minimum, value)
        self.maximum = max(self.maximum, value)

    @property
    def mean(self) -> float:
        """The arithmetic mean; 0 for none."""
        return self.sum / self.count if self.count else 0.0

    @property
    def deviation(self) -> float:
        """The standard deviation of the values as a sample; 0 for fewer than two."""
        if self.count < 2:
            return 0.0
        square = (self.count * self.square_sum - self.sum * self.sum) / (self.count * (self.count - 1))
        return math.sqrt(max(square, 0.0))


@dataclass(slots=True)
class Interval:
    """What happened in one interval. `start_s`: seconds since 1970."""

    start_s: int
    counters: dict[Key, Aggregate] = field(default_factory=dict)
    samples: dict[Key, Aggregate] = field(default_factory=dict)
    gauges: dict[Key, float] = field(default_factory=dict)


class Registry:
    """All that this agent measures. `wall_s()`: seconds since 1970; `prefix`: what shown names begin with."""

    def __init__(self, wall_s: Callable[[], float], prefix: str = "consul") -> None:
        self.prefix = prefix
        self._wall_s = wall_s
        self._now = Interval(self._interval_start())
        self._whole: Interval | None = None
        self._reads: dict[Key, Callable[[], float]] = {}
        #: Since the start, for renderings that want totals.
        self.totals: dict[Key, float] = {}
        self.sample_totals: dict[Key, Aggregate] = {}
        self.recent: dict[Key, deque[float]] = {}
        #: Values whose name came when there were too many already.
        self.dropped = 0

    def incr(self, name: str, value: float = 1, labels: Mapping[str, str] | None = None) -> None:
        """`value` more of something."""
        key = _key(name, labels)
        if self._has_room(key, self.totals):
            self._current().counters.setdefault(key, Aggregate()).add(value)
            self.totals[key] = self.totals.get(key, 0.0) + value

    def sample(self, name: str, value: float, labels: Mapping[str, str] | None = None) -> None:
        """Something took, or weighed, `value` (times in milliseconds)."""
        key = _key(name, labels)
        if self._has_room(key, self.sample_totals):
            self._current().samples.setdefault(key, Aggregate()).add(value)
            self.sample_totals.setdefault(key, Aggregate()).add(value)
            self.recent.setdefault(key, deque(maxlen=RECENT_MAX)).append(value)

    def gauge(self, name: str, value: float, labels: Mapping[str, str] | None = None) -> None:
        """Something stands at `value` now."""
        key = _key(name, labels)
        gauges = self._current().gauges
        if self._has_room(key, gauges):
            gauges[key] = value

    def watch(self, name: str, read: Callable[[], float], labels: Mapping[str, str] | None = None) -> None:
        """Something whose value is asked for whenever it is shown."""
        self._reads[_key(name, labels)] = read

    def gauges(self) -> dict[Key, float]:
        """All gauges as they stand now."""
        shown = self._shown()
        return shown.gauges | self._now.gauges | {key: read() for key, read in self._reads.items()}

    def to_json(self) -> dict[str, Any]:
        """The answer of `/v1/agent/metrics`: the last whole interval, or the first one as far as it is."""
        shown = self._shown()
        gauges = shown.gauges | {key: read() for key, read in self._reads.items()}
        stamp = datetime.fromtimestamp(shown.start_s, UTC)
        return {
            "Timestamp": f"{stamp:%Y-%m-%d %H:%M:%S} +0000 UTC",
            "Gauges": [
                {"Name": self._named(key), "Value": _finite(value), "Labels": dict(key[1])}
                for key, value in sorted(gauges.items())
            ],
            "Points": [],
            "Counters": self._aggregates(shown.counters),
            "Samples": self._aggregates(shown.samples),
        }

    def _aggregates(self, values: dict[Key, Aggregate]) -> list[dict[str, Any]]:
        return [
            {
                "Name": self._named(key),
                "Count": value.count,
                "Rate": value.sum / INTERVAL_S,
                "Sum": value.sum,
                "Min": value.minimum,
                "Max": value.maximum,
                "Mean": value.mean,
                "Stddev": value.deviation,
                "Labels": dict(key[1]),
            }
            for key, value in sorted(values.items())
        ]

    def _named(self, key: Key) -> str:
        return f"{self.prefix}.{key[0]}" if self.prefix else key[0]

    def _shown(self) -> Interval:
        current = self._current()
        return current if self._whole is None else self._whole

    def _interval_start(self) -> int:
        return int(self._wall_s()) // INTERVAL_S * INTERVAL_S

    def _current(self) -> Interval:
        start_s = self._interval_start()
        if start_s != self._now.start_s:
            self._whole, self._now = self._now, Interval(start_s)
        return self._now

    def _has_room(self, key: Key, known: Mapping[Key, Any]) -> bool:
        if key in known or len(known) < NAMES_MAX:
            return True
        self.dropped += 1
        return False


def _key(name: str, labels: Mapping[str, str] | None) -> Key:
    return (name, tuple(sorted(labels.items())) if labels else ())


def _finite(value: float) -> float:
    return value if math.isfinite(value) else 0.0
