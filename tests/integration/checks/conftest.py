"""Servers for checks to connect to."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import pytest_twisted

from tests.harness.checks import HOST, reactor


@pytest.fixture
def listen() -> Iterator[Callable[[Any], int]]:
    """Listen with a protocol factory; the port is freed afterwards."""
    ports = []

    def start(factory: Any) -> int:
        ports.append(reactor.listenTCP(0, factory, interface=HOST))
        port: int = ports[-1].getHost().port
        return port

    yield start
    for port in ports:
        pytest_twisted.blockon(port.stopListening())
