"""The RPC methods, one file for each of Consul's nouns. Importing this package registers them all."""

from consulpy.rpc.endpoints import (
    catalog,
    config_entry,
    connect,
    coordinate,
    health,
    intention,
    internal,
    kvs,
    operator,
    query,
    session,
    status,
    txn,
)

__all__ = [
    "catalog",
    "config_entry",
    "connect",
    "coordinate",
    "health",
    "intention",
    "internal",
    "kvs",
    "operator",
    "query",
    "session",
    "status",
    "txn",
]
