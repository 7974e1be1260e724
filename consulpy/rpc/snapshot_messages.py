"""Messages of a snapshot connection (type 5 on port 8300). Source: docs/wire/rpc.md 12."""

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.record import Record, go
from consulpy.structs.options import QueryMeta

#: Values of `SnapshotRequest.op`.
SAVE, RESTORE = 0, 1


@dataclass(slots=True)
class SnapshotRequest(Record):
    """The request, before the archive to restore."""

    datacenter: str = ""
    token: str = ""
    allow_stale: bool = False
    op: int = SAVE


@dataclass(slots=True)
class SnapshotReply(Record):
    """The reply, before the saved archive; `error` empty means success."""

    error: str = ""
    meta: QueryMeta = go(inline=True, default_factory=QueryMeta)
