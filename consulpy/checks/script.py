"""Script checks: a program's exit code is the status (0 passing, 1 warning, else critical), what it prints the output.

The program leads a session of its own, so that at the timeout it is killed with everything that it started. What it
leaves in the background when it ends by itself goes on, and may go on printing: that is read and dropped. Only run
where the agent's configuration allows scripts (`consulpy.local.state.Scripts`).
"""

import contextlib
import errno
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
#: After the end of a program so many more reads are made at once: more than a pipe can hold (1 MiB).
_DRAIN_READS_MAX: Final = 17
#: The output of so many earlier runs of a check is still read for what they left in the background.
LINGERING_MAX: Final = 8


class ScriptProbe:
    """Runs `arguments`, the first of which is the program."""

    def __init__(self, reactor: Any, arguments: list[str], output_max: int, timeout_s: float) -> None:
        self._reactor = reactor
        self._arguments = arguments
        self._output_max = output_max
        self.timeout_s = timeout_s
        self._script: Script | None = None
        self._lingering: list[Script] = []

    def check(self) -> None:
        """Whether it can run shows only when it is run."""

    def run(self) -> Deferred[Result]:
        """Start the program; its end is the result. Raises `CheckFailed` if it cannot be started."""
        self._script = None  # of an earlier run
        self._lingering = [script for script in self._lingering if script.lingers][-LINGERING_MAX:]
        script = self._script = Script(self._reactor, self._arguments, Tail(self._output_max))
        return script.ended.addCallback(self._ended, script)

    def timed_out(self) -> Result:
        """What is reported when it was killed: with what it printed until then."""
        output = self._script.output if self._script is not None else ""
        text = f"Timed out ({seconds_text(self.timeout_s)}) running check"
        return Result(CRITICAL, f"{text}\n\n{output}" if output else text)

    def _ended(self, result: Result, script: "Script") -> Result:
        if script.lingers:
            self._lingering.append(script)
            for each in self._lingering[:-LINGERING_MAX]:
                each.let_go()
        return result


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
            raise CheckFailed(_reason(arguments[0], error)) from None
        assert self._process.stdout is not None
        try:
            exit_descriptor = os.pidfd_open(self._process.pid)
        except OSError as error:  # no descriptor is free: what runs cannot be watched
            self._kill_group()
            self._process.stdout.close()
            self._process.wait()
            raise CheckFailed(f"fork/exec {arguments[0]}: {os.strerror(error.errno or 0).lower()}") from None
        os.set_blocking(self._process.stdout.fileno(), False)
        self._reading = True
        self._output = _Descriptor(self._process.stdout.fileno(), self._read)
        self._exit = _Descriptor(exit_descriptor, self._exited)
        reactor.addReader(self._output)
        reactor.addReader(self._exit)
        self.ended: Deferred[Result] = Deferred(lambda _: self._kill())

    @property
    def output(self) -> str:
        """What it has printed until now."""
        return self._tail.captured

    @property
    def lingers(self) -> bool:
        """Whether it has ended and something that it started still holds its output."""
        return self._process.returncode is not None and self._reading

    def let_go(self) -> None:
        """Read its output no more."""
        if self._reading:
            self._reading = False
            self._reactor.removeReader(self._output)
            assert self._process.stdout is not None
            self._process.stdout.close()

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
            self.let_go()
        return bool(data)

    def _drain(self) -> None:
        """The rest of its output; bounded, as what it started may go on printing."""
        for _ in range(_DRAIN_READS_MAX):
            before = self._tail.total
            if not self._reading or not self._read() or self._tail.total == before:
                return

    def _exited(self) -> bool:
        self._drain()
        self._forget_exit()
        code = self._process.wait()
        status = {0: PASSING, 1: WARNING}.get(code, CRITICAL)
        self.ended.callback(Result(status, self._tail.captured))
        return False

    def _kill(self) -> None:
        """At the timeout, or when the check is stopped."""
        self._kill_group()
        self._drain()
        self.let_go()
        self._forget_exit()
        self._process.wait()  # killed, so it is there at once

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _forget_exit(self) -> None:
        self._reactor.removeReader(self._exit)
        os.close(self._exit.fileno())


def _reason(program: str, error: OSError | ValueError) -> str:
    """Why a program cannot be started, as Go says it."""
    if isinstance(error, FileNotFoundError) and program and "/" not in program:
        return f'exec: "{program}": executable file not found in $PATH'
    if not program:
        return "fork/exec : no such file or directory"
    number = error.errno if isinstance(error, OSError) and error.errno else errno.EINVAL
    return f"fork/exec {program}: {os.strerror(number).lower()}"


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
