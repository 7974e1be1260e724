"""Filters of replies by the reader's rights, one for each type of reply.

Rows are shared with the store and with other readers: a filter makes new lists and changes no row. What may be seen as
a whole is passed on as it is. Source: docs/wire/acl.md sections 6 and 7.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

from consulpy.acl.authorizer import Authorizer
from consulpy.acl.levels import READ, WRITE
from consulpy.structs import requests
from consulpy.structs.acl import HIDDEN
from consulpy.structs.config_entry import SERVICE_INTENTIONS
from consulpy.structs.config_entry_requests import AllEntriesReply
from consulpy.structs.config_entry_requests import EntriesReply as ConfigEntriesReply
from consulpy.structs.gateway import GatewayServicesReply, ServiceDumpReply
from consulpy.structs.intention import IntentionsReply
from consulpy.structs.kv import EntriesReply, KeysReply
from consulpy.structs.newer_config_entry import NEWER_KINDS
from consulpy.structs.operator import MeshGatewaysReply
from consulpy.structs.prepared_query import PreparedQuery, QueriesReply, QueryExecuteReply
from consulpy.structs.service import CheckServiceNode, NodeServiceList, NodeServices
from consulpy.structs.session import SessionsReply
from consulpy.structs.txn import TxnReadReply, TxnReply

_Row = TypeVar("_Row")
_Reply = TypeVar("_Reply")
#: `filter(rights, reply)`: the reply with what may be seen.
_Filter = Callable[["_Rights", Any], Any]

#: Kinds of config entries that every token may read.
_OPEN_KINDS: Final = frozenset({"proxy-defaults"})


class _Rights:
    """One authorizer's view of a reply, and whether anything was removed (`has_removed`)."""

    def __init__(self, authorizer: Authorizer) -> None:
        self.authorizer = authorizer
        self.has_removed = False
        self.sees_nodes = authorizer.may_read_all("node")
        self.sees_services = authorizer.may_read_all("service")

    @property
    def sees_all(self) -> bool:
        return self.sees_nodes and self.sees_services

    def node(self, name: str) -> bool:
        return self.sees_nodes or self.authorizer.allows("node", name, READ)

    def service(self, name: str) -> bool:
        """Checks of nodes have no service."""
        return not name or self.sees_services or self.authorizer.allows("service", name, READ)

    def kept(self, rows: list[_Row] | None, may_see: Callable[[_Row], bool]) -> list[_Row] | None:
        """The rows that may be seen."""
        if rows is None:
            return None
        found = [row for row in rows if may_see(row)]
        self.has_removed |= len(found) != len(rows)
        return found

    def kept_values(self, rows: dict[str, _Row], may_see: Callable[[str, _Row], bool]) -> dict[str, _Row]:
        """The items that may be seen."""
        found = {key: row for key, row in rows.items() if may_see(key, row)}
        self.has_removed |= len(found) != len(rows)
        return found


def filter_reply(authorizer: Authorizer, reply: _Reply) -> _Reply:
    """The reply with what may be seen; its metadata says whether something was removed (Consul 1.11).

    AssertionError for a type that has no filter: see `has_filter`.
    """
    found = _FILTERS.get(type(reply))
    assert found is not None, f"no filter for {type(reply).__name__}"
    rights = _Rights(authorizer)
    filtered: Any = found(rights, reply)
    if rights.has_removed and hasattr(filtered, "meta"):
        filtered.meta = dataclasses.replace(filtered.meta, results_filtered_by_acls=True)
    return cast(_Reply, filtered)


def has_filter(kind: type[Any]) -> bool:
    """Whether replies of this type can be filtered."""
    return kind in _FILTERS


def _rows(field: str, may_see: Callable[[_Rights, Any], bool]) -> _Filter:
    """A filter of the rows in one field by node and service."""

    def apply(rights: _Rights, reply: Any) -> Any:
        if rights.sees_all:
            return reply
        rows = rights.kept(getattr(reply, field), lambda row: may_see(rights, row))
        return dataclasses.replace(reply, **{field: rows})

    return apply


def _services(rights: _Rights, reply: requests.ServicesReply) -> requests.ServicesReply:
    if rights.sees_services or reply.services is None:
        return reply
    services = rights.kept_values(reply.services, lambda name, _: rights.service(name))
    return dataclasses.replace(reply, services=services)


def _node_services(rights: _Rights, reply: requests.NodeServicesReply) -> requests.NodeServicesReply:
    found = reply.node_services
    if rights.sees_all or found is None or found.node is None:
        return reply
    if not rights.node(found.node.node):
        rights.has_removed = True
        return dataclasses.replace(reply, node_services=None)
    services = rights.kept_values(found.services or {}, lambda _, each: rights.service(each.service))
    return dataclasses.replace(reply, node_services=NodeServices(node=found.node, services=services))


def _node_service_list(rights: _Rights, reply: requests.NodeServiceListReply) -> requests.NodeServiceListReply:
    found = reply.node_services
    if rights.sees_all or found.node is None:
        return reply
    if not rights.node(found.node.node):
        rights.has_removed = True
        return dataclasses.replace(reply, node_services=NodeServiceList())
    services = rights.kept(found.services, lambda each: rights.service(each.service))
    return dataclasses.replace(reply, node_services=NodeServiceList(node=found.node, services=services))


def _node_dump(rights: _Rights, reply: requests.NodeDumpReply) -> requests.NodeDumpReply:
    if rights.sees_all:
        return reply
    dump = [
        dataclasses.replace(
            row,
            services=rights.kept(row.services, lambda each: rights.service(each.service)),
            checks=rights.kept(row.checks, lambda check: rights.service(check.service_name)),
        )
        for row in rights.kept(reply.dump, lambda row: rights.node(row.node)) or ()
    ]
    return dataclasses.replace(reply, dump=dump)


def _sees_instance(rights: _Rights, row: CheckServiceNode) -> bool:
    if row.node is None or row.service is None:
        return False
    return rights.node(row.node.node) and rights.service(row.service.service)


def _service_dump(rights: _Rights, reply: ServiceDumpReply) -> ServiceDumpReply:
    """Services behind gateways, with the instance where there is one."""
    if rights.sees_all:
        return reply

    def sees(row: Any) -> bool:
        behind = row.gateway_service
        if behind is not None and not (rights.service(behind.gateway.name) and rights.service(behind.service.name)):
            return False
        if row.node is not None and not rights.node(row.node.node):
            return False
        return row.service is None or rights.service(row.service.service)

    return dataclasses.replace(reply, dump=rights.kept(reply.dump, sees))


def _gateway_services(rights: _Rights, reply: GatewayServicesReply) -> GatewayServicesReply:
    """Services behind a gateway: an empty list, and not none, if there is nothing to see."""
    rows = rights.kept(reply.services, lambda row: rights.service(row.service.name))
    return dataclasses.replace(reply, services=rows or [])


def _mesh_gateways(rights: _Rights, reply: MeshGatewaysReply) -> MeshGatewaysReply:
    if rights.sees_all or reply.datacenter_nodes is None:
        return reply
    nodes = {
        name: rights.kept(rows, lambda row: _sees_instance(rights, row)) or []
        for name, rows in reply.datacenter_nodes.items()
    }
    return dataclasses.replace(reply, datacenter_nodes=nodes)


def _entries(rights: _Rights, reply: EntriesReply) -> EntriesReply:
    if rights.authorizer.may_read_all("key"):
        return reply
    entries = rights.kept(reply.entries, lambda entry: rights.authorizer.allows("key", entry.key, READ))
    return dataclasses.replace(reply, entries=entries or None)


def _keys(rights: _Rights, reply: KeysReply) -> KeysReply:
    if rights.authorizer.may_read_all("key"):
        return reply
    keys = rights.kept(reply.keys, lambda key: rights.authorizer.allows("key", key, READ))
    return dataclasses.replace(reply, keys=keys or None)


def _sessions(rights: _Rights, reply: SessionsReply) -> SessionsReply:
    if rights.authorizer.may_read_all("session"):
        return reply
    sessions = rights.kept(reply.sessions, lambda row: rights.authorizer.allows("session", row.node, READ))
    return dataclasses.replace(reply, sessions=sessions)


def _intentions(rights: _Rights, reply: IntentionsReply) -> IntentionsReply:
    def sees(row: Any) -> bool:
        return any(
            rights.authorizer.allows("intention", name, READ) for name in (row.source_name, row.destination_name)
        )

    return dataclasses.replace(reply, intentions=rights.kept(reply.intentions, sees))


def _config_entries(field: str) -> _Filter:
    def apply(rights: _Rights, reply: Any) -> Any:
        rows = rights.kept(getattr(reply, field), lambda row: may_read_config(rights.authorizer, row.kind, row.name))
        return dataclasses.replace(reply, **{field: rows})

    return apply


def may_read_config(authorizer: Authorizer, kind: str, name: str) -> bool:
    """Whether a config entry may be seen. Those of newer kinds: with operator's right, as the mesh's."""
    if kind == SERVICE_INTENTIONS:
        return authorizer.allows("intention", name, READ)
    if kind in NEWER_KINDS:
        return authorizer.allows("operator", "", READ)
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

    return None if queries is None else [redacted(authorizer, query) for query in queries if sees(query)]


def _queries(rights: _Rights, reply: QueriesReply) -> QueriesReply:
    queries = visible_queries(rights.authorizer, reply.queries)
    # Those without a name are visible to management only: they do not count as removed.
    named = [sum(query_prefix(query) is not None for query in rows or ()) for rows in (reply.queries, queries)]
    rights.has_removed |= named[0] != named[1]
    return dataclasses.replace(reply, queries=queries)


def _txn_results(rights: _Rights, reply: Any) -> Any:
    return dataclasses.replace(reply, results=rights.kept(reply.results, lambda row: _sees_result(rights, row)))


def _sees_result(rights: _Rights, row: Any) -> bool:
    if row.kv is not None:
        return rights.authorizer.allows("key", row.kv.key, READ)
    if row.node is not None:
        return rights.node(row.node.node)
    if row.service is not None:
        return rights.service(row.service.service)
    if row.check is not None:
        return rights.service(row.check.service_name) if row.check.service_name else rights.node(row.check.node)
    return True


_FILTERS: Final[dict[type[Any], _Filter]] = {
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
    GatewayServicesReply: _gateway_services,
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
