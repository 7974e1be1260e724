"""Snapshots: saves and restores the state of a server (docs/wire/rpc.md 12)."""

from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred

from consulpy.clock import Timer, cancel_timer
from consulpy.codec.msgpack import pack, unpack_from
from consulpy.errors import NoLeader, NoPathToDatacenter, RPCError, WireError
from consulpy.rpc.snapshot_messages import RESTORE, SAVE, SnapshotReply, SnapshotRequest
from consulpy.rpc.spool_file import SnapshotResult, Spool, SpoolSender, SpoolWriter
from consulpy.state import archive
from consulpy.state.archive import BadArchive, Voter
from consulpy.state.snapshot import Restoration, Snapshot
from consulpy.state.store import Store
from consulpy.structs.options import QueryMeta

if TYPE_CHECKING:
    from consulpy.rpc.server import Server

#: Maximum size of an archive, in bytes.
ARCHIVE_LIMIT: Final = 2**30
#: Timeout of sending an archive, in seconds.
SEND_TIMEOUT_S: Final = 600.0
#: Maximum size of the request before it, in bytes.
REQUEST_LIMIT: Final = 65536
#: The constant term of a log without elections (real servers begin with 2).
_TERM: Final = 2


def perform(server: "Server", request: SnapshotRequest, data: Spool | None) -> "Deferred[SnapshotResult]":
    """Save, or restore `data`, which is closed at the end. Fails with `RPCError`; then nothing has changed."""

    def close(result: Any) -> Any:
        if data is not None:
            data.close()
        return result

    return Deferred.fromCoroutine(_perform(server, request, data)).addBoth(close)


async def _perform(server: "Server", request: SnapshotRequest, data: Spool | None) -> SnapshotResult:
    if request.datacenter != server.datacenter:
        raise NoPathToDatacenter
    prepare = server.guard.prepare
    pending = prepare(server, "Snapshot", request) if prepare is not None else None
    if pending is not None:
        await pending
    server.guard.require_snapshot(request.token)
    if request.op == RESTORE and request.allow_stale:
        raise RPCError("stale not allowed for restore")
    if not server.is_leader and not (request.allow_stale and request.op == SAVE):
        if server.quorum is None:
            raise NoLeader
        result: SnapshotResult = await server.quorum.snapshot(request, data)
        return result
    if request.op == SAVE:
        return await _save(server)
    if request.op == RESTORE and data is not None:
        await _restore(server, data)
        return QueryMeta(), None
    raise RPCError(f"unrecognized snapshot op {request.op}")


async def _save(server: "Server") -> SnapshotResult:
    snapshot = Snapshot.of(server.store)
    voters, term = [Voter(server.node_id, server.rpc_address)], _TERM
    if server.quorum is not None:
        voters = [Voter(each.id, each.address) for each in server.quorum.servers() if each.is_voter]
        term = server.quorum.last_term
    unix_ms = int(server.wall_s() * 1000)
    made = Spool()

    def write() -> None:
        archive.write(made, snapshot.index, term, voters, _Records(snapshot), unix_ms=unix_ms)
        made.file.seek(0)

    try:
        await server.in_thread(write)
    except BaseException as error:
        made.close()
        if isinstance(error, OSError):
            raise RPCError(f"the snapshot cannot be stored: {error}") from None
        raise
    return QueryMeta(index=snapshot.index, known_leader=bool(server.leader_address)), made


class _Records:
    """The records of a state, as often as they are iterated."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def __iter__(self) -> Iterator[bytes]:
        return self._snapshot.records()


async def _restore(server: "Server", data: Spool) -> None:
    def read() -> Store:
        try:
            with closing(Spool()) as scratch:
                found = archive.read(data.file, scratch.file)
                restoration = Restoration(found.index)
                for record, value in found.records():
                    restoration.add(record, value)
                return restoration.finish()
        except WireError as error:
            raise BadArchive(f"failed to restore snapshot: {error}") from None
        except OSError as error:
            raise RPCError(f"the snapshot cannot be stored: {error}") from None

    new = await server.in_thread(read)
    restored: Deferred[None] = Deferred()

    def finished(error: Any) -> None:
        if isinstance(error, Exception):
            restored.errback(error)
        else:
            restored.callback(None)

    server.log.restore(new, finished)
    await restored
    if server.quorum is None:  # else every server does so when it has the new state
        for call in server.after_restore:
            call()


class SnapshotHandler:
    """Serves one snapshot connection. `transport`: its transport; `close`: closes gracefully; `abort(why)`: at once."""

    def __init__(
        self, server: "Server", transport: Any, close: Callable[[], None], abort: Callable[[str], None]
    ) -> None:
        self._server = server
        self._transport = transport
        self._close = close
        self._abort = abort
        self._input = b""
        self._archive = SpoolWriter(server.in_thread, partial(set_reading, transport))
        self._request: SnapshotRequest | None = None
        self._is_ended = self._is_lost = False
        self._timer: Timer | None = None

    def data_received(self, data: bytes) -> None:
        """Process bytes of the request, or of the archive behind it. Raises `WireError`."""
        if self._request is None:
            self._input += data
            self._read_request()
        else:
            self._take(data)

    def _read_request(self) -> None:
        try:
            raw, size = unpack_from(self._input)
        except WireError:
            if len(self._input) > REQUEST_LIMIT:
                raise
            return  # Go sends it in dozens of segments
        self._request = SnapshotRequest.from_wire(raw)
        rest, self._input = self._input[size:], b""
        if self._request.op != RESTORE:
            self._perform(None)
        elif rest:
            self._take(rest)

    def _take(self, data: bytes) -> None:
        if self._request is None or self._request.op != RESTORE or self._is_ended:
            return
        if self._archive.size + len(data) > ARCHIVE_LIMIT:
            raise WireError(f"a snapshot of more than {ARCHIVE_LIMIT} bytes")
        self._archive.write(data)

    @property
    def has_request(self) -> bool:
        """Whether the request has arrived."""
        return self._request is not None

    def ended(self) -> None:
        """End of input: the archive is complete."""
        if self._request is None:
            self._close()
        elif self._request.op == RESTORE and not self._is_ended:
            self._is_ended = True
            self._archive.finish().addCallbacks(self._perform, self._failed)

    def lost(self) -> None:
        """The connection is lost; a restore that has begun continues."""
        self._is_lost = True
        self._cancel_timer()
        if not self._is_ended:
            self._archive.abandon()

    def _perform(self, data: Spool | None) -> None:
        assert self._request is not None
        perform(self._server, self._request, data).addCallbacks(self._done, self._failed)

    def _done(self, result: SnapshotResult) -> None:
        meta, made = result
        if self._is_lost:
            if made is not None:
                made.close()
            return
        self._transport.write(SnapshotReply(meta=meta).pack())
        if made is None:
            self._close()
        else:
            self._timer = self._server.clock.callLater(SEND_TIMEOUT_S, self._abort, "it did not read the snapshot")
            SpoolSender(made, self._transport, self._server.in_thread, self._sent).start()

    def _cancel_timer(self) -> None:
        cancel_timer(self._timer)

    def _sent(self, error: Exception | None) -> None:
        self._cancel_timer()
        if error is None:
            self._close()
        else:
            self._abort(f"the snapshot cannot be read: {error}")

    def _failed(self, failure: Any) -> None:
        known = failure.check(RPCError) is not None
        text = str(failure.value) if known else f"internal error: {type(failure.value).__name__}"
        if not self._is_lost:
            self._transport.write(SnapshotReply(error=text).pack())
            self._close()


def set_reading(transport: Any, reads: bool) -> None:
    """Resume or pause reading."""
    if reads:
        transport.resumeProducing()
    else:
        transport.pauseProducing()


def reply_at_beginning(data: bytes) -> tuple[QueryMeta, int] | None:
    """Metadata of a reply, and where the archive begins; None if more is needed. Raises `RPCError` with the server's
    text, or `WireError`."""
    try:
        raw, size = unpack_from(data)
    except WireError:
        if len(data) > REQUEST_LIMIT:
            raise
        return None
    reply = SnapshotReply.from_wire(raw)
    if reply.error:
        raise RPCError(reply.error)
    return reply.meta, size


def request_bytes(request: SnapshotRequest) -> bytes:
    """The bytes of a request, after the first byte of the connection and before the archive."""
    return pack(request.to_wire())
