"""How many descriptors an agent has, how many its clients get, and what is said when those are in use."""

import resource
from typing import Any

import pytest
from twisted.internet.task import Clock

from consulpy.agent.process import descriptors
from consulpy.agent.process.logs import stream
from consulpy.connections import total_for


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The limits of a pretended process: soft and hard."""
    current = [1024, 4096]
    monkeypatch.setattr(resource, "getrlimit", lambda _what: tuple(current))
    monkeypatch.setattr(resource, "setrlimit", lambda _what, wanted: current.__setitem__(slice(None), wanted))
    return current


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((1024, 4096), (4096, 4096)),
        ((1024, 1_048_576), (65_536, 1_048_576)),
        ((1024, resource.RLIM_INFINITY), (65_536, resource.RLIM_INFINITY)),
        ((100_000, 200_000), (100_000, 200_000)),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), (resource.RLIM_INFINITY, resource.RLIM_INFINITY)),
        ((64, 64), (64, 64)),
    ],
)
def test_the_soft_limit_is_raised_to_the_hard_one(
    limits: list[Any], before: tuple[int, int], after: tuple[int, int]
) -> None:
    limits[:] = before
    descriptors.raise_limit()
    assert tuple(limits) == after


def test_it_is_said_once_in_half_a_minute_that_all_connections_are_in_use(limits: list[Any]) -> None:
    clock, lines = Clock(), []
    table = descriptors.connection_table(clock.seconds)
    assert table.total == total_for(1024)
    cancel = stream("info", False, lines.append)
    for _ in range(7):
        table.on_full()
        clock.advance(10)
    cancel()
    assert len(lines) == 3
    assert f"{table.total} connections of clients are open" in lines[0]
