"""Messages of Raft on Consul's wire (hashicorp/raft 1.1.2, protocol version 3), and the entries of its log.

`RequestPreVote` is of raft 1.7 (Consul 1.20): answered, never sent, since older servers close the connection on it.

    call   = u8 type, msgpack map       (InstallSnapshot: then `size` bytes of state)
    answer = msgpack text (error, "" for none), msgpack map (nil with some errors)

Field names and their order were compared with bytes of real servers (tests/vectors/raft).
"""

from typing import Any, ClassVar, Final

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.msgpack import pack
from consulpy.codec.record import Record, go
from consulpy.errors import WireError

#: What this program sends, and the oldest version that it accepts from a peer.
PROTOCOL_VERSION: Final = 3
OLDEST_PROTOCOL_VERSION: Final = 2
#: The version of a snapshot that carries a configuration.
SNAPSHOT_VERSION: Final = 1
#: The error of a real server for another protocol version; nil stands in the place of the answer.
UNSUPPORTED: Final = "operation not supported with current protocol version"

#: The largest number of a term or an entry that is taken: others leave no room for what follows.
NUMBER_MAX: Final = 1 << 62
#: How the names of fields with such a number end.
_NUMBER_NAMES: Final = ("term", "_index", "_entry")

#: Types of log entries.
COMMAND: Final = 0
NOOP: Final = 1
ADD_PEER_DEPRECATED: Final = 2
REMOVE_PEER_DEPRECATED: Final = 3
BARRIER: Final = 4
CONFIGURATION: Final = 5
ENTRY_TYPES: Final = range(6)


@dataclass(slots=True)
class LogEntry(Record):
    """One entry of the log. `data`: the command or configuration; `extensions`: part numbers of a chunked command."""

    data: bytes | None = None
    extensions: bytes | None = None
    index: int = 0
    term: int = 0
    type: int = COMMAND


class Request(Record):
    """Base of all requests: the number of their type on the wire."""

    __slots__ = ()

    TYPE: ClassVar[int]


@dataclass(slots=True)
class AppendEntries(Request):
    """Entries after `prev_log_entry`; a heartbeat when `entries` is None and only term and leader are set."""

    TYPE = 0

    entries: list[LogEntry] | None = None
    leader: str = ""
    leader_commit_index: int = 0
    prev_log_entry: int = 0
    prev_log_term: int = 0
    protocol_version: int = PROTOCOL_VERSION
    term: int = 0

    @property
    def is_heartbeat(self) -> bool:
        """Whether this only says that the leader lives; real servers answer it outside their main loop."""
        is_empty = self.entries is None and not (self.prev_log_entry or self.prev_log_term or self.leader_commit_index)
        return is_empty and bool(self.term and self.leader)


@dataclass(slots=True)
class AppendEntriesReply(Record):
    """`last_log`: the follower's last index before the request; `no_retry_backoff`: the previous entry mismatched."""

    last_log: int = 0
    no_retry_backoff: bool = False
    protocol_version: int = PROTOCOL_VERSION
    success: bool = False
    term: int = 0


@dataclass(slots=True)
class RequestVote(Request):
    """A candidate's request. `leadership_transfer`: the voter should not mind that it knows a leader."""

    TYPE = 1

    candidate: str = ""
    last_log_index: int = 0
    last_log_term: int = 0
    leadership_transfer: bool = False
    protocol_version: int = PROTOCOL_VERSION
    term: int = 0


@dataclass(slots=True)
class RequestVoteReply(Record):
    """`peers` is of older protocols and always nil."""

    granted: bool = False
    peers: bytes | None = None
    protocol_version: int = PROTOCOL_VERSION
    term: int = 0


@dataclass(slots=True)
class InstallSnapshot(Request):
    """The state up to `last_log_index`, with the configuration of that moment; `size` bytes of state follow."""

    TYPE = 2

    configuration: bytes | None = None
    configuration_index: int = 0
    last_log_index: int = 0
    last_log_term: int = 0
    leader: str = ""
    peers: bytes | None = None
    protocol_version: int = PROTOCOL_VERSION
    size: int = 0
    snapshot_version: int = SNAPSHOT_VERSION
    term: int = 0


@dataclass(slots=True)
class InstallSnapshotReply(Record):
    """Real servers leave the protocol version 0 here."""

    protocol_version: int = 0
    success: bool = False
    term: int = 0


@dataclass(slots=True)
class TimeoutNow(Request):
    """Stand for election at once: the leader hands over."""

    TYPE = 3

    protocol_version: int = PROTOCOL_VERSION


@dataclass(slots=True)
class TimeoutNowReply(Record):
    """The empty reply."""

    protocol_version: int = 0


@dataclass(slots=True)
class RequestPreVote(Request):
    """Would you vote for me in this term, which I have not taken? `addr`: the candidate's "ip:port"."""

    TYPE = 4

    addr: str = ""
    id: str = go("ID", default="")
    last_log_index: int = 0
    last_log_term: int = 0
    protocol_version: int = PROTOCOL_VERSION
    term: int = 0


@dataclass(slots=True)
class RequestPreVoteReply(Record):
    """`term`: the larger of both; `addr`, `id`: of the voter."""

    addr: str = ""
    granted: bool = False
    id: str = go("ID", default="")
    protocol_version: int = PROTOCOL_VERSION
    term: int = 0


Reply = AppendEntriesReply | RequestVoteReply | InstallSnapshotReply | TimeoutNowReply | RequestPreVoteReply

REQUESTS: Final[dict[int, type[Request]]] = {
    kind.TYPE: kind for kind in (AppendEntries, RequestVote, InstallSnapshot, TimeoutNow, RequestPreVote)
}
REPLIES: Final[dict[type[Request], type[Record]]] = {
    AppendEntries: AppendEntriesReply,
    RequestVote: RequestVoteReply,
    InstallSnapshot: InstallSnapshotReply,
    TimeoutNow: TimeoutNowReply,
    RequestPreVote: RequestPreVoteReply,
}


#: The terms and indexes in each request.
_NUMBERS: Final[dict[type[Request], tuple[str, ...]]] = {
    kind: tuple(name for name in map(str, kind.__slots__) if name.endswith(_NUMBER_NAMES)) for kind in REQUESTS.values()
}


class RaftError(Exception):
    """A call that a peer answered with an error, or that could not be made; its text is the peer's, or ours."""


def encode_request(request: Request) -> bytes:
    """Type byte and body."""
    return bytes([request.TYPE]) + request.pack()


def decode_request(kind: int, raw: Any) -> Request:
    """The request in an unpacked body. Raises `WireError` for an unknown type or a body that is no map or array."""
    record = REQUESTS.get(kind)
    if record is None:
        raise WireError(f"unknown Raft message type {kind}")
    request = record.from_wire(raw)
    if not _has_version(record, raw):
        request.protocol_version = 0  # type: ignore[attr-defined]
    for name in _NUMBERS[record]:
        if not 0 <= getattr(request, name) <= NUMBER_MAX:
            raise WireError(f"{name} {getattr(request, name)} of a {record.__name__}")
    return request


def _has_version(record: type[Request], raw: Any) -> bool:
    if isinstance(raw, list):
        return len(raw) > [*map(str, record.__slots__)].index("protocol_version")
    return isinstance(raw, dict) and b"ProtocolVersion" in raw


def sender_of(request: Request) -> str:
    """The sender's address, as the request has it."""
    return str(getattr(request, "leader", "") or getattr(request, "candidate", "") or getattr(request, "addr", ""))


def encode_reply(reply: Record) -> bytes:
    """No error, and the answer."""
    return b"\xa0" + reply.pack()


def encode_error(error: str, reply: Record | None = None) -> bytes:
    """An error, and the answer or nil."""
    return pack(error) + (b"\xc0" if reply is None else reply.pack())


def decode_reply(kind: type[Request], error: Any, raw: Any) -> Record:
    """The answer to a request of this kind, of the two unpacked objects.

    Raises `RaftError` with the peer's text, or `WireError`.
    """
    if not isinstance(error, bytes):
        raise WireError(f"a text was expected, not {type(error).__name__}")
    if error:
        raise RaftError(error.decode(errors="replace"))
    return REPLIES[kind].from_wire(raw)


def is_version_supported(version: int) -> bool:
    """Whether a request of this protocol version is served."""
    return OLDEST_PROTOCOL_VERSION <= version <= PROTOCOL_VERSION


@dataclass(slots=True)
class PeerState(Record):
    """A voter's reply before an election: its leader ("" for none) and the end of its log (`Status.RaftStats`)."""

    leader: str = ""
    last_log_index: int = go(default=0)
    last_log_term: int = go(default=0)
