"""Remote execution (`consul exec`): runs commands from user events; off unless `disable_remote_exec = false`.

The user event `_rexec` names a prefix of keys and a session. Keys under PREFIX/SESSION/: `job` holds the command; each
agent writes NODE/ack, NODE/out/00000 and on (pieces of output; an empty one is a heartbeat), and NODE/exit. All are
locked by the session and deleted with it. Source: Consul 1.8.7.
"""

import base64
import os
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import orjson
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from consulpy.clock import cancel_timer
from consulpy.log import Logger
from consulpy.rpc.caller import Caller
from consulpy.structs.kv import LOCK, DirEntry, KeyRequest, KVRequest
from consulpy.structs.options import QueryOptions

_log = Logger()

#: Size of one piece of output in bytes, and the longest delay of a smaller piece in seconds.
PIECE_BYTES: Final = 4096
PIECE_S: Final = 0.5
#: Most output of one command, in bytes; the rest is dropped.
OUTPUT_MAX_BYTES: Final = 1024 * 1024
#: Most commands at a time; further ones are refused.
RUNNING_MAX: Final = 16


class RemoteExec:
    """Runs the jobs that user events announce. `token()`: the agent's own, for the keys of the job."""

    def __init__(
        self, reactor: Any, caller: Caller, datacenter: str, node_name: str, token: Callable[[], str] = lambda: ""
    ) -> None:
        self._reactor = reactor
        self._caller = caller
        self._datacenter = datacenter
        self._node_name = node_name
        self._token = token
        self._running: set[_Process] = set()
        self._jobs = 0

    def run(self, payload: bytes) -> None:
        """Run the job of one event. Failures are logged."""
        Deferred.fromCoroutine(self._run(payload)).addErrback(self._failed)

    def stop(self) -> None:
        """Kill the running commands."""
        for process in list(self._running):
            process.kill()

    def _failed(self, failure: Failure) -> None:
        _log.error("remote exec: {why}", why=failure.getErrorMessage())

    async def _run(self, payload: bytes) -> None:
        event = orjson.loads(payload)
        prefix, session = str(event["Prefix"]), str(event["Session"])
        base = f"{prefix}/{session}"
        job = await self._job(f"{base}/job")
        if self._jobs >= RUNNING_MAX:
            raise ValueError(f"{RUNNING_MAX} commands run already")
        self._jobs += 1
        try:
            await self._do(job, session, base)
        finally:
            self._jobs -= 1

    async def _do(self, job: Mapping[str, Any], session: str, base: str) -> None:
        """Acknowledge a job, run it, write its exit status."""
        await self._write(session, f"{base}/{self._node_name}/ack", b"")
        script = base64.b64decode(job.get("Script") or "")
        with tempfile.TemporaryDirectory(prefix="rexec") as folder:
            try:
                arguments = _arguments(job, script, Path(folder))
                code = await self._output(arguments, session, f"{base}/{self._node_name}", job)
            except (OSError, ValueError) as error:
                _log.error("remote exec: {why}", why=error)
                code = 255
        await self._write(session, f"{base}/{self._node_name}/exit", str(code).encode())

    async def _job(self, key: str) -> Mapping[str, Any]:
        options = QueryOptions(token=self._token())
        request = KeyRequest(datacenter=self._datacenter, options=options, key=key)
        reply = await self._caller.call("KVS.Get", request)
        if not reply.entries or reply.entries[0].value is None:
            raise ValueError(f"there is no job at {key}")
        job: Mapping[str, Any] = orjson.loads(reply.entries[0].value)
        return job

    async def _write(self, session: str, key: str, value: bytes) -> None:
        entry = DirEntry(key=key, value=value or None, session=session)
        request = KVRequest(datacenter=self._datacenter, token=self._token(), op=LOCK, dir_ent=entry)
        if not await self._caller.call("KVS.Apply", request):
            raise ValueError(f"{key} could not be written: its session is gone")

    async def _output(self, arguments: list[str], session: str, base: str, job: Mapping[str, Any]) -> int:
        """Run a command and write its output in pieces; the exit status."""
        process = _Process()
        self._running.add(process)
        written, silent_s = 0, 0.0
        # half of the time after which `consul exec` stops waiting
        heartbeat_s = max(int(job.get("Wait") or 0) / 2e9, 2 * PIECE_S)
        try:
            self._reactor.spawnProcess(process, arguments[0], arguments, dict(os.environ))
            while True:
                ended = await process.next_piece(self._reactor)
                for piece in process.pieces():
                    await self._write(session, f"{base}/out/{written:05x}", piece)
                    written, silent_s = written + 1, 0.0
                if ended:
                    return process.code
                silent_s += PIECE_S
                if silent_s >= heartbeat_s:
                    await self._write(session, f"{base}/out/{written:05x}", b"")
                    written, silent_s = written + 1, 0.0
        finally:
            process.kill()
            self._running.discard(process)


def _arguments(job: Mapping[str, Any], script: bytes, folder: Path) -> list[str]:
    """The argument vector of a job. Raises `ValueError`, OSError."""
    if script:
        place = folder / "script"
        place.write_bytes(script)
        place.chmod(0o700)
        return [os.environ.get("SHELL", "/bin/sh"), "-c", str(place)]
    if job.get("Args"):
        return [str(each) for each in job["Args"]]
    if job.get("Command"):
        return [os.environ.get("SHELL", "/bin/sh"), "-c", str(job["Command"])]
    raise ValueError("the job names no command")


class _Process(ProcessProtocol):
    """A running command and its output that has not been written yet."""

    transport: Any = None

    def __init__(self) -> None:
        self.code = 255
        self._printed = bytearray()
        self._total = 0
        self._ended = False
        self._pending: Deferred[bool] | None = None

    def connectionMade(self) -> None:
        self.transport.closeStdin()

    def outReceived(self, data: bytes) -> None:
        allowed = max(OUTPUT_MAX_BYTES - self._total, 0)
        self._printed += data[:allowed]
        self._total += len(data)
        if self._total > OUTPUT_MAX_BYTES >= self._total - len(data):
            self._printed += f"\n(more than {OUTPUT_MAX_BYTES} bytes: the rest is not passed on)\n".encode()
        if len(self._printed) >= PIECE_BYTES:
            self._fire()

    errReceived = outReceived  # noqa: N815 - Twisted's name

    def processEnded(self, reason: Failure) -> None:
        value: Any = reason.value
        self.code = value.exitCode if value.exitCode is not None else 128 + (value.signal or 0)
        self._ended = True
        self._fire()

    def _fire(self) -> None:
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.callback(self._ended)

    def next_piece(self, reactor: Any) -> "Deferred[bool]":
        """Fires with a whole piece, after `PIECE_S`, or at the end: whether the command has ended."""
        if self._ended or len(self._printed) >= PIECE_BYTES:
            ready: Deferred[bool] = Deferred()
            ready.callback(self._ended)
            return ready
        pending = self._pending = Deferred()
        timer = reactor.callLater(PIECE_S, self._fire)

        def stop(result: Any) -> Any:
            cancel_timer(timer)
            return result

        return pending.addBoth(stop)

    def pieces(self) -> list[bytes]:
        """The output since the last call, in pieces."""
        printed, self._printed = bytes(self._printed), bytearray()
        return [printed[at : at + PIECE_BYTES] for at in range(0, len(printed), PIECE_BYTES)]

    def kill(self) -> None:
        """Kill the command if it runs."""
        if self.transport is not None and not self._ended:
            with suppress(Exception):
                self.transport.signalProcess("KILL")
