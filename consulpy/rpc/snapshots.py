"""Snapshots: saves and restores the state of a server (docs/wire/rpc.md 12)."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred

from consulpy.codec.msgpack import pack, unpack_from
from consulpy.errors import NoLeader, NoPathToDatacenter, RPCError, WireError
from consulpy.rpc.snapshot_messages import RESTORE, SAVE, SnapshotReply, SnapshotRequest
from consulpy.state import archive
from consulpy.state.archive import BadArchive, Voter
from consulpy.state.snapshot import Snapshot
from consulpy.state.snapshot import restore as store_of
from consulpy.state.store import Store
from consulpy.structs.options import QueryMeta

if TYPE_CHECKING:
    from consulpy.rpc.server import Server

#: Maximum size of an archive, in bytes.
ARCHIVE_LIMIT: Final = 2**30
#: Maximum size of the request before it, in bytes.
REQUEST_LIMIT: Final = 65536
#: The constant term of a log without elections (real servers begin with 2).
_TERM: Final = 2


def perform(server: "Server", request: SnapshotRequest, data: bytes) -> "Deferred[tuple[QueryMeta, bytes]]":
    """Save (the archive is the result) or restore `data`. Fails with `RPCError`; then nothing has changed."""
    return Deferred.fromCoroutine(_perform(server, request, data))


async def _perform(server: "Server", request: SnapshotRequest, data: bytes) -> tuple[QueryMeta, bytes]:
    if request.datacenter != server.datacenter:
        raise NoPathToDatacenter
    server.guard.require_snapshot(request.token)
    if not server.is_leader and not (request.allow_stale and request.op == SAVE):
        if server.quorum is None:
            raise NoLeader
        return await server.quorum.snapshot(request, data)
    if request.op == SAVE:
        return await _save(server)
    if request.op == RESTORE:
        await _restore(server, data)
        return QueryMeta(), b""
    raise RPCError(f"unrecognized snapshot op {request.op}")


async def _save(server: "Server") -> tuple[QueryMeta, bytes]:
    snapshot = Snapshot.of(server.store)
    voters, term = [Voter(server.node_id, server.rpc_address)], _TERM
    if server.quorum is not None:
        voters = [Voter(each.id, each.address) for each in server.quorum.servers() if each.is_voter]
        term = server.quorum.last_term
    unix_ms = int(server.wall_s() * 1000)

    def write() -> bytes:
        return archive.write(snapshot.index, term, voters, _Records(snapshot), unix_ms=unix_ms)

    made = await server.in_thread(write)
    return QueryMeta(index=snapshot.index, known_leader=bool(server.leader_address)), made


class _Records:
    """The records of a state, as often as they are iterated."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def __iter__(self) -> Iterator[bytes]:
        return self._snapshot.records()


async def _restore(server: "Server", data: bytes) -> None:
    def read() -> Store:
        found = archive.read(data)
        try:
            return store_of(found.index, found.records)
        except WireError as error:
            raise BadArchive(f"failed to restore snapshot: {error}") from None

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
    """Serves one snapshot connection. `write`: sends bytes; `close`: closes gracefully."""

    def __init__(self, server: "Server", write: Any, close: Any) -> None:
        self._server = server
        self._write = write
        self._close = close
        self._input = bytearray()
        self._request: SnapshotRequest | None = None
        self._running: Deferred[Any] | None = None

    def data_received(self, data: bytes) -> None:
        """Process bytes of the request, or of the archive behind it. Raises `WireError`."""
        self._input += data
        if self._request is None:
            self._read_request()
        elif len(self._input) > ARCHIVE_LIMIT:
            raise WireError(f"a snapshot of more than {ARCHIVE_LIMIT} bytes")

    def _read_request(self) -> None:
        try:
            raw, size = unpack_from(bytes(self._input))
        except WireError:
            if len(self._input) > REQUEST_LIMIT:
                raise
            return  # Go sends it in dozens of segments
        self._request = SnapshotRequest.from_wire(raw)
        del self._input[:size]
        if self._request.op != RESTORE:
            self._perform(b"")

    @property
    def has_request(self) -> bool:
        """Whether the request has arrived."""
        return self._request is not None

    def ended(self) -> None:
        """End of input: the archive is complete."""
        if self._request is None:
            self._close()
        elif self._running is None:
            data = bytes(self._input)
            self._input.clear()
            self._perform(data)

    def lost(self) -> None:
        """The connection is lost; a restore that has begun continues."""
        self._write = self._close = _nothing

    def _perform(self, data: bytes) -> None:
        assert self._request is not None
        self._running = perform(self._server, self._request, data).addCallbacks(self._done, self._failed)

    def _done(self, result: tuple[QueryMeta, bytes]) -> None:
        meta, made = result
        self._write(SnapshotReply(meta=meta).pack() + made)
        self._close()

    def _failed(self, failure: Any) -> None:
        known = failure.check(RPCError) is not None
        text = str(failure.value) if known else f"internal error: {type(failure.value).__name__}"
        self._write(SnapshotReply(error=text).pack())
        self._close()


def _nothing(*_: object) -> None:
    pass


def reply_in(data: bytes) -> tuple[QueryMeta, bytes]:
    """Metadata and archive of a complete reply. Raises `RPCError` with the server's text, or `WireError`."""
    raw, size = unpack_from(data)
    reply = SnapshotReply.from_wire(raw)
    if reply.error:
        raise RPCError(reply.error)
    return reply.meta, data[size:]


def request_bytes(request: SnapshotRequest, data: bytes) -> bytes:
    """The bytes of a request, after the first byte of the connection."""
    return pack(request.to_wire()) + data
