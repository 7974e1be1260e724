"""Counters, gauges and samples in intervals of 10 seconds, as `/v1/agent/metrics` shows them (go-metrics' InmemSink).

Names are dotted without the prefix (`rpc.request`); displayed ones begin with `consul.`. The last complete interval is
displayed, so that all readers see the same. Format recorded from a real agent.
"""

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from operator import mul
from typing import Any, Final, Protocol

#: Length of an interval in seconds.
INTERVAL_S: Final = 10
#: Maximum different names (with labels); more are counted in `dropped`. Labels may come from users, so names with
#: labels have a lower limit.
NAMES_MAX: Final = 4096
LABELLED_MAX: Final = 3072
#: Intervals without a value after which a name with labels is removed, checked once per as many intervals.
LABELLED_INTERVALS: Final = 60
#: Prefix of names that end with the name of a user event.
_EVENTS: Final = "serf.events."
#: Number of recent values of a sample that quantiles are computed from.
RECENT_MAX: Final = 512

Labels = tuple[tuple[str, str], ...]
#: A name with its labels.
Key = tuple[str, Labels]
#: Number of events since the start, and the sum of their values.
Tally = Callable[[], tuple[int, float]]


@dataclass(slots=True)
class Aggregate:
    """Aggregated values: count, sum, extremes and spread."""

    count: int = 0
    sum: float = 0.0
    square_sum: float = 0.0
    minimum: float = math.inf
    maximum: float = -math.inf

    def add(self, value: float, times: int = 1) -> None:
        """Add a value, or several equal ones."""
        self.count += times
        self.sum += value * times
        self.square_sum += value * value * times
        if value < self.minimum:
            self.minimum = value
        if value > self.maximum:
            self.maximum = value

    @property
    def mean(self) -> float:
        """The arithmetic mean; 0 without values."""
        return self.sum / self.count if self.count else 0.0

    @property
    def deviation(self) -> float:
        """The sample standard deviation; 0 for fewer than two values."""
        if self.count < 2:
            return 0.0
        square = (self.count * self.square_sum - self.sum * self.sum) / (self.count * (self.count - 1))
        return math.sqrt(max(square, 0.0))

    def merge(self, other: "Aggregate") -> None:
        """Add all values of another one."""
        self.count += other.count
        self.sum += other.sum
        self.square_sum += other.square_sum
        self.minimum = min(self.minimum, other.minimum)
        self.maximum = max(self.maximum, other.maximum)


class Samples:
    """The values of a sample in one interval. Those of `fresh` are aggregated together, which costs less than each."""

    __slots__ = ("_aggregate", "_recent", "fresh")

    def __init__(self, recent: deque[float]) -> None:
        self._aggregate = Aggregate()
        self._recent = recent
        self.fresh: list[float] = []

    def add(self, value: float, times: int) -> None:
        """Add several equal values."""
        self._aggregate.add(value, times)
        self._recent.append(value)

    def aggregated(self) -> Aggregate:
        """All values; the recent ones are up to date then."""
        fresh, self.fresh = self.fresh, []
        if fresh:
            least, most = min(fresh), max(fresh)
            squares = sum(map(mul, fresh, fresh))
            self._aggregate.merge(Aggregate(len(fresh), sum(fresh), squares, least, most))
            self._recent.extend(fresh)
        return self._aggregate


@dataclass(slots=True)
class Interval:
    """The metrics of one interval. `start_s`: seconds since 1970."""

    start_s: int
    counters: dict[Key, Aggregate] = field(default_factory=dict)
    samples: dict[Key, Samples] = field(default_factory=dict)
    gauges: dict[Key, float] = field(default_factory=dict)


class Measures(Protocol):
    """The interface for measuring code: a `Registry`, or `NOTHING`."""

    def incr(self, name: str, value: float = 1, labels: Mapping[str, str] | None = None) -> None:
        """Increment a counter by `value`."""

    def sample(self, name: str, value: float, labels: Mapping[str, str] | None = None) -> None:
        """Add a sample (times in milliseconds)."""


class _Nothing:
    def incr(self, name: str, value: float = 1, labels: Mapping[str, str] | None = None) -> None:
        pass

    def sample(self, name: str, value: float, labels: Mapping[str, str] | None = None) -> None:
        pass


#: Measures nothing.
NOTHING: Final[Measures] = _Nothing()


class Sink(Protocol):
    """Receives each value immediately (`consulpy.metrics.statsd`)."""

    def add(self, kind: str, name: str, labels: Labels, value: float) -> None:
        """Add a value. `kind`: `g` for a gauge, `c` for a counter's increment, `ms` for a sample."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Prefix, hostname and filters of displayed names (Consul's `telemetry`).

    `prefix` begins each name; gauges have `hostname` after it unless it is empty. Names that begin with one of
    `allowed` are displayed, with one of `blocked` not, the longest match deciding; others by `allow_by_default`.
    """

    prefix: str = "consul"
    hostname: str = ""
    allowed: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()
    allow_by_default: bool = True

    def allows(self, shown: str) -> bool:
        """Whether a displayed name passes the filters."""
        allow = max((len(each) for each in self.allowed if shown.startswith(each)), default=-1)
        block = max((len(each) for each in self.blocked if shown.startswith(each)), default=-1)
        return self.allow_by_default if allow == block == -1 else allow > block


class Registry:
    """The metrics of this agent. `wall_s()`: seconds since 1970."""

    def __init__(self, wall_s: Callable[[], float], rules: Rules = Rules()) -> None:
        self.rules = rules
        self.sinks: list[Sink] = []
        self._wall_s = wall_s
        self._now = Interval(self._interval_start())
        self._end_s = self._now.start_s + INTERVAL_S
        self._whole: Interval | None = None
        self._reads: dict[Key, Callable[[], float]] = {}
        self._tallies: list[tuple[Key, Tally, bool]] = []
        self._fetched: list[tuple[int, float]] = []
        #: Totals of earlier intervals, with every known name.
        self._totals: dict[Key, float] = {}
        self._sample_totals: dict[Key, Aggregate] = {}
        self._recent: dict[Key, deque[float]] = {}
        #: Number of values dropped as there were too many names.
        self.dropped = 0
        #: Names with labels that had a value since the last cleanup, and the intervals since then.
        self._measured: set[Key] = set()
        self._intervals = 0

    def incr(self, name: str, value: float = 1, labels: Mapping[str, str] | None = None) -> None:
        """Increment a counter by `value`."""
        self._count(_key(name, labels) if labels else (name, ()), value, 1)

    def sample(self, name: str, value: float, labels: Mapping[str, str] | None = None) -> None:
        """Add a sample (times in milliseconds)."""
        self._sampled(_key(name, labels) if labels else (name, ()), value, 1)

    def gauge(self, name: str, value: float, labels: Mapping[str, str] | None = None) -> None:
        """Set a gauge."""
        key = _key(name, labels)
        gauges = self._current().gauges
        if self._within_limit(key, gauges):
            gauges[key] = value
            self._send_to_sinks("g", key, value)

    def watch(self, name: str, read: Callable[[], float], labels: Mapping[str, str] | None = None) -> None:
        """Register a gauge that is read when it is displayed."""
        self._reads[_key(name, labels)] = read

    def pull(self, name: str, read: Tally, labels: Mapping[str, str] | None = None, *, samples: bool = False) -> None:
        """Register a counter or sample whose owner counts itself, where a call for each event is too slow; read by
        `tick`.

        `read()`: the number of events since the start, and the sum of their values. With `samples` it is a sample, else
        a counter.
        """
        self._tallies.append((_key(name, labels), read, samples))
        self._fetched.append((0, 0.0))

    def tick(self) -> None:
        """Read registered counters and send gauges to the sinks; call at least once per interval."""
        self._fetch()
        for key, read in self._reads.items() if self.sinks else ():
            self._send_to_sinks("g", key, read())

    def _fetch(self) -> None:
        for number, (key, read, samples) in enumerate(self._tallies):
            count, total = read()
            old_count, old_total = self._fetched[number]
            self._fetched[number] = (count, total)
            times, value = count - old_count, total - old_total
            if times > 0:
                (self._sampled if samples else self._count)(key, value / times, times)

    def gauges(self) -> dict[Key, float]:
        """The current values of all gauges."""
        self._fetch()
        shown = self._shown()
        return shown.gauges | self._now.gauges | {key: read() for key, read in self._reads.items()}

    def to_json(self) -> dict[str, Any]:
        """The answer of `/v1/agent/metrics`: the last complete interval, or the first one so far."""
        self._fetch()
        shown = self._shown()
        gauges = shown.gauges | {key: read() for key, read in self._reads.items()}
        stamp = datetime.fromtimestamp(shown.start_s, UTC)
        return {
            "Timestamp": f"{stamp:%Y-%m-%d %H:%M:%S} +0000 UTC",
            "Gauges": [
                {"Name": name, "Value": _finite(value), "Labels": dict(key[1])}
                for key, value in sorted(gauges.items())
                if self.rules.allows(name := self.shown_name(key[0], gauge=True))
            ],
            "Points": [],
            "Counters": self._aggregates(shown.counters),
            "Samples": self._aggregates({key: values.aggregated() for key, values in shown.samples.items()}),
        }

    @property
    def until_next_s(self) -> float:
        """Seconds until the current interval ends."""
        return max(self._current().start_s + INTERVAL_S - self._wall_s(), 0.0)

    def _aggregates(self, values: dict[Key, Aggregate]) -> list[dict[str, Any]]:
        return [
            {
                "Name": name,
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
            if self.rules.allows(name := self.shown_name(key[0]))
        ]

    def shown_name(self, name: str, *, gauge: bool = False) -> str:
        """A name with the prefix, and for a gauge with the hostname, as in Consul."""
        parts = (self.rules.prefix, self.rules.hostname if gauge else "", name)
        return ".".join(part for part in parts if part)

    @property
    def totals(self) -> dict[Key, float]:
        """Totals of counters since the start, for Prometheus."""
        current = self._now.counters
        return {key: total + (current[key].sum if key in current else 0.0) for key, total in self._totals.items()}

    @property
    def sample_totals(self) -> dict[Key, Aggregate]:
        """The same of samples."""
        totals = {key: replace(total) for key, total in self._sample_totals.items()}
        for key, values in self._now.samples.items():
            totals[key].merge(values.aggregated())
        return totals

    @property
    def recent(self) -> Mapping[Key, Sequence[float]]:
        """The newest values of each sample."""
        for values in self._now.samples.values():
            values.aggregated()
        return self._recent

    def _count(self, key: Key, value: float, times: int) -> None:
        if not self._now.start_s <= self._wall_s() < self._end_s:
            self._end_interval()
        found = self._now.counters.get(key)
        if found is None:
            if not self._is_accepted(key, self._totals):
                return
            self._totals.setdefault(key, 0.0)
            found = self._now.counters[key] = Aggregate()
        found.add(value, times)
        if self.sinks:
            self._send_to_sinks("c", key, value * times)

    def _sampled(self, key: Key, value: float, times: int) -> None:
        if not self._now.start_s <= self._wall_s() < self._end_s:
            self._end_interval()
        found = self._now.samples.get(key)
        if found is None:
            if not self._is_accepted(key, self._sample_totals):
                return
            self._sample_totals.setdefault(key, Aggregate())
            found = self._now.samples[key] = Samples(self._recent.setdefault(key, deque(maxlen=RECENT_MAX)))
        if times == 1:
            found.fresh.append(value)
            if len(found.fresh) >= RECENT_MAX:
                found.aggregated()
        else:
            found.add(value, times)
        if self.sinks:
            self._send_to_sinks("ms", key, value)

    def _send_to_sinks(self, kind: str, key: Key, value: float) -> None:
        for sink in self.sinks:
            name = self.shown_name(key[0], gauge=kind == "g")
            if self.rules.allows(name):
                sink.add(kind, name, key[1], value)

    def _shown(self) -> Interval:
        current = self._current()
        return current if self._whole is None else self._whole

    def _interval_start(self) -> int:
        return int(self._wall_s()) // INTERVAL_S * INTERVAL_S

    def _current(self) -> Interval:
        if not self._now.start_s <= self._wall_s() < self._end_s:
            self._end_interval()
        return self._now

    def _end_interval(self) -> None:
        ended = self._now
        self._whole, self._now = ended, Interval(self._interval_start())
        self._end_s = self._now.start_s + INTERVAL_S
        for key, counted in ended.counters.items():
            self._totals[key] += counted.sum
        for key, values in ended.samples.items():
            self._sample_totals[key].merge(values.aggregated())
        self._intervals += 1
        if self._intervals >= LABELLED_INTERVALS:
            self._forget_unmeasured()

    def _forget_unmeasured(self) -> None:
        """Remove totals of names with labels that had no value lately; they restart at 0."""
        for table in (self._totals, self._sample_totals, self._recent):
            for key in [key for key in table if _is_variable(key) and key not in self._measured]:
                del table[key]
        self._measured = set()
        self._intervals = 0

    def _is_accepted(self, key: Key, known: Mapping[Key, Any]) -> bool:
        """Whether the first value of an interval is counted; a name with labels is kept for some time then."""
        accepted = self._within_limit(key, known)
        if accepted and _is_variable(key):
            self._measured.add(key)
        return accepted

    def _within_limit(self, key: Key, known: Mapping[Key, Any]) -> bool:
        if key in known or len(known) < (LABELLED_MAX if _is_variable(key) else NAMES_MAX):
            return True
        self.dropped += 1
        return False


def _is_variable(key: Key) -> bool:
    """Whether users choose the labels, or the name itself (of an event)."""
    return bool(key[1]) or key[0].startswith(_EVENTS)


def _key(name: str, labels: Mapping[str, str] | None) -> Key:
    if not labels:
        return (name, ())
    return (name, tuple(labels.items()) if len(labels) == 1 else tuple(sorted(labels.items())))


def _finite(value: float) -> float:
    """A number as Go writes it: whole ones without a fraction."""
    if not math.isfinite(value):
        return 0
    return int(value) if float(value).is_integer() and abs(value) < 1e15 else value
