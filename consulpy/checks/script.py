"""Script checks: a program's exit code is the status (0 passing, 1 warning, else critical), what it prints the output.

The program is the leader of a session, so that at the timeout it is killed with its descendants. Processes that it
leaves in the background when it exits are not killed; what they print is read and dropped. Scripts run only where the
agent's configuration allows them (`consulpy.local.state.Scripts`).
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
#: Reads after a program has exited: more than a pipe holds (1 MiB).
_DRAIN_READS_MAX: Final = 17
#: Earlier runs of a check whose output is still read for their background processes.
LINGERING_MAX: Final = 8


class ScriptProbe:
    """Runs the program `arguments[0]`. `output_max`: stored bytes of its output."""

    def __init__(self, reactor: Any, arguments: list[str], output_max: int, timeout_s: float) -> None:
        self._reactor = reactor
        self._arguments = arguments
        self._output_max = output_max
        self.timeout_s = timeout_s
        self._script: Script | None = None
        self._lingering: list[Script] = []

    def check(self) -> None:
        """See `Probe.check`: nothing is refused in advance."""

    def run(self) -> Deferred[Result]:
        """See `Probe.run`. Raises `CheckFailed` if the program cannot be started."""
        self._script = None  # of an earlier run
        self._lingering = [script for script in self._lingering if script.lingers][-LINGERING_MAX:]
        script = self._script = Script(self._reactor, self._arguments, Tail(self._output_max))
        return script.ended.addCallback(self._ended, script)

    def timed_out(self) -> Result:
        """See `Probe.timed_out`: with the output so far."""
        output = self._script.output if self._script is not None else ""
        text = f"Timed out ({seconds_text(self.timeout_s)}) running check"
        return Result(CRITICAL, f"{text}\n\n{output}" if output else text)

    def _ended(self, result: Result, script: "Script") -> Result:
        if script.lingers:
            self._lingering.append(script)
            for each in self._lingering[:-LINGERING_MAX]:
                each.close_output()
        return result


class Script:
    """One run of a program. Cancelling `ended` kills it and its descendants."""

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
        except OSError as error:  # no free descriptor: the process cannot be watched
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
        """The output so far."""
        return self._tail.captured

    @property
    def lingers(self) -> bool:
        """Whether it has exited while a descendant still has its output open."""
        return self._process.returncode is not None and self._reading

    def close_output(self) -> None:
        """Stop reading the output."""
        if self._reading:
            self._reading = False
            self._reactor.removeReader(self._output)
            assert self._process.stdout is not None
            self._process.stdout.close()

    def _read(self) -> bool:
        """Read output; False at its end."""
        try:
            data = os.read(self._output.fileno(), _READ_BYTES)
        except BlockingIOError:
            return True
        except OSError:
            data = b""
        self._tail.write(data)
        if not data:
            self.close_output()
        return bool(data)

    def _drain(self) -> None:
        """Read what is left of the output; bounded, as descendants may go on printing."""
        for _ in range(_DRAIN_READS_MAX):
            before = self._tail.total
            if not self._reading or not self._read() or self._tail.total == before:
                return

    def _exited(self) -> bool:
        self._drain()
        self._close_exit()
        code = self._process.wait()
        status = {0: PASSING, 1: WARNING}.get(code, CRITICAL)
        self.ended.callback(Result(status, self._tail.captured))
        return False

    def _kill(self) -> None:
        """Kill the process group; called at the timeout, or when the check is stopped."""
        self._kill_group()
        self._drain()
        self.close_output()
        self._close_exit()
        self._process.wait()  # does not block: it was killed

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _close_exit(self) -> None:
        self._reactor.removeReader(self._exit)
        os.close(self._exit.fileno())


def _reason(program: str, error: OSError | ValueError) -> str:
    """The cause why a program cannot be started, as Go prints it."""
    if isinstance(error, FileNotFoundError) and program and "/" not in program:
        return f'exec: "{program}": executable file not found in $PATH'
    if not program:
        return "fork/exec : no such file or directory"
    number = error.errno if isinstance(error, OSError) and error.errno else errno.EINVAL
    return f"fork/exec {program}: {os.strerror(number).lower()}"


@implementer(IReadDescriptor)
class _Descriptor:
    """A file descriptor that the reactor watches."""

    def __init__(self, descriptor: int, on_readable: Callable[[], bool]) -> None:
        self._descriptor = descriptor
        self._on_readable = on_readable

    def fileno(self) -> int:
        return self._descriptor

    def doRead(self) -> None:
        self._on_readable()

    def connectionLost(self, reason: Failure) -> None:
        """Ignored: the other descriptor reports the exit."""

    def logPrefix(self) -> str:
        return "script check"
