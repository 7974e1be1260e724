"""`consulpy lock`: runs a program while a lock or a slot of a semaphore is held."""

import os
import posixpath
import shutil
import signal
import subprocess
import threading
from queue import SimpleQueue
from typing import Any

from consulpy.cli import signals
from consulpy.cli.command import Invocation, command
from consulpy.cli.main import say
from consulpy.client import ClientError
from consulpy.client.lock import InUse, Lock, Semaphore
from consulpy.gocompat.duration import parse_duration
from consulpy.gocompat.flag import Flag, switch, whole


class _Shutdown(Exception):
    """A signal while the lock is acquired."""


def duration(text: str) -> float:
    """Seconds. Raises `ValueError` as Go's flags do."""
    try:
        return parse_duration(text)
    except ValueError:
        raise ValueError("parse error") from None


@command(
    "lock",
    "Execute a command holding a lock",
    usage="lock [options] prefix child...",
    about="""
Acquires a lock or semaphore at a given path, and invokes a child process
when successful. The child process can assume the lock is held while it
executes. If the lock is lost or communication is disrupted the child
process will be sent a SIGTERM signal and given time to gracefully exit.
After the grace period expires the process will be hard terminated.

When -n=1, only a single lock holder or leader exists providing mutual
exclusion. Setting a higher value switches to a semaphore allowing multiple
holders to coordinate.
""",
    flags=[
        Flag("child-exit-code", "Exit 2 if the child process exited with an error.", switch, default=False),
        Flag(
            "monitor-retry",
            "Number of times to retry, 1s apart, if the servers fail while the lock is monitored. 0 disables it. The "
            "default value is 3.",
            whole,
            default=3,
            placeholder="int",
        ),
        Flag(
            "n",
            "Limit on the number of concurrent holders; above 1 a semaphore is used. The default value is 1.",
            whole,
            default=1,
            placeholder="int",
        ),
        Flag("name", "Name of the lock's session; the default tells the child command.", default=""),
        Flag("pass-stdin", "Pass stdin to the child process.", switch, default=False),
        Flag("shell", "Use a shell (the SHELL environment variable) to run the command.", switch, default=True),
        Flag(
            "timeout",
            'Maximum time to wait for the lock, such as "1s" or "3h". The default value 0 waits for ever.',
            duration,
            default=0.0,
            placeholder="duration",
        ),
        Flag("try", "DEPRECATED. Use -timeout instead.", duration, default=0.0, placeholder="duration"),
        Flag("verbose", "Enable verbose (debugging) output.", switch, default=False),
    ],
    uses_agent=True,
    uses_servers=True,
    stop_at_argument=True,
)
def lock(given: Invocation) -> int:
    """Acquire, run, release, clean up."""
    values = given.values
    timeout_s = values["timeout"] or values["try"]
    wrong = ""
    if values["n"] <= 0:
        wrong = "Lock holder limit must be positive"
    elif len(given.arguments) < 2:
        wrong = "Key prefix and child command must be specified"
    elif timeout_s < 0:
        wrong = "Timeout must be positive"
    elif values["monitor-retry"] < 0:
        wrong = "Number for 'monitor-retry' must be >= 0"
    if wrong:
        given.err(wrong)
        return 1
    try:
        given.client.self_report()
    except ClientError as error:
        say(error, "Error querying Consul agent")
        return 1
    return _Run(given, timeout_s).run()


class _Run:
    """One child process under a lock. `_events`: "ended", "lost" or "shutdown", whatever comes first."""

    def __init__(self, given: Invocation, timeout_s: float) -> None:
        values = given.values
        prefix = given.arguments[0].removeprefix("/")
        self._given = given
        self._timeout_s = timeout_s
        self._words = given.arguments[1:]
        name = values["name"] or f"Consul lock for '{' '.join(self._words)}' at '{prefix}'"
        query = {"dc": values.get("datacenter")}
        self._held: Lock | Semaphore
        if values["n"] == 1:
            key = posixpath.normpath(posixpath.join(prefix, ".lock"))
            self._verbose(f"Setting up lock at path: {key}")
            self._held = Lock(given.client, key, name, query, values["monitor-retry"])
        else:
            self._verbose(f"Setting up semaphore (limit {values['n']}) at prefix: {prefix}")
            self._held = Semaphore(given.client, prefix, values["n"], name, query, values["monitor-retry"])
        self._events: SimpleQueue[str] = SimpleQueue()
        self._waiting = True

    def run(self) -> int:
        """The exit status."""
        signals.ignore()
        for number in (signal.SIGINT, *signals.ENDING):
            signal.signal(number, self._signalled)
        self._verbose("Attempting lock acquisition")
        self._given.progress.text = "Waiting for the lock"
        try:
            acquired = self._held.acquire(self._timeout_s)
            self._waiting = False
        except _Shutdown:
            acquired = False
        except ClientError as error:
            self._held.abandon()
            self._given.err(f"Lock acquisition failed: {error}")
            return 1
        if not acquired:
            self._held.abandon()
            self._given.err("Shutdown triggered or timeout during lock acquisition")
            return 1
        failed = self._child()
        released = self._release()
        return 1 if not released else 2 if failed and self._given.values["child-exit-code"] else 0

    def _signalled(self, *_: Any) -> None:
        if self._waiting:
            raise _Shutdown
        self._events.put("shutdown")

    def _verbose(self, text: str) -> None:
        if self._given.values["verbose"]:
            self._given.out(text)

    def _child(self) -> bool:
        """Run the child until it ends or is killed; whether it ended with an error status."""
        words = self._words
        if self._given.values["shell"]:
            words = [os.environ.get("SHELL") or "/bin/sh", "-c", " ".join(words)]
        self._given.progress.disable()  # the terminal is the child's
        self._verbose("Starting handler")
        if shutil.which(words[0]) is None:
            self._given.err(f'Error starting handler: exec: "{words[0]}": executable file not found in $PATH')
            return True
        stdin = None if self._given.values["pass-stdin"] else subprocess.DEVNULL
        if stdin is None:
            self._verbose("Stdin passed to handler process")
        try:
            environment = {**os.environ, "CONSUL_LOCK_HELD": "true"}
            # a child that reads the terminal stays in its foreground group
            child = subprocess.Popen(
                words,
                stdin=stdin,
                env=environment,
                start_new_session=stdin is not None,
                preexec_fn=signals.ending_with_us(),
            )
        except OSError as error:
            self._given.err(f"Error starting handler: fork/exec {words[0]}: {str(error.strerror).lower()}")
            return True
        self._held.monitor(lambda: self._events.put("lost"))
        threading.Thread(target=self._reap, args=(child,), daemon=True).start()
        what = self._events.get()
        if what == "ended":
            if child.returncode:
                self._given.err(f"Error running handler: {_status(child.returncode)}")
            self._verbose("Child terminated, releasing lock")
            return bool(child.returncode)
        self._verbose("Lock lost, killing child" if what == "lost" else "Shutdown triggered, killing child")
        self._kill(child)
        return False

    def _reap(self, child: subprocess.Popen[bytes]) -> None:
        child.wait()
        self._events.put("ended")

    def _kill(self, child: subprocess.Popen[bytes]) -> None:
        self._verbose(f"Terminating child pid {child.pid}")
        if self._given.values["pass-stdin"]:
            _end(child)
        else:
            signals.end_group(child)
        self._verbose("Child terminated")

    def _release(self) -> bool:
        try:
            self._held.release()
        except ClientError as error:
            self._given.err(f"Lock release failed: {error}")
            return False
        try:
            self._held.destroy()
            self._verbose("Cleanup succeeded")
        except InUse:
            self._verbose("Cleanup aborted, lock in use")
        except ClientError as error:
            self._given.err(f"Lock cleanup failed: {error}")
            return False
        return True


def _end(child: "subprocess.Popen[bytes]") -> None:
    child.terminate()
    try:
        child.wait(signals.GRACE_S)
    except subprocess.TimeoutExpired:
        child.kill()


def _status(code: int) -> str:
    return f"exit status {code}" if code > 0 else f"signal: {signal.strsignal(-code) or -code}".lower()
