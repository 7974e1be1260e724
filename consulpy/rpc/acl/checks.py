"""Which right a call wants before it is answered: `check(authorizer, server, request)` raises `Denied`.

Source: docs/wire/acl.md section 6; the order of checks is that of 1.8.7.
"""

from typing import TYPE_CHECKING, Any, Final

from consulpy.acl.authorizer import Authorizer
from consulpy.acl.levels import LIST, READ, WRITE, Level
from consulpy.connect.discovery_chain.links import linked_services
from consulpy.errors import RPCError
from consulpy.rpc.acl.denied import Denied, require
from consulpy.rpc.acl.filters import may_read_config, query_prefix
from consulpy.structs import kv as verbs
from consulpy.structs.config_entry import SERVICE_INTENTIONS
from consulpy.structs.config_entry_requests import (
    EntryQuery,
    EntryRequest,
    ServiceConfigRequest,
)
from consulpy.structs.discovery_chain import ChainRequest
from consulpy.structs.intention import IntentionQuery, IntentionRequest, IntentionsReply
from consulpy.structs.keyring import LIST_KEYS, KeyringRequest
from consulpy.structs.kv import KeyListRequest, KeyRequest, KVRequest
from consulpy.structs.prepared_query import QueryRequest
from consulpy.structs.requests import (
    CoordinateUpdateRequest,
    EventFireRequest,
    NodeRequest,
    ServiceRequest,
)
from consulpy.structs.session import CREATE, DESTROY, SessionReadRequest, SessionRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from consulpy.rpc.server import Server

#: Kinds of config entries that belong to a service; all others belong to the operator.
_SERVICE_KINDS: Final = frozenset({"service-defaults", "service-resolver", "service-router", "service-splitter"})
_READING: Final = frozenset({verbs.GET, verbs.GET_OR_EMPTY, verbs.GET_TREE})
_LOOKING: Final = frozenset({verbs.CHECK_SESSION, verbs.CHECK_INDEX})


def scalar(kind: str, level: Level) -> "Callable[[Authorizer, Server, Any], None]":
    """A check of `acl`, `operator` or `keyring`."""

    def check(authorizer: Authorizer, _server: "Server", _request: Any) -> None:
        require(authorizer, kind, "", level)

    return check


def key_read(authorizer: Authorizer, _server: "Server", request: KeyRequest) -> None:
    """KVS.Get."""
    require(authorizer, "key", request.key, READ)


def key_list(authorizer: Authorizer, server: "Server", request: KeyRequest | KeyListRequest) -> None:
    """KVS.List and KVS.ListKeys: only where listing is a right of its own."""
    if server.guard.lists_keys_by_right:
        prefix = request.prefix if isinstance(request, KeyListRequest) else request.key
        require(authorizer, "key", prefix, LIST)


def key_write(authorizer: Authorizer, _server: "Server", request: KVRequest) -> None:
    """KVS.Apply."""
    if not request.dir_ent.key and request.op != verbs.DELETE_TREE:
        return  # refused for that
    key_change(authorizer, request.op, request.dir_ent.key)


def key_change(authorizer: Authorizer, verb: str, key: str) -> None:
    """One operation on a key or, for deleting a tree, on all below it."""
    if verb == verbs.DELETE_TREE:
        if not authorizer.may_write_keys_below(key):
            raise Denied("key", key, WRITE)
    elif verb in _LOOKING:
        require(authorizer, "key", key, READ)
    elif verb not in _READING:
        require(authorizer, "key", key, WRITE)


def event(authorizer: Authorizer, _server: "Server", request: EventFireRequest) -> None:
    """Internal.EventFire."""
    require(authorizer, "event", request.name, WRITE)


class _KeyringDenied(Denied):
    """The refusal of a key operation; real servers send it as an ordinary error, with a text of its own."""

    http_status = 500


def keyring(authorizer: Authorizer, _server: "Server", request: KeyringRequest) -> None:
    """Internal.KeyringOperation."""
    if request.operation == LIST_KEYS:
        level, text = READ, "Reading keyring denied by ACLs"
    else:
        level, text = WRITE, "Modifying keyring denied due to ACLs"
    if not authorizer.allows("keyring", "", level):
        raise _KeyringDenied("keyring", "", level, text)


def node_read(authorizer: Authorizer, _server: "Server", request: NodeRequest) -> None:
    """Coordinate.Node."""
    require(authorizer, "node", request.node, READ)


def coordinate(authorizer: Authorizer, _server: "Server", request: CoordinateUpdateRequest) -> None:
    """Coordinate.Update."""
    require(authorizer, "node", request.node, WRITE)


def gateway(authorizer: Authorizer, _server: "Server", request: ServiceRequest) -> None:
    """Catalog.GatewayServices, Internal.GatewayServiceDump."""
    require(authorizer, "service", request.service_name, READ)


def session_change(authorizer: Authorizer, server: "Server", request: SessionRequest) -> None:
    """Session.Apply: by the node of the session."""
    node = request.session.node
    if request.op == DESTROY:
        if not request.session.id:
            return  # refused for that
        try:
            existing = server.store.sessions.find(request.session.id)
        except RPCError as error:
            raise RPCError(f"Session lookup failed: {error}") from None
        if existing is None:
            return
        node = existing.node
    elif request.op == CREATE and not node:
        return  # refused for that
    require(authorizer, "session", node, WRITE)


def session_renewal(authorizer: Authorizer, server: "Server", request: SessionReadRequest) -> None:
    """Session.Renew."""
    existing = server.store.sessions.find(request.wanted)
    if existing is not None:
        require(authorizer, "session", existing.node, WRITE)


def query_change(authorizer: Authorizer, server: "Server", request: QueryRequest) -> None:
    """PreparedQuery.Apply: the name that it is given, and the one that it has."""
    if request.query is None:
        return
    existing = server.store.queries.table.get(request.query.id.lower()) if request.query.id else None
    for query in (request.query, existing):
        prefix = query_prefix(query) if query is not None else None
        if prefix is not None:
            require(authorizer, "query", prefix, WRITE)


def intention_change(authorizer: Authorizer, server: "Server", request: IntentionRequest) -> None:
    """Intention.Apply: the destination that it is given (a delete without an id names it), and the one that it has."""
    if request.intention is None:
        return
    existing = None
    if request.intention.id and request.op != CREATE:
        existing = server.store.intentions.table.get(request.intention.id)
    if request.op != "delete" and not request.intention.destination_name:
        raise Denied("intention", "", WRITE)
    if request.op != "delete" or (not request.intention.id and request.intention.destination_name):
        require(authorizer, "intention", request.intention.destination_name, WRITE)
    if existing is not None:
        require(authorizer, "intention", existing.destination_name, WRITE)


def intention_match(authorizer: Authorizer, _server: "Server", request: IntentionQuery) -> None:
    """Intention.Match."""
    for entry in (request.match.entries if request.match is not None else None) or ():
        if entry.name:
            require(authorizer, "intention", entry.name, READ)


def intention_check(authorizer: Authorizer, _server: "Server", request: IntentionQuery) -> None:
    """Intention.Check."""
    if request.check is not None and request.check.destination_name:
        require(authorizer, "service", request.check.destination_name, READ)


def config_read(authorizer: Authorizer, _server: "Server", request: EntryQuery) -> None:
    """ConfigEntry.Get."""
    if not may_read_config(authorizer, request.kind, request.name):
        raise Denied("service", request.name, READ)


def config_write(authorizer: Authorizer, _server: "Server", request: EntryRequest) -> None:
    """ConfigEntry.Apply and ConfigEntry.Delete."""
    kind = request.leading_kind or request.entry.kind
    if kind == SERVICE_INTENTIONS:
        require(authorizer, "intention", request.entry.name, WRITE)
    elif kind in _SERVICE_KINDS:
        require(authorizer, "service", request.entry.name, WRITE)
        for other in linked_services(request.entry):  # to which it sends requests
            require(authorizer, "service", other, READ)
    else:
        require(authorizer, "operator", "", WRITE)


def service_config(authorizer: Authorizer, _server: "Server", request: ServiceConfigRequest) -> None:
    """ConfigEntry.ResolveServiceConfig."""
    require(authorizer, "service", request.name, READ)


def discovery_chain(authorizer: Authorizer, server: "Server", request: ChainRequest) -> None:
    """DiscoveryChain.Get; where Connect is off it returns that error to every client."""
    if server.authority is not None:
        require(authorizer, "service", request.name, READ)


def intention_seen(authorizer: Authorizer, _server: "Server", _request: IntentionQuery, reply: IntentionsReply) -> Any:
    """Intention.Get: readable from either side."""
    for row in reply.intentions or ():
        names = (row.source_name, row.destination_name)
        if not any(authorizer.allows("intention", name, READ) for name in names):
            raise Denied("intention", row.destination_name, READ)
    return reply
