"""What a reply loses that its reader may not see, by the type of the reply.

Rows are shared with the store and with other readers: a filter makes new lists and changes no row. What may be seen as
a whole is passed on as it is. Source: docs/wire/acl.md sections 6 and 7.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Final, TypeVar

from consulpy.acl.authorizer import Authorizer
from consulpy.acl.levels import READ, WRITE
from consulpy.structs import requests
from consulpy.structs.acl import HIDDEN
from consulpy.structs.config_entry_requests import AllEntriesReply
from consulpy.structs.config_entry_requests import EntriesReply as ConfigEntriesReply
from consulpy.structs.gateway import GatewayServicesReply, ServiceDumpReply
from consulpy.structs.intention import IntentionsReply
from consulpy.structs.kv import EntriesReply, KeysReply
from consulpy.structs.operator import MeshGatewaysReply
from consulpy.structs.prepared_query import PreparedQuery, QueriesReply, QueryExecuteReply
from consulpy.structs.service import CheckServiceNode, NodeServiceList, NodeServices
from consulpy.structs.session import SessionsReply
from consulpy.structs.txn import TxnReadReply, TxnReply

_Row = TypeVar("_Row")
_Reply = TypeVar("_Reply")

#: Kinds of config entries that everybody may read.
_OPEN_KINDS: Final = frozenset({"proxy-defaults"})


class _Rights:
    """What one authorizer lets be seen of the catalog."""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer
        self.sees_nodes = authorizer.may_read_all("node")
        self.sees_services = authorizer.may_read_all("service")

    @property
    def sees_all(self) -> bool:
        return self.sees_nodes and self.sees_services

    def node(self, name: str) -> bool:
        return self.sees_nodes or self._authorizer.allows("node", name, READ)

    def service(self, name: str) -> bool:
        """Checks of nodes have no service."""
        return not name or self.sees_services or self._authorizer.allows("service", name, READ)


def filter_reply(authorizer: Authorizer, reply: _Reply) -> _Reply:
    """The reply with what may be seen. AssertionError for a type that has no filter: see `has_filter`."""
    found = _FILTERS.get(type(reply))
    assert found is not None, f"no filter for {type(reply).__name__}"
    filtered: _Reply = found(authorizer, reply)
    return filtered


def has_filter(kind: type[Any]) -> bool:
    """Whether replies of this type can be filtered."""
    return kind in _FILTERS


def _kept(rows: list[_Row] | None, may_see: Callable[[_Row], bool]) -> list[_Row] | None:
    return None if rows is None else [row for row in rows if may_see(row)]


def _rows(field: str, may_see: Callable[[_Rights, Any], bool]) -> Callable[[Authorizer, Any], Any]:
    """A filter of the rows in one field by node and service."""

    def apply(authorizer: Authorizer, reply: Any) -> Any:
        rights = _Rights(authorizer)
        if rights.sees_all:
            return reply
        rows = _kept(getattr(reply, field), lambda row: may_see(rights, row))
        return dataclasses.replace(reply, **{field: rows})

    return apply


def _services(authorizer: Authorizer, reply: requests.ServicesReply) -> requests.ServicesReply:
    rights = _Rights(authorizer)
    if rights.sees_services or reply.services is None:
        return reply
    services = {name: tags for name, tags in reply.services.items() if rights.service(name)}
    return dataclasses.replace(reply, services=services)


def _node_services(authorizer: Authorizer, reply: requests.NodeServicesReply) -> requests.NodeServicesReply:
    rights, found = _Rights(authorizer), reply.node_services
    if rights.sees_all or found is None or found.node is None:
        return reply
    if not rights.node(found.node.node):
        return dataclasses.replace(reply, node_services=None)
    services = {key: each for key, each in (found.services or {}).items() if rights.service(each.service)}
    return dataclasses.replace(reply, node_services=NodeServices(node=found.node, services=services))


def _node_service_list(authorizer: Authorizer, reply: requests.NodeServiceListReply) -> requests.NodeServiceListReply:
    rights, found = _Rights(authorizer), reply.node_services
    if rights.sees_all or found.node is None:
        return reply
    if not rights.node(found.node.node):
        return dataclasses.replace(reply, node_services=NodeServiceList())
    services = _kept(found.services, lambda each: rights.service(each.service))
    return dataclasses.replace(reply, node_services=NodeServiceList(node=found.node, services=services))


def _node_dump(authorizer: Authorizer, reply: requests.NodeDumpReply) -> requests.NodeDumpReply:
    rights = _Rights(authorizer)
    if rights.sees_all:
        return reply
    dump = [
        dataclasses.replace(
            row,
            services=_kept(row.services, lambda each: rights.service(each.service)),
            checks=_kept(row.checks, lambda check: rights.service(check.service_name)),
        )
        for row in reply.dump or ()
        if rights.node(row.node)
    ]
    return dataclasses.replace(reply, dump=dump)


def _sees_instance(rights: _Rights, row: CheckServiceNode) -> bool:
    if row.node is None or row.service is None:
        return False
    return rights.node(row.node.node) and rights.service(row.service.service)


def _service_dump(authorizer: Authorizer, reply: ServiceDumpReply) -> ServiceDumpReply:
    """Services behind gateways, with the instance where there is one."""
    rights = _Rights(authorizer)
    if rights.sees_all:
        return reply

    def sees(row: Any) -> bool:
        behind = row.gateway_service
        if behind is not None and not (rights.service(behind.gateway.name) and rights.service(behind.service.name)):
            return False
        if row.node is not None and not rights.node(row.node.node):
            return False
        return row.service is None or rights.service(row.service.service)

    return dataclasses.replace(reply, dump=_kept(reply.dump, sees))


def _mesh_gateways(authorizer: Authorizer, reply: MeshGatewaysReply) -> MeshGatewaysReply:
    rights = _Rights(authorizer)
    if rights.sees_all or reply.datacenter_nodes is None:
        return reply
    nodes = {
        name: [row for row in rows if _sees_instance(rights, row)] for name, rows in reply.datacenter_nodes.items()
    }
    return dataclasses.replace(reply, datacenter_nodes=nodes)


def _entries(authorizer: Authorizer, reply: EntriesReply) -> EntriesReply:
    if authorizer.may_read_all("key"):
        return reply
    entries = _kept(reply.entries, lambda entry: authorizer.allows("key", entry.key, READ))
    return dataclasses.replace(reply, entries=entries or None)


def _keys(authorizer: Authorizer, reply: KeysReply) -> KeysReply:
    if authorizer.may_read_all("key"):
        return reply
    keys = _kept(reply.keys, lambda key: authorizer.allows("key", key, READ))
    return dataclasses.replace(reply, keys=keys or None)


def _sessions(authorizer: Authorizer, reply: SessionsReply) -> SessionsReply:
    if authorizer.may_read_all("session"):
        return reply
    sessions = _kept(reply.sessions, lambda row: authorizer.allows("session", row.node, READ))
    return dataclasses.replace(reply, sessions=sessions)


def _intentions(authorizer: Authorizer, reply: IntentionsReply) -> IntentionsReply:
    def sees(row: Any) -> bool:
        return any(authorizer.allows("intention", name, READ) for name in (row.source_name, row.destination_name))

    return dataclasses.replace(reply, intentions=_kept(reply.intentions, sees))


def _config_entries(field: str) -> Callable[[Authorizer, Any], Any]:
    def apply(authorizer: Authorizer, reply: Any) -> Any:
        rows = _kept(getattr(reply, field), lambda row: may_read_config(authorizer, row.kind, row.name))
        return dataclasses.replace(reply, **{field: rows})

    return apply


def may_read_config(authorizer: Authorizer, kind: str, name: str) -> bool:
    """Whether a config entry may be seen."""
    return kind in _OPEN_KINDS or authorizer.allows("service", name, READ)


def query_prefix(query: PreparedQuery) -> str | None:
    """By which name a prepared query is protected; None: by nothing but its id."""
    return query.name if query.name or query.template.type else None


def redacted(authorizer: Authorizer, query: PreparedQuery) -> PreparedQuery:
    """The query without its token, unless everything may be seen."""
    if not query.token or authorizer.allows("acl", "", WRITE):
        return query
    return dataclasses.replace(query, token=HIDDEN)


def visible_queries(authorizer: Authorizer, queries: list[PreparedQuery] | None) -> list[PreparedQuery] | None:
    """The queries that may be listed. Those without a name are for management."""
    if authorizer.allows("acl", "", WRITE):
        return queries

    def sees(query: PreparedQuery) -> bool:
        prefix = query_prefix(query)
        return prefix is not None and authorizer.allows("query", prefix, READ)

    found = _kept(queries, sees)
    return None if found is None else [redacted(authorizer, query) for query in found]


def _queries(authorizer: Authorizer, reply: QueriesReply) -> QueriesReply:
    return dataclasses.replace(reply, queries=visible_queries(authorizer, reply.queries))


def _txn_results(authorizer: Authorizer, reply: Any) -> Any:
    rights = _Rights(authorizer)
    return dataclasses.replace(reply, results=_kept(reply.results, lambda row: _sees_result(authorizer, rights, row)))


def _sees_result(authorizer: Authorizer, rights: _Rights, row: Any) -> bool:
    if row.kv is not None:
        return authorizer.allows("key", row.kv.key, READ)
    if row.node is not None:
        return rights.node(row.node.node)
    if row.service is not None:
        return rights.service(row.service.service)
    if row.check is not None:
        return rights.service(row.check.service_name) if row.check.service_name else rights.node(row.check.node)
    return True


_FILTERS: Final[dict[type[Any], Callable[[Authorizer, Any], Any]]] = {
    requests.NodesReply: _rows("nodes", lambda rights, row: rights.node(row.node)),
    requests.ServicesReply: _services,
    requests.ServiceNodesReply: _rows(
        "service_nodes", lambda rights, row: rights.node(row.node) and rights.service(row.service_name)
    ),
    requests.NodeServicesReply: _node_services,
    requests.NodeServiceListReply: _node_service_list,
    requests.HealthChecksReply: _rows(
        "health_checks", lambda rights, row: rights.node(row.node) and rights.service(row.service_name)
    ),
    requests.CheckServiceNodesReply: _rows("nodes", _sees_instance),
    requests.NodeDumpReply: _node_dump,
    requests.CoordinatesReply: _rows("coordinates", lambda rights, row: rights.node(row.node)),
    ServiceDumpReply: _service_dump,
    GatewayServicesReply: _rows("services", lambda rights, row: rights.service(row.service.name)),
    MeshGatewaysReply: _mesh_gateways,
    EntriesReply: _entries,
    KeysReply: _keys,
    SessionsReply: _sessions,
    IntentionsReply: _intentions,
    QueriesReply: _queries,
    QueryExecuteReply: _rows("nodes", _sees_instance),
    ConfigEntriesReply: _config_entries("entries"),
    AllEntriesReply: _config_entries("entries"),
    TxnReply: _txn_results,
    TxnReadReply: _txn_results,
}
