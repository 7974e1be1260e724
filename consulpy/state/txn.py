"""Transactions: all operations are tried, so that all errors are reported; one error undoes all of them.

Error texts are Consul's, recorded from real agents where tests/conformance has them.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Final

from consulpy.errors import ConsulpyError, RPCError
from consulpy.gocompat.literals import quoted
from consulpy.state import registration
from consulpy.state.read_only import ReadOnlyChange
from consulpy.state.session import SESSIONS
from consulpy.state.store import Change, Store
from consulpy.state.uuid_index import uuid_fault
from consulpy.structs import kv as verbs
from consulpy.structs.intention import IntentionRequest
from consulpy.structs.kv import DirEntry
from consulpy.structs.node import Node
from consulpy.structs.requests import RegisterRequest
from consulpy.structs.service import NodeService
from consulpy.structs.txn import CheckOp, KVOp, NodeOp, ServiceOp, SessionOp, TxnError, TxnOp, TxnReply, TxnResult


class _RolledBack(ConsulpyError):
    """An operation failed: the change is rolled back."""


def run(store: Store, index: int, operations: list[TxnOp]) -> TxnReply:
    """Apply all operations at `index`, or none."""
    reply = TxnReply()
    try:
        with store.change(index) as change:
            reply = apply_operations(change, operations)
            if reply.errors:
                raise _RolledBack
    except _RolledBack:
        pass
    return reply


def read(store: Store, operations: list[TxnOp]) -> TxnReply:
    """Execute operations that change nothing; one that would is an error."""
    return apply_operations(ReadOnlyChange(store, store.index), operations)


def apply_operations(change: Change, operations: list[TxnOp]) -> TxnReply:
    """Try each operation in order: the results of all, or the errors of those that failed."""
    results: list[TxnResult] = []
    errors: list[TxnError] = []
    for position, operation in enumerate(operations):
        try:
            results += _one(change, operation)
        except RPCError as error:
            errors.append(TxnError(position, str(error)))
    return TxnReply(errors=errors) if errors else TxnReply(results=results)


def _one(change: Change, operation: TxnOp) -> list[TxnResult]:
    if operation.kv is not None:
        return _on_key(change, operation.kv)
    if operation.intention is not None:
        change_intention(change, operation.intention)
        return []
    if operation.node is not None:
        return _on_node(change, operation.node)
    if operation.service is not None:
        return _on_service(change, operation.service)
    if operation.check is not None:
        return _on_check(change, operation.check)
    if operation.session is not None:
        _on_session(change, operation.session)
        return []
    raise RPCError("no operation specified")


def _on_session(change: Change, operation: SessionOp) -> None:
    """Remove a session, and nothing but its row: what it holds stays locked, as on real servers."""
    failed = "failed to delete session: "
    if operation.verb != verbs.DELETE:
        raise RPCError(f"{failed}unknown Session verb {quoted(operation.verb)}")
    session_id = operation.session.id
    fault = uuid_fault(session_id)
    if not session_id:
        raise RPCError(f"{failed}failed deleting session: object missing primary index")
    if fault:
        raise RPCError(f"{failed}failed deleting session: failed to build primary index: {fault}")
    if change.store.sessions.table.get(session_id.lower()) is None:
        raise RPCError(f"{failed}failed deleting session: not found")
    try:
        change.remove(change.store.sessions.table, (session_id.lower(),))
    except RPCError as error:
        raise RPCError(f"{failed}{error}") from None
    change.bump(SESSIONS)


def change_intention(change: Change, request: IntentionRequest) -> None:
    """Create, update or delete an intention. Raises `RPCError`, also for another operation."""
    if request.intention is None:
        raise RPCError(f"Invalid Intention operation '{request.op}'")
    if request.op in ("create", "update"):
        change.store.intentions.put(change, request.intention)
    elif request.op == "delete":
        change.store.intentions.remove(change, request.intention.id)
    else:
        raise RPCError(f"Invalid Intention operation '{request.op}'")


# Keys


def _on_key(change: Change, operation: KVOp) -> list[TxnResult]:
    verb = _KEY_VERBS.get(operation.verb)
    if verb is None:
        raise RPCError(f"unknown KV verb {quoted(operation.verb)}")
    if operation.verb == verbs.GET_TREE and operation.dir_ent.session == verbs.GET_OR_EMPTY:
        key = operation.dir_ent.key
        return [TxnResult(kv=change.store.kv.table.get(key) or DirEntry(key=key))]
    if operation.verb == verbs.GET_TREE:
        return [TxnResult(kv=entry) for entry in change.store.kv.with_prefix(None, operation.dir_ent.key)[1]]
    entry = verb(change, operation.dir_ent)
    if entry is None:
        return []
    return [TxnResult(kv=entry if operation.verb == verbs.GET else dataclasses.replace(entry, value=None))]


def _done(entry: DirEntry | None, text: str) -> DirEntry:
    if entry is None:
        raise RPCError(text)
    return entry


def _get(change: Change, wanted: DirEntry) -> DirEntry:
    return _done(change.store.kv.table.get(wanted.key), f"key {quoted(wanted.key)} doesn't exist")


def _delete(change: Change, wanted: DirEntry) -> None:
    change.store.kv.delete(change, wanted.key)


def _delete_tree(change: Change, wanted: DirEntry) -> None:
    change.store.kv.delete_tree(change, wanted.key)


def _delete_cas(change: Change, wanted: DirEntry) -> None:
    if not change.store.kv.delete_cas(change, wanted.key, wanted.modify_index):
        raise RPCError(f"failed to delete key {quoted(wanted.key)}, index is stale")


def _set_cas(change: Change, wanted: DirEntry) -> DirEntry:
    return _done(change.store.kv.set_cas(change, wanted), f"failed to set key {quoted(wanted.key)}, index is stale")


def _lock(change: Change, wanted: DirEntry) -> DirEntry:
    text = f"failed to lock key {quoted(wanted.key)}, lock is already held"
    return _done(change.store.kv.lock(change, wanted), text)


def _unlock(change: Change, wanted: DirEntry) -> DirEntry:
    text = f"failed to unlock key {quoted(wanted.key)}, lock isn't held, or is held by another session"
    return _done(change.store.kv.unlock(change, wanted), text)


def _check_session(change: Change, wanted: DirEntry) -> DirEntry:
    key = quoted(wanted.key)
    entry = _done(change.store.kv.table.get(wanted.key), f"failed to check session, key {key} doesn't exist")
    if entry.session != wanted.session:
        raise RPCError(
            f"failed session check for key {key}, current session {quoted(entry.session)} != {quoted(wanted.session)}"
        )
    return entry


def _check_index(change: Change, wanted: DirEntry) -> DirEntry:
    key = quoted(wanted.key)
    entry = _done(change.store.kv.table.get(wanted.key), f"failed to check index, key {key} doesn't exist")
    if entry.modify_index != wanted.modify_index:
        raise RPCError(
            f"failed index check for key {key}, current modify index {entry.modify_index} != {wanted.modify_index}"
        )
    return entry


def _check_not_exists(change: Change, wanted: DirEntry) -> None:
    if change.store.kv.table.get(wanted.key) is not None:
        raise RPCError(f"key {quoted(wanted.key)} exists")


_KEY_VERBS: Final[dict[str, Callable[[Change, DirEntry], DirEntry | None]]] = {
    verbs.SET: lambda change, entry: change.store.kv.set(change, entry),
    verbs.DELETE: _delete,
    verbs.DELETE_CAS: _delete_cas,
    verbs.DELETE_TREE: _delete_tree,
    verbs.CAS: _set_cas,
    verbs.LOCK: _lock,
    verbs.UNLOCK: _unlock,
    verbs.GET: _get,
    verbs.GET_TREE: lambda _change, _entry: None,
    verbs.CHECK_SESSION: _check_session,
    verbs.CHECK_INDEX: _check_index,
    verbs.CHECK_NOT_EXISTS: _check_not_exists,
}

# Nodes, services and checks: get, set, cas, delete, delete-cas


def _catalog_verb(
    kind: str, verb: str, old: Any, index: int, name: str, put: Callable[[], None], remove: Callable[[], None]
) -> bool:
    """Execute `verb`; whether there is a result."""
    if verb == verbs.GET:
        if old is None:
            raise RPCError(f"{name} doesn't exist")
        return True
    if verb in (verbs.CAS, verbs.DELETE_CAS):
        # a missing key can be deleted at any index; a node, service or check only at 0
        current_index = old.modify_index if old is not None else (0 if verb == verbs.CAS else None)
        if current_index != index:
            raise RPCError(f"failed to {'set' if verb == verbs.CAS else 'delete'} {name}, index is stale")
    if verb in (verbs.SET, verbs.CAS):
        put()
        return True
    if verb in (verbs.DELETE, verbs.DELETE_CAS):
        remove()
        return False
    raise RPCError(f"unknown {kind} verb {quoted(verb)}")


def _node(change: Change, node: Node) -> Node | None:
    catalog = change.store.catalog
    if node.id:
        by_id = catalog.nodes_table.by("id", node.id.lower())
        return by_id[0] if by_id else None
    return catalog.nodes_table.get(node.node.lower())


def _on_node(change: Change, operation: NodeOp) -> list[TxnResult]:
    node, old = operation.node, _node(change, operation.node)
    request = RegisterRequest.of(node)
    shown = _catalog_verb(
        "Node",
        operation.verb,
        old,
        node.modify_index,
        f"node {quoted(node.node)}",
        lambda: registration.put_node(change, request),
        lambda: registration.remove_node(change, (old.node if old is not None else node.node).lower()),
    )
    return [TxnResult(node=_node(change, node))] if shown else []


def _on_service(change: Change, operation: ServiceOp) -> list[TxnResult]:
    node, service = operation.node, operation.service
    catalog = change.store.catalog

    def find() -> NodeService | None:
        return catalog.service(node, service.id)

    def put() -> None:
        if not catalog.has_node(node):
            raise RPCError("Missing node registration")
        fault = registration.service_fault(node, service)
        if fault:
            raise RPCError(fault)
        if not service.id:
            raise RPCError("failed inserting service: object missing primary index")
        registration.put_service(change, node, service)

    shown = _catalog_verb(
        "Service",
        operation.verb,
        find(),
        service.modify_index,
        f"service {quoted(service.id)} on node {quoted(node)}",
        put,
        lambda: registration.remove_service(change, node.lower(), service.id.lower()),
    )
    return [TxnResult(service=find())] if shown else []


def _on_check(change: Change, operation: CheckOp) -> list[TxnResult]:
    check, catalog = operation.check, change.store.catalog

    def put() -> None:
        if not catalog.has_node(check.node):
            raise RPCError("Missing node registration")
        if check.service_id and catalog.service(check.node, check.service_id) is None:
            raise RPCError("Missing service registration")
        if not check.check_id:
            raise RPCError("failed inserting check: object missing primary index")
        registration.put_check(change, check)

    shown = _catalog_verb(
        "Check",
        operation.verb,
        catalog.check(check.node, check.check_id),
        check.modify_index,
        f"check {quoted(check.check_id)} on node {quoted(check.node)}",
        put,
        lambda: registration.remove_check(change, check.node.lower(), check.check_id.lower()),
    )
    return [TxnResult(check=catalog.check(check.node, check.check_id))] if shown else []
