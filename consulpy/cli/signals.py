"""Commands that run others end them when they are ended themselves: by SIGINT, SIGTERM, SIGHUP or SIGQUIT."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Final

#: What ends a command, besides Ctrl-C, which Python raises as `KeyboardInterrupt` by itself.
ENDING: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
#: Seconds from the request to end to the end by force.
GRACE_S: Final = 5.0


class Ended(KeyboardInterrupt):
    """A signal asked this program to end; its exit status is 128 and the signal's number, as shells show it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_status = 128 + number


@contextmanager
def raised() -> Iterator[None]:
    """Signals of `ENDING` raise `Ended` in the main thread meanwhile."""

    def end(number: int, _frame: FrameType | None) -> None:
        for each in ENDING:
            signal.signal(each, signal.SIG_IGN)  # one is enough: what is raised now cleans up
        raise Ended(number)

    before = {number: signal.signal(number, end) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def delayed() -> Iterator[None]:
    """Signals that end a command are delivered afterwards: what is made meanwhile is known to who cleans up."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, *ENDING))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_group(child: "subprocess.Popen[bytes]") -> None:
    """End `child`, which leads a session of its own, and all that it started: asked first, by force after `GRACE_S`."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, number)
        with suppress(subprocess.TimeoutExpired):
            child.wait(GRACE_S)
            return
