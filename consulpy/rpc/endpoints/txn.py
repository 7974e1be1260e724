"""Txn.*: transactions (docs/wire/rpc.md 10)."""

import dataclasses
from typing import TYPE_CHECKING, Any, Final

from consulpy.errors import RPCError
from consulpy.gocompat.literals import quoted
from consulpy.rpc.endpoints._registration_checks import checked_node, checked_service
from consulpy.rpc.endpoints.kvs import may_apply
from consulpy.rpc.methods import write
from consulpy.state.commands import Txn
from consulpy.state.txn import read
from consulpy.structs.kv import GET, GET_OR_EMPTY, GET_TREE
from consulpy.structs.txn import KVOp, TxnError, TxnOp, TxnReadReply, TxnReadRequest, TxnReply, TxnRequest

if TYPE_CHECKING:
    from consulpy.rpc.server import Server

_NO_INTENTIONS: Final = "intentions cannot be changed by a client's transaction: use Intention.Apply"


def _refuse_intentions(request: TxnRequest | TxnReadRequest) -> None:
    """An operation without the intention ends a real leader. Leaders write intentions so, by themselves."""
    if any(operation.intention is not None for operation in request.ops or []):
        raise RPCError(_NO_INTENTIONS)


@write("Txn.Apply", TxnRequest, TxnReply, check_forwarded=_refuse_intentions)
def apply(server: "Server", request: TxnRequest) -> Any:
    """Apply all operations or none."""
    checked, errors = _checked(server, request.ops or [])
    if errors:
        return TxnReply(errors=errors)
    return server.submit(Txn(dataclasses.replace(request, ops=checked)))


@write("Txn.Read", TxnReadRequest, TxnReadReply, check_forwarded=_refuse_intentions)
def read_only(server: "Server", request: TxnReadRequest) -> TxnReadReply:
    """The results of read operations. The index stays 0: it cannot block."""
    checked, errors = _checked(server, request.ops or [])
    found = TxnReply(errors=errors) if errors else read(server.store, checked)
    reply = TxnReadReply(results=found.results, errors=found.errors)
    reply.meta.known_leader = True
    return reply


def _checked(server: "Server", operations: list[TxnOp]) -> tuple[list[TxnOp], list[TxnError]]:
    """The operations as they are submitted, and their errors."""
    checked: list[TxnOp] = []
    errors: list[TxnError] = []
    for position, operation in enumerate(operations):
        try:
            checked.append(_filled(server, operation))
        except RPCError as error:
            errors.append(TxnError(position, str(error)))
    return checked, errors


def _filled(server: "Server", operation: TxnOp) -> TxnOp:
    if operation.intention is not None:  # leaders write them so; their rights are not checked here
        raise RPCError(_NO_INTENTIONS)
    if operation.kv is not None:
        entry = operation.kv.dir_ent
        if not may_apply(server, operation.kv.verb, entry):
            raise RPCError(f"failed to lock key {quoted(entry.key)} due to lock delay")
        if operation.kv.verb in (GET_OR_EMPTY, GET_TREE):
            session = GET_OR_EMPTY if operation.kv.verb == GET_OR_EMPTY else ""
            return TxnOp(kv=KVOp(GET_TREE, dataclasses.replace(entry, session=session)))
    elif operation.node is not None and operation.node.verb != GET:
        checked_node(operation.node.node.node, operation.node.node.id)
    elif operation.service is not None and operation.service.verb != GET:
        service = checked_service(operation.service.service)
        return dataclasses.replace(operation, service=dataclasses.replace(operation.service, service=service))
    elif operation.check is not None:
        check = operation.check.check
        if not check.check_id and check.name:
            check = dataclasses.replace(check, check_id=check.name)
            return dataclasses.replace(operation, check=dataclasses.replace(operation.check, check=check))
    return operation
