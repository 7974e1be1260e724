"""Entries of the KV store, and requests for them (docs/wire/rpc.md 5 and 10)."""

from dataclasses import field
from typing import Final

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.record import Record, go
from consulpy.structs.requests import Read, Reply, Write

SET: Final = "set"
DELETE: Final = "delete"
DELETE_CAS: Final = "delete-cas"
DELETE_TREE: Final = "delete-tree"
CAS: Final = "cas"
LOCK: Final = "lock"
UNLOCK: Final = "unlock"
#: Verbs of transactions only.
GET: Final = "get"
#: As `get`, but an empty entry for a key that does not exist (Consul 1.14). Servers of 1.8.7 do not know it: in the log
#: it is a `get-tree` with this text as its session, which they do not look at.
GET_OR_EMPTY: Final = "get-or-empty"
GET_TREE: Final = "get-tree"
CHECK_SESSION: Final = "check-session"
CHECK_INDEX: Final = "check-index"
CHECK_NOT_EXISTS: Final = "check-not-exists"

#: Maximum bytes of a value (`limits.kv_max_value_size`).
VALUE_MAX_BYTES: Final = 512 * 1024


@dataclass(slots=True)
class DirEntry(Record):
    """An entry. `lock_index`: number of acquisitions; `session`: the current lock holder; an empty value is None."""

    lock_index: int = 0
    key: str = ""
    flags: int = 0
    value: bytes | None = None
    session: str = go(omit_empty=True, default="")
    create_index: int = 0
    modify_index: int = 0


@dataclass(slots=True)
class KVRequest(Write):
    """KVS.Apply and its log entry. `dir_ent.modify_index`: the index expected by a check-and-set."""

    op: str = ""
    dir_ent: DirEntry = field(default_factory=DirEntry)


@dataclass(slots=True)
class KeyRequest(Read):
    """KVS.Get (a key) and KVS.List (a prefix)."""

    key: str = ""


@dataclass(slots=True)
class KeyListRequest(Read):
    """KVS.ListKeys; the separator's spelling is Consul's."""

    prefix: str = ""
    seperator: str = ""


@dataclass(slots=True)
class EntriesReply(Reply):
    """KVS.Get (at most one) and KVS.List."""

    entries: list[DirEntry] | None = None


@dataclass(slots=True)
class KeysReply(Reply):
    """KVS.ListKeys."""

    keys: list[str] | None = None


@dataclass(slots=True)
class TombstoneRequest(Write):
    """The log entry that removes tombstones up to an index."""

    op: str = "reap"
    reap_index: int = 0
