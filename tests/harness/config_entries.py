"""Config entries written as by a single server, without a network."""

import json
from typing import Any

from consulpy.connect.config_entries.normalize import normalized
from consulpy.connect.config_entries.validate import validate
from consulpy.connect.discovery_chain.compiler import compile_chain
from consulpy.connect.discovery_chain.request import ChainQuery
from consulpy.errors import RPCError
from consulpy.gocompat.json_decode import GoError, loads
from consulpy.http.api.config_entry_body import entry_of
from consulpy.state.commands import ConfigEntry
from consulpy.state.store import Store
from consulpy.structs.config_entry import KINDS
from consulpy.structs.config_entry_requests import EntryRequest


def put(store: Store, body: Any) -> str:
    """Write an entry as a leader does; the error, or ""."""
    try:
        entry = entry_of(loads(json.dumps(body).encode()))
        entry = normalized(entry, entry.kind)
        validate(entry)
        ConfigEntry(EntryRequest("dc1", "", "upsert", entry, entry.kind)).apply(store, store.index + 1)
    except (GoError, RPCError) as error:
        return str(error)
    return ""


def delete(store: Store, kind: str, name: str) -> str:
    """Delete an entry; the error, or ""."""
    try:
        request = EntryRequest("dc1", "", "delete", KINDS[kind](name=name), kind)
        ConfigEntry(request).apply(store, store.index + 1)
    except RPCError as error:
        return str(error)
    return ""


def chain(store: Store, name: str, trust_domain: str, datacenter: str = "dc1", **overrides: Any) -> Any:
    """The chain of a service as JSON, or the text of the error."""
    query = ChainQuery(name, datacenter, "dc1", trust_domain, **overrides)
    try:
        return json.loads(json.dumps(compile_chain(query, store.config_entries.find).to_json()))
    except RPCError as error:
        return str(error)
