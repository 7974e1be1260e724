"""What a benchmark is made of: a scene for each program, and tasks that measure rows in it."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from report import Row, Sample


@dataclass(frozen=True)
class Settings:
    """How much to do: rounds, seconds of each load, and sizes."""

    rounds: int = 5
    seconds: float = 1.0
    nodes: int = 1000
    services: int = 5000
    watchers: tuple[int, ...] = (1000, 2000, 10000)
    members: int = 1000
    rest_s: float = 20.0
    agents: tuple[int, ...] = (10, 30)


@dataclass(frozen=True)
class Task:
    """Measures some rows at once. `most` bounds its rounds, for what takes long and varies little."""

    rows: tuple[Row, ...]
    measure: Callable[[Any], dict[Row, Sample]]
    most: int = 100


@dataclass(frozen=True)
class Group:
    """Tasks that share a scene: what `scene(program, directory)` gives is passed to each `measure`."""

    name: str
    scene: Callable[[str, Path], AbstractContextManager[Any]]
    tasks: list[Task]


def task(row: Row, measure: Callable[[Any], Sample], most: int = 100) -> Task:
    """A task of one row."""
    return Task((row,), lambda subject: {row: measure(subject)}, most)
