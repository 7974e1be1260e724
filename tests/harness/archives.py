"""Snapshot archives as bytes."""

import io
from collections.abc import Iterable
from typing import Any

from twisted.internet.defer import Deferred

from consulpy.rpc.server import Server
from consulpy.rpc.snapshot_messages import RESTORE, SAVE, SnapshotRequest
from consulpy.rpc.snapshots import perform
from consulpy.rpc.spool_file import Spool
from consulpy.state import archive
from consulpy.state.archive import Archive, Voter


def written(index: int, term: int, voters: list[Voter], records: Iterable[bytes], *, unix_ms: int) -> bytes:
    file = io.BytesIO()
    archive.write(file, index, term, voters, records, unix_ms=unix_ms)
    return file.getvalue()


def contents(data: bytes) -> tuple[Archive, list[bytes]]:
    """What an archive says of itself, and its records. Raises `BadArchive`."""
    found = archive.read(io.BytesIO(data), io.BytesIO())
    return found, [record for record, _ in found.records()]


def saved(server: Server) -> bytes:
    """The archive that a server saves."""
    found: list[Any] = []
    perform(server, SnapshotRequest("dc1", op=SAVE), None).addCallback(found.append)
    _, spool = found[0]
    data: bytes = spool.read_all()
    spool.close()
    return data


def restored(server: Server, data: bytes) -> "Deferred[Any]":
    """Have a server restore an archive."""
    return perform(server, SnapshotRequest("dc1", op=RESTORE), Spool(data))
