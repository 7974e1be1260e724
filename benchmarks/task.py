"""The parts of the benchmark: groups, which set up each program, and their tasks, which measure rows."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from report import Row, Sample


@dataclass(frozen=True)
class Settings:
    """Rounds, seconds of each load, and sizes."""

    rounds: int = 5
    seconds: float = 1.0
    nodes: int = 1000
    services: int = 5000
    watchers: tuple[int, ...] = (1000, 2000, 10000)
    members: int = 1000
    idle_s: float = 20.0
    agents: tuple[int, ...] = (10, 30)


@dataclass(frozen=True)
class Task:
    """Measures some rows together. `rounds_max`: limit of its rounds, for slow tasks that vary little."""

    rows: tuple[Row, ...]
    measure: Callable[[Any], dict[Row, Sample]]
    rounds_max: int = 100


@dataclass(frozen=True)
class Group:
    """Tasks with a common setup: the value of `setup(program, directory)` is passed to each `measure`."""

    name: str
    setup: Callable[[str, Path], AbstractContextManager[Any]]
    tasks: list[Task]


def task(row: Row, measure: Callable[[Any], Sample], rounds_max: int = 100) -> Task:
    """A task of one row."""
    return Task((row,), lambda subject: {row: measure(subject)}, rounds_max)
