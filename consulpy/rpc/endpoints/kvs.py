"""KVS.*: the key/value store (docs/wire/rpc.md 10)."""

from typing import TYPE_CHECKING, Any

from consulpy.errors import RPCError
from consulpy.rpc.methods import read, write
from consulpy.state.commands import KVS
from consulpy.state.watch import WatchSet
from consulpy.structs.kv import (
    DELETE_TREE,
    LOCK,
    DirEntry,
    EntriesReply,
    KeyListRequest,
    KeyRequest,
    KeysReply,
    KVRequest,
)

if TYPE_CHECKING:
    from consulpy.rpc.server import Server


def may_apply(server: "Server", verb: str, entry: DirEntry) -> bool:
    """Whether a change may be submitted; False for a lock in its lock delay. Raises `RPCError`."""
    if not entry.key and verb != DELETE_TREE:
        raise RPCError("Must provide key")
    return not (verb == LOCK and server.sessions is not None and server.sessions.has_lock_delay(entry.key))


@write("KVS.Apply", KVRequest, bool)
def apply(server: "Server", request: KVRequest) -> Any:
    """Change a key. The reply is meaningful for cas, delete-cas, lock and unlock only."""
    if not may_apply(server, request.op, request.dir_ent):
        return False
    return server.submit(KVS(request))


@read("KVS.Get", KeyRequest, EntriesReply)
def get(server: "Server", request: KeyRequest, watch: WatchSet | None) -> EntriesReply:
    """One key, as a list of at most one."""
    index, entry = server.store.kv.get(watch, request.key)
    reply = EntriesReply(entries=[entry] if entry is not None else None)
    reply.meta.index = index
    return reply


@read("KVS.List", KeyRequest, EntriesReply)
def list_entries(server: "Server", request: KeyRequest, watch: WatchSet | None) -> EntriesReply:
    """All entries under a prefix."""
    index, entries = server.store.kv.with_prefix(watch, request.key)
    reply = EntriesReply(entries=entries or None)
    reply.meta.index = index
    return reply


@read("KVS.ListKeys", KeyListRequest, KeysReply)
def list_keys(server: "Server", request: KeyListRequest, watch: WatchSet | None) -> KeysReply:
    """The keys under a prefix, up to a separator if one is given."""
    index, keys = server.store.kv.keys(watch, request.prefix, request.seperator)
    reply = KeysReply(keys=keys or None)
    reply.meta.index = index
    return reply
