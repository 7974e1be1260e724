"""Fixtures of the tests of the HTTP API."""

from collections.abc import Iterator

import pytest
from twisted.logger import LogEvent, globalLogPublisher


@pytest.fixture
def faults() -> Iterator[list[str]]:
    """Tracebacks of the failures that were logged: each is a fault of the agent."""
    found: list[str] = []

    def observe(event: LogEvent) -> None:
        if event.get("log_failure") is not None:
            found.append(event["log_failure"].getTraceback())

    globalLogPublisher.addObserver(observe)
    yield found
    globalLogPublisher.removeObserver(observe)
