"""The connection of type 5: real clients' bytes in, a real server's answers out (docs/wire/rpc.md 12)."""

import json
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from consulpy.codec.msgpack import pack, unpack_from
from consulpy.errors import RPCError, WireError
from consulpy.rpc.snapshot_messages import RESTORE, SAVE, SnapshotReply, SnapshotRequest
from consulpy.rpc.snapshots import REQUEST_LIMIT, SnapshotHandler, perform, reply_at_beginning, request_bytes
from consulpy.structs.options import QueryMeta
from tests.conftest import VECTORS
from tests.harness.archives import written
from tests.harness.rpc import make_server, register


def reply_in(data: bytes) -> tuple[QueryMeta, bytes]:
    """Metadata and archive of a whole reply. Raises `RPCError` with the server's text."""
    found = reply_at_beginning(data)
    assert found is not None
    meta, size = found
    return meta, data[size:]


SESSIONS = json.loads((VECTORS / "rpc" / "snapshot_stream.json").read_text())["sessions"]


class Connection:
    """What a server's end writes."""

    def __init__(self, server: Any) -> None:
        self.sent = bytearray()
        self.is_closed = False
        self.is_reading = True
        self.end = SnapshotHandler(server, self, self.close, self.abort)

    def write(self, data: bytes) -> None:
        self.sent += data

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def pauseProducing(self) -> None:
        self.is_reading = False

    def resumeProducing(self) -> None:
        self.is_reading = True

    def close(self) -> None:
        self.is_closed = True

    def abort(self, why: str) -> None:
        raise AssertionError(why)

    @property
    def reply(self) -> SnapshotReply:
        return SnapshotReply.from_wire(unpack_from(bytes(self.sent))[0])


@pytest.mark.parametrize("session", SESSIONS)
def test_captured_requests_and_replies_come_out_as_they_went_in(session: dict[str, str]) -> None:
    asked, answered = bytes.fromhex(session["client_hex"]), bytes.fromhex(session["server_hex"])
    assert asked[0] == 5
    raw, size = unpack_from(asked[1:])
    assert request_bytes(SnapshotRequest.from_wire(raw)) == asked[1 : 1 + size]
    raw, size = unpack_from(answered)
    assert SnapshotReply.from_wire(raw).pack() == answered[:size]


def test_a_save_is_answered_at_once_and_restored_elsewhere() -> None:
    server = make_server(Clock())
    register(server, "n1", "web")
    connection = Connection(server)
    for byte in request_bytes(SnapshotRequest(datacenter="dc1", op=SAVE)):  # as Go sends it
        connection.end.data_received(bytes([byte]))
    assert connection.is_closed
    meta, data = reply_in(bytes(connection.sent))
    assert (meta.index, meta.known_leader) == (server.store.index, True)
    connection.end.ended()  # the half-close comes with the request; nothing is answered twice
    assert len(connection.sent) == len(SnapshotReply(meta=meta).pack()) + len(data)

    other = make_server(Clock())
    told: list[str] = []
    other.after_restore.append(lambda: told.append("restored"))
    restoring = Connection(other)
    restoring.end.data_received(request_bytes(SnapshotRequest(datacenter="dc1", op=RESTORE)) + data)
    assert not restoring.sent, "an archive is whole when the client closed its half"
    restoring.end.ended()
    assert reply_in(bytes(restoring.sent)) == (SnapshotReply().meta, b"")
    assert [node.node for node in other.store.catalog.nodes(None)[1]] == ["n1"]
    assert told == ["restored"]


@pytest.mark.parametrize(
    ("request_", "data", "text"),
    [
        (SnapshotRequest("nowhere"), b"", "No path to datacenter"),
        (SnapshotRequest("dc1", op=7), b"", "unrecognized snapshot op 7"),
        (SnapshotRequest("dc1", op=RESTORE, allow_stale=True), b"garbage", "stale not allowed for restore"),
        (SnapshotRequest("dc1", op=RESTORE), b"garbage", "failed to decompress snapshot: unexpected EOF"),
        (
            SnapshotRequest("dc1", op=RESTORE),
            written(1, 2, [], [b"\x7f\x80"], unix_ms=1),
            "failed to restore snapshot: a snapshot record of unknown type 127",
        ),
        (
            SnapshotRequest("dc1", op=RESTORE),
            written(1, 2, [], [b"\x00" + pack({"Node": 7})], unix_ms=1),
            "failed to restore snapshot: RegisterRequest.Node: text was expected, not int",
        ),
    ],
)
def test_a_refusal_touches_nothing(request_: SnapshotRequest, data: bytes, text: str) -> None:
    server = make_server(Clock())
    register(server, "n1")
    index = server.store.index
    connection = Connection(server)
    connection.end.data_received(request_bytes(request_) + data)
    connection.end.ended()
    assert connection.reply.error == text
    assert (server.store.index, connection.is_closed) == (index, True)
    with pytest.raises(RPCError) as told:
        reply_in(bytes(connection.sent))
    assert str(told.value) == text


def test_without_a_leader_only_stale_saves_are_answered() -> None:
    server = make_server(Clock(), leads=False)
    for stale, text in ((False, "No cluster leader"), (True, "")):
        connection = Connection(server)
        connection.end.data_received(request_bytes(SnapshotRequest("dc1", allow_stale=stale)))
        assert connection.reply.error == text


def test_a_request_has_a_limit() -> None:
    end = Connection(make_server(Clock())).end
    end.data_received(b"\xdb\x00\xff\xff\xff" + bytes(REQUEST_LIMIT // 2))  # a text of 16 MB begins
    with pytest.raises(WireError):
        end.data_received(bytes(REQUEST_LIMIT))


def test_a_client_that_leaves_does_not_stop_a_restore() -> None:
    server = make_server(Clock())
    waiting: Deferred[Any] = Deferred()
    jobs: list[Any] = []

    def in_thread(job: Any) -> "Deferred[Any]":
        jobs.append(job)
        return waiting

    server.in_thread = in_thread
    connection = Connection(server)
    data = written(41, 2, [], [], unix_ms=1)
    connection.end.data_received(request_bytes(SnapshotRequest("dc1", op=RESTORE)) + data)
    connection.end.ended()
    connection.end.lost()
    waiting.callback(jobs[0]())
    assert server.store.index == 42
    assert not connection.sent


def test_a_costly_job_runs_where_the_server_says() -> None:
    server = make_server(Clock())
    ran: list[Any] = []

    def in_thread(job: Any) -> "Deferred[Any]":
        ran.append(job)
        return Deferred()

    server.in_thread = in_thread
    perform(server, SnapshotRequest("dc1"), None)
    assert len(ran) == 1
