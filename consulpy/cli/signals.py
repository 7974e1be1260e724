"""Signals of commands that run child processes: both end on SIGINT, SIGTERM, SIGHUP or SIGQUIT."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Final

#: Signals that end a command, besides SIGINT, which Python raises as `KeyboardInterrupt`.
ENDING: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
#: Signals without effect on a command, as in Go: they would end it and leave its child behind.
IGNORED: Final = tuple(getattr(signal, f"SIG{name}") for name in ("USR1", "USR2", "ALRM", "VTALRM", "PROF", "IO"))
#: From SIGTERM to SIGKILL, in seconds.
GRACE_S: Final = 5.0
_PR_SET_PDEATHSIG: Final = 1


class Ended(KeyboardInterrupt):
    """A signal of `ENDING`; the exit status is 128 plus its number, as in shells."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number
        self.exit_status = 128 + number


def ignore() -> None:
    """Set handlers that do nothing for the signals of `IGNORED`: other than SIG_IGN, a child does not inherit them."""
    for number in IGNORED:
        signal.signal(number, lambda *_: None)


@contextmanager
def raised() -> Iterator[None]:
    """Signals of `ENDING` raise `Ended` in the main thread meanwhile; those of `IGNORED` do nothing from now on."""
    ignore()

    def end(number: int, _frame: FrameType | None) -> None:
        for each in ENDING:
            signal.signal(each, signal.SIG_IGN)  # no second one may interrupt the clean-up
        raise Ended(number)

    before = {number: signal.signal(number, end) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def delayed() -> Iterator[None]:
    """Deliver signals that end a command afterwards, so that what is created meanwhile is cleaned up."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, *ENDING))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def after_start() -> Iterator[None]:
    """Deliver signals that end a command afterwards, when the child that is started meanwhile is known.

    Other than with `delayed`, they are not blocked, which a child would inherit.
    """
    caught: list[int] = []
    before = {number: signal.signal(number, lambda got, _: caught.append(got)) for number in (signal.SIGINT, *ENDING)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if caught:
        signal.raise_signal(caught[0])


def ending_with_us() -> Callable[[], None] | None:
    """`preexec_fn` of a child that shall get SIGTERM when this process is killed (SIGKILL); None where that is unknown.

    A child of `lock` would go on without the lock. Source: prctl(2), PR_SET_PDEATHSIG. Call it in the main thread.
    """
    import ctypes

    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is None:
        return None
    parent = os.getpid()

    def in_child() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))
        if os.getppid() != parent:  # it was killed meanwhile
            os.kill(os.getpid(), signal.SIGTERM)

    return in_child


def end_group(child: "subprocess.Popen[bytes]") -> None:
    """End `child`, the leader of a session, and its children: SIGTERM, then SIGKILL after `GRACE_S`."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, number)
        with suppress(subprocess.TimeoutExpired):
            child.wait(GRACE_S)
            return
