"""Rights for transactions, operation by operation: one that is denied refuses all (acl.md section 6)."""

from typing import TYPE_CHECKING, Any, Final

from consulpy.acl.authorizer import Authorizer
from consulpy.acl.levels import WRITE
from consulpy.errors import RPCError
from consulpy.rpc.acl.checks import key_change
from consulpy.rpc.acl.denied import require
from consulpy.structs import kv as verbs
from consulpy.structs.txn import (
    CheckOp,
    KVOp,
    NodeOp,
    ServiceOp,
    TxnError,
    TxnOp,
    TxnReadReply,
    TxnReadRequest,
    TxnReply,
    TxnRequest,
)

if TYPE_CHECKING:
    from consulpy.rpc.server import Server

#: Verbs that need the name of a key.
_KEY_WRITES: Final = frozenset({verbs.SET, verbs.CAS, verbs.DELETE, verbs.DELETE_CAS, verbs.LOCK, verbs.UNLOCK})


def check(authorizer: Authorizer, server: "Server", request: TxnRequest | TxnReadRequest) -> Any:
    """Txn.Apply and Txn.Read: a reply with the errors, if there are any."""
    errors = txn_errors(authorizer, server, request.ops or [])
    if not errors:
        return None
    if isinstance(request, TxnRequest):
        return TxnReply(errors=errors)
    reply = TxnReadReply(errors=errors)
    reply.meta.known_leader = True
    return reply


def txn_errors(authorizer: Authorizer, server: "Server", operations: list[TxnOp]) -> list[TxnError]:
    """Why operations of a transaction are refused, by their positions."""
    errors = []
    for position, operation in enumerate(operations):
        try:
            _txn_operation(authorizer, server, operation)
        except RPCError as error:
            errors.append(TxnError(position, str(error), getattr(error, "missing", "")))
    return errors


def _txn_operation(authorizer: Authorizer, server: "Server", operation: TxnOp) -> None:
    if operation.kv is not None:
        kv: KVOp = operation.kv
        if not kv.dir_ent.key and kv.verb in _KEY_WRITES:
            raise RPCError("Must provide key")
        key_change(authorizer, kv.verb, kv.dir_ent.key)
    elif operation.node is not None:
        node: NodeOp = operation.node
        if node.verb != verbs.GET:
            _node_operation(authorizer, node)
    elif operation.service is not None:
        service: ServiceOp = operation.service
        if service.verb != verbs.GET:
            _service_operation(authorizer, server, service)
    elif operation.check is not None:
        check: CheckOp = operation.check
        if check.verb != verbs.GET:
            _check_operation(authorizer, server, check)
    elif operation.session is not None:  # not checked by Consul
        session = server.store.sessions.table.get(operation.session.session.id.lower())
        if session is not None:
            require(authorizer, "session", session.node, WRITE)


def _node_operation(authorizer: Authorizer, operation: NodeOp) -> None:
    if not operation.node.node:
        raise RPCError("Must provide node")
    require(authorizer, "node", operation.node.node, WRITE)


def _service_operation(authorizer: Authorizer, server: "Server", operation: ServiceOp) -> None:
    service = operation.service
    key = (operation.node.lower(), (service.id or service.service).lower())
    existing = server.store.catalog.services_table.get(*key)
    if existing is not None:
        require(authorizer, "service", existing.service.service, WRITE)
    if service.service or existing is None:
        require(authorizer, "service", service.service, WRITE)


def _check_operation(authorizer: Authorizer, server: "Server", operation: CheckOp) -> None:
    """By the service of the check, as it is and as it will be; else by its node."""
    check = operation.check
    existing = server.store.catalog.check(check.node, check.check_id) if check.check_id else None
    service = check.service_name
    if not service and check.service_id:
        row = server.store.catalog.services_table.get(check.node.lower(), check.service_id.lower())
        service = row.service.service if row is not None else ""
    if existing is not None and existing.service_name:
        require(authorizer, "service", existing.service_name, WRITE)
        if not service:
            return
    if service:
        require(authorizer, "service", service, WRITE)
    else:
        require(authorizer, "node", check.node, WRITE)
