"""Tells what listens at an address by asking it; for a thread of its own."""

import selectors
import socket
import time
from contextlib import ExitStack, suppress
from typing import Final

from consulpy.diagnosis.protocols import READ_MAX, REQUESTS, description

#: Bytes of an answer by which a protocol is known.
_ENOUGH: Final = 8
_HTTP_PORT: Final = 80


def identify(address: str, limit_s: float) -> str | None:
    """Description of what listens at "HOST:PORT"; "" if it answers nothing, None if no connection is made.

    `limit_s`: seconds for each connection, and for the answers.
    """
    with ExitStack() as stack:
        waiting = stack.enter_context(selectors.DefaultSelector())
        try:
            for number, request in enumerate(REQUESTS):
                connection = stack.enter_context(socket.create_connection(_parsed(address), limit_s))
                waiting.register(connection, selectors.EVENT_READ, number)
                connection.sendall(request)
        except TimeoutError:
            return None
        except OSError:
            return ""
        return _answered(waiting, limit_s)


def _answered(waiting: selectors.BaseSelector, limit_s: float) -> str:
    answers = [b""] * len(REQUESTS)
    end_s = _now_s() + limit_s
    while waiting.get_map() and (left_s := end_s - _now_s()) > 0:
        for key, _ in waiting.select(left_s):
            connection = key.fileobj
            assert isinstance(connection, socket.socket)
            data = b""
            with suppress(OSError):
                data = connection.recv(READ_MAX)
            answers[key.data] += data
            if not data or len(answers[key.data]) >= _ENOUGH:
                waiting.unregister(connection)
        what = description(*answers, is_last=False)
        if what:
            return what
    return description(*answers, is_last=True)


def _parsed(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if host and port.isdecimal():
        return host.strip("[]"), int(port)
    return address.strip("[]"), _HTTP_PORT


def _now_s() -> float:
    return time.monotonic()  # noqa: TID251 - a command has the world's clock
