"""Script checks: a program's exit code is the status (0 passing, 1 warning, else critical), what it prints the output.

The program leads a session of its own, so that at the timeout it is killed with everything that it started. Only run
where the agent's configuration allows scripts (`consulpy.local.state.Scripts`).
"""

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from consulpy.checks.result import CheckFailed, Result, Tail, seconds_text
from consulpy.structs.check import CRITICAL, PASSING, WARNING

_READ_BYTES: Final = 65536


class ScriptProbe:
    """Runs `arguments`, the first of which is the program."""

    def __init__(self, reactor: Any, arguments: list[str], output_max: int, timeout_s: float) -> None:
        self._reactor = reactor
        self._arguments = arguments
        self._output_max = output_max
        self.timeout_s = timeout_s

    def check(self) -> None:
        """Whether it can run shows only when it is run."""

    def run(self) -> Deferred[Result]:
        """Start the program; its end is the result. Raises `CheckFailed` if it cannot be started."""
        return Script(self._reactor, self._arguments, Tail(self._output_max)).ended

    def timed_out(self) -> Result:
        """What is reported when it was killed."""
        return Result(CRITICAL, f"Timed out ({seconds_text(self.timeout_s)}) running check")


class Script:
    """One run of a program. Cancelling `ended` kills it and all that it started."""

    def __init__(self, reactor: Any, arguments: list[str], tail: Tail) -> None:
        self._reactor = reactor
        self._tail = tail
        try:
            self._process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            reason = os.strerror(error.errno).lower() if isinstance(error, OSError) and error.errno else str(error)
            raise CheckFailed(f"fork/exec {arguments[0]}: {reason}") from None
        assert self._process.stdout is not None
        try:
            exit_descriptor = os.pidfd_open(self._process.pid)
        except OSError as error:  # no descriptor is free: what runs cannot be watched
            self._kill_group()
            self._process.stdout.close()
            self._process.wait()
            raise CheckFailed(f"fork/exec {arguments[0]}: {os.strerror(error.errno or 0).lower()}") from None
        os.set_blocking(self._process.stdout.fileno(), False)
        self._output = _Descriptor(self._process.stdout.fileno(), self._read)
        self._exit = _Descriptor(exit_descriptor, self._exited)
        reactor.addReader(self._output)
        reactor.addReader(self._exit)
        self.ended: Deferred[Result] = Deferred(lambda _: self._kill())

    def _read(self) -> bool:
        """Take what was printed; False at the end of it."""
        try:
            data = os.read(self._output.fileno(), _READ_BYTES)
        except BlockingIOError:
            return True
        except OSError:
            data = b""
        self._tail.write(data)
        if not data:
            self._reactor.removeReader(self._output)
        return bool(data)

    def _exited(self) -> bool:
        before = -1
        while before != self._tail.total:  # the rest of its output; never more than the pipe holds at a time
            before = self._tail.total
            self._read()
        self._close()
        self._kill_group()  # what it left in the background; before `wait`, while the number is surely still its own
        code = self._process.wait()
        status = {0: PASSING, 1: WARNING}.get(code, CRITICAL)
        self.ended.callback(Result(status, self._tail.captured))
        return False

    def _kill(self) -> None:
        """At the timeout, or when the check is stopped."""
        self._kill_group()
        self._close()
        self._process.wait()  # killed, so it is there at once

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _close(self) -> None:
        self._reactor.removeReader(self._output)
        self._reactor.removeReader(self._exit)
        os.close(self._exit.fileno())
        assert self._process.stdout is not None
        self._process.stdout.close()


@implementer(IReadDescriptor)
class _Descriptor:
    """A file descriptor that the reactor watches."""

    def __init__(self, descriptor: int, readable: Callable[[], bool]) -> None:
        self._descriptor = descriptor
        self._readable = readable

    def fileno(self) -> int:
        return self._descriptor

    def doRead(self) -> None:
        self._readable()

    def connectionLost(self, reason: Failure) -> None:
        """The reactor found it broken; the other descriptor tells the end."""

    def logPrefix(self) -> str:
        return "script check"
