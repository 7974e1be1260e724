"""The machine's `Sender`: a pipelined connection for each server's log, others for everything else."""

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from consulpy.clock import Clock
from consulpy.codec.record import Record
from consulpy.piece_sender import PieceSender
from consulpy.raft.configuration import Server
from consulpy.raft.framing import CALL_TIMEOUT_S, STATE_CHUNK
from consulpy.raft.interfaces import Answered, Unreachable
from consulpy.raft.messages import AppendEntries, RaftError, Request
from consulpy.raft.storage import SnapshotReader
from consulpy.raft.transport import PeerConnection

#: Connections to one server that are held open while nothing is asked.
IDLE_LIMIT: Final = 3

#: `dial(server, make)`: connects to a server of the quorum, fails with an exception that says why not.
Dial = Callable[[Server, Callable[[], PeerConnection]], "Deferred[Any]"]


class Peers:
    """The connections to all other servers: a `Sender`. `survey(server, answered)`: as `Sender.survey`."""

    def __init__(self, clock: Clock, dial: Dial, survey: Callable[[Server, Answered], None]) -> None:
        self._clock = clock
        self._dial = dial
        self.survey = survey
        self._logs: dict[str, _LogConnection] = {}
        self._idle: dict[str, list[PeerConnection]] = {}
        self._all: set[PeerConnection] = set()
        self._is_closed = False

    def call(self, server: Server, request: Request, answered: Answered) -> None:
        """See `Sender.call`."""
        if isinstance(request, AppendEntries) and not request.is_heartbeat:
            self._log(server).ask(request, answered)
            return
        idle = self._idle.get(server.address, [])
        while idle:
            connection = idle.pop()
            if connection.is_idle:
                self._ask(server, connection, request, answered)
                return
        self.connect(server, lambda made: self._ask(server, made, request, answered), answered)

    def install(self, server: Server, request: Request, snapshot: SnapshotReader, answered: Answered) -> None:
        """See `Sender.install`."""

        def connected(connection: PeerConnection) -> None:
            def finished(reply: Record | Exception) -> None:
                snapshot.close()
                connection.close("done")
                answered(reply)

            def written(error: Exception | None) -> None:
                if error is not None:
                    connection.close(f"the snapshot cannot be read: {error}")

            timeout_s = CALL_TIMEOUT_S * max(snapshot.size / STATE_CHUNK, 1)
            connection.ask(request, finished, timeout_s)
            PieceSender(connection.transport, snapshot.read, written).start()

        def failed(error: Exception) -> None:
            snapshot.close()
            answered(error)

        self.connect(server, connected, failed)

    def abort(self, server: Server) -> None:
        """See `Sender.abort`."""
        log = self._logs.pop(server.address, None)
        if log is not None:
            log.close()

    def close(self) -> None:
        """Close everything."""
        self._is_closed = True
        for connection in list(self._all):
            connection.close("closed")
        self._logs.clear()
        self._idle.clear()

    def connect(
        self, server: Server, connected: Callable[[PeerConnection], None], failed: Callable[[Exception], None]
    ) -> None:
        """Make a connection of its own."""
        made = self._dial(server, lambda: PeerConnection(self._clock, self._all.discard))

        def succeeded(connection: PeerConnection) -> None:
            if self._is_closed:
                connection.close("closed")
                return
            self._all.add(connection)
            connected(connection)

        def not_made(failure: Failure) -> None:
            # Never from within the call.
            self._clock.callLater(0, failed, Unreachable(str(failure.value)))

        made.addCallbacks(succeeded, not_made)

    def _log(self, server: Server) -> "_LogConnection":
        log = self._logs.get(server.address)
        if log is None or log.is_closed:
            log = self._logs[server.address] = _LogConnection(self, server)
        return log

    def _ask(self, server: Server, connection: PeerConnection, request: Request, answered: Answered) -> None:
        def finished(reply: Record | Exception) -> None:
            idle = self._idle.setdefault(server.address, [])
            if connection.is_open and not self._is_closed:
                if len(idle) < IDLE_LIMIT:
                    idle.append(connection)
                else:
                    connection.close("not needed")
            answered(reply)

        connection.ask(request, finished)


class _LogConnection:
    """The connection for one server's log: what is asked before it is made waits."""

    def __init__(self, peers: Peers, server: Server) -> None:
        self._waiting: list[tuple[Request, Answered]] = []
        self._connection: PeerConnection | None = None
        self._is_closed = False
        peers.connect(server, self._connected, self._failed)

    @property
    def is_closed(self) -> bool:
        """Whether another one is needed. The other end may have closed it while nothing was asked."""
        return self._is_closed or (self._connection is not None and not self._connection.is_open)

    def ask(self, request: Request, answered: Answered) -> None:
        """Send, or wait for the connection."""
        if self._connection is not None:
            self._connection.ask(request, answered)
        else:
            self._waiting.append((request, answered))

    def close(self) -> None:
        """Close it; all calls fail."""
        self._is_closed = True
        if self._connection is not None:
            self._connection.close("aborted")
        self._fail_waiting(RaftError("aborted"))

    def _connected(self, connection: PeerConnection) -> None:
        if self._is_closed:
            connection.close("aborted")
            return
        self._connection = connection
        waiting, self._waiting = self._waiting, []
        for request, answered in waiting:
            connection.ask(request, answered)

    def _failed(self, error: Exception) -> None:
        self._is_closed = True
        self._fail_waiting(error)

    def _fail_waiting(self, error: Exception) -> None:
        waiting, self._waiting = self._waiting, []
        for _, answered in waiting:
            answered(error)
