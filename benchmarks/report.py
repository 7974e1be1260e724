"""Results: samples of rows, their medians and ratios, and the table."""

import statistics
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

#: The programs, in the order of the table.
THEIRS, OURS = "consul", "consulpy"


@dataclass(frozen=True)
class Row:
    """A row of the table. `target`: of consulpy's value divided by Consul's (">= 2.0", "<= 0.5", "" for none)."""

    name: str
    unit: str
    target: str = ""
    #: Decimals of the values.
    digits: int = 0

    def met(self, ratio: float) -> str:
        """Whether a ratio meets the target: "yes", "no", or "" without one."""
        if not self.target:
            return ""
        comparison, bound = self.target.split()
        return "yes" if (ratio >= float(bound) if comparison == ">=" else ratio <= float(bound)) else "no"


@dataclass(frozen=True)
class Sample:
    """A measurement: the row's value; the agent's CPU microseconds per request; the 99th percentile of latency."""

    value: float
    cpu_us: float | None = None
    p99_ms: float | None = None


@dataclass
class Results:
    """All samples so far, by row and program."""

    samples: dict[Row, dict[str, list[Sample]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    #: Row or task -> error.
    failures: dict[str, str] = field(default_factory=dict)

    def add(self, program: str, found: dict[Row, Sample]) -> None:
        for row, sample in found.items():
            self.samples[row][program].append(sample)

    def line(self, row: Row) -> str:
        """A row as a line of the table."""
        theirs, ours = (self.samples[row].get(program, []) for program in (THEIRS, OURS))
        values = [_median([sample.value for sample in samples]) for samples in (theirs, ours)]
        cpu = [_median([sample.cpu_us for sample in samples]) for samples in (theirs, ours)]
        p99 = [_median([sample.p99_ms for sample in samples]) for samples in (theirs, ours)]
        ratio = values[1] / values[0] if values[0] and values[1] is not None else None
        cells = [
            f"{row.name} ({row.unit})",
            *(_number(value, row.digits) for value in values),
            _number(ratio, 2),
            row.target,
            "" if ratio is None else row.met(ratio),
            _pair(cpu, 0),
            _pair(p99, 2),
        ]
        return "| " + " | ".join(cells) + " |"

    def markdown(self, heading: str) -> str:
        """The table, with a heading above and the failures below."""
        lines = [
            heading,
            "",
            "| row | Consul | consulpy | ratio | target | met | CPU us a request | p99 ms |",
            "|---|---|---|---|---|---|---|---|",
            *(self.line(row) for row in self.samples),
        ]
        if self.failures:
            lines += ["", "Not measured:", "", *(f"- {name}: {error}" for name, error in self.failures.items())]
        return "\n".join(lines) + "\n"

    def write(self, path: Path, heading: str) -> None:
        path.write_text(self.markdown(heading))


def _median(values: list[float | None] | list[float]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def _pair(values: list[float | None], digits: int) -> str:
    return "" if None in values else " / ".join(_number(value, digits) for value in values)
