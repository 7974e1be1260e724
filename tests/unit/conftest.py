"""Unit tests open no socket: what needs one belongs in tests/integration (one process) or tests/system (programs)."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(autouse=True, scope="module")
def no_sockets() -> Iterator[None]:
    """Sockets of the internet families can neither be bound nor connected."""

    def refuse(made: socket.socket, *_: Any) -> None:
        raise AssertionError(f"a unit test opened a socket: {made}")

    with pytest.MonkeyPatch.context() as patch:
        for name in ("bind", "connect", "connect_ex", "sendto"):
            real = getattr(socket.socket, name)

            def checked(made: socket.socket, *words: Any, real: Any = real) -> Any:
                return refuse(made) if made.family in (socket.AF_INET, socket.AF_INET6) else real(made, *words)

            patch.setattr(socket.socket, name, checked)
        yield
