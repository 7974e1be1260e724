"""/v1/txn: transactions of several operations."""

from typing import TYPE_CHECKING, Any, Final

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.record import Record, go
from consulpy.errors import BadRequest
from consulpy.gocompat.json_decode import GoError, Shape, decode, decode_bytes, loads, mismatch
from consulpy.gocompat.literals import quoted
from consulpy.gocompat.newer_fields import fields_of
from consulpy.http.api import render
from consulpy.http.api.body_shapes import API
from consulpy.http.api.params import apply_to_read, apply_to_write, token
from consulpy.http.api.refused import missing_headers
from consulpy.http.api.render import Rows
from consulpy.http.api.routes.kv import refuse_large
from consulpy.http.api.routing import HttpError, Request, Response, route
from consulpy.structs.kv import DirEntry
from consulpy.structs.requests import Read
from consulpy.structs.service import NodeService
from consulpy.structs.txn import (
    READING,
    CheckOp,
    KVOp,
    NodeOp,
    ServiceOp,
    TxnOp,
    TxnReadRequest,
    TxnReply,
    TxnRequest,
    TxnResult,
)

if TYPE_CHECKING:
    from consulpy.http.api.agent import AgentInterface


@route("PUT", "/v1/txn")
async def txn(agent: "AgentInterface", request: Request) -> Response:
    """Apply all operations or none; 409 with all errors."""
    limits = agent.limits
    refuse_large(request, max(limits.txn_bytes, limits.value_bytes), "txn_max_req_len")
    operations = _operations(agent, request)
    if all(_only_reads(operation) for operation in operations):
        read = apply_to_read(agent, request, Read())
        body = TxnReadRequest(datacenter=read.datacenter, ops=operations, options=read.options)
        reply = await agent.caller.call("Txn.Read", body)
        meta = reply.meta.to_json()
        headers = {
            "X-Consul-LastContact": str(reply.meta.last_contact // 1_000_000),
            "X-Consul-KnownLeader": "true" if reply.meta.known_leader else "false",
        }
    else:
        reply = await agent.caller.call("Txn.Apply", apply_to_write(agent, request, TxnRequest(ops=operations)))
        meta, headers = {}, {}
    if any(error.missing for error in reply.errors or ()):
        accessor = (await agent.access.identity(token(request))).token.accessor_id
        headers |= missing_headers(accessor, *(error.missing for error in reply.errors or ()))
    shown = {"Results": _results(reply), "Errors": [error.to_json() for error in reply.errors or ()] or None, **meta}
    return Response(shown, status=409 if reply.errors else 200, headers=headers)


def _only_reads(operation: TxnOp) -> bool:
    for part in (operation.kv, operation.node, operation.service, operation.check):
        if part is not None:
            return part.verb in READING or (part is operation.kv and not _is_key_write(part.verb))
    return True


def _is_key_write(verb: str) -> bool:
    return verb in ("set", "delete", "delete-cas", "delete-tree", "cas", "lock", "unlock")


def _results(reply: TxnReply) -> Rows | None:
    return None if reply.errors else Rows(reply.results or (), _result, _result_bytes)


def _result_bytes(result: TxnResult) -> int:
    if result.kv is not None:
        return len(result.kv.value or b"")
    return len(result.check.output) if result.check is not None else 0


def _result(result: TxnResult) -> dict[str, Any]:
    shown = result.to_json()
    if result.check is not None and "Definition" not in shown["Check"]:
        shown["Check"] = render.check(result.check)
    return shown


@dataclass(slots=True)
class _Key(Record):
    """An operation on a key as JSON writes it."""

    verb: str = ""
    key: str = ""
    value: bytes = b""
    flags: int = 0
    index: int = 0
    session: str = ""


@dataclass(slots=True)
class _Operation(Record):
    """One operation as JSON writes it: one of these."""

    kv: _Key | None = go("KV", default=None)
    node: NodeOp | None = None
    service: ServiceOp | None = None
    check: CheckOp | None = None


_OPERATION: Final = Shape(
    "api.TxnOp",
    inner={
        _Key: Shape(
            "api.KVTxnOp",
            unsigned=frozenset({"Flags", "Index"}),
            types={"Verb": "api.KVOp"},
            readers={"Value": decode_bytes},
            newer=fields_of("KVOp"),
        ),
        NodeOp: Shape("api.NodeTxnOp", types={"Verb": "api.NodeOp"}, inner=API),
        ServiceOp: Shape("api.ServiceTxnOp", types={"Verb": "api.ServiceOp"}, inner=API),
        CheckOp: Shape("api.CheckTxnOp", types={"Verb": "api.CheckOp"}, inner=API),
    },
)


def _operations(agent: "AgentInterface", request: Request) -> list[TxnOp]:
    try:
        raw = loads(request.body)
        if raw is not None and not isinstance(raw, list):
            raise mismatch(raw, "api.TxnOps")
        if raw and None in raw:  # real Consul closes the connection
            raise GoError(f"operation {raw.index(None)} is null")
        found = [_operation(agent, request, decode(_Operation, each, _OPERATION)) for each in raw or ()]
    except GoError as error:
        raise BadRequest(f"Failed to parse body: {error}") from None
    most = agent.limits.txn_operations
    if len(found) > most:
        raise HttpError(413, f"Transaction contains too many operations ({len(found)} > {most})")
    return [operation for operation in found if operation is not None]


def _operation(agent: "AgentInterface", request: Request, given: _Operation) -> TxnOp | None:
    """One operation; None for an empty one."""
    names = [name for name in ("KV", "Node", "Service", "Check") if getattr(given, name.lower()) is not None]
    if len(names) > 1:  # Consul applies the first one and ignores the others
        raise GoError(f"an operation has one of {' and '.join(names)}")
    if given.kv is not None:
        return TxnOp(kv=_on_key(given.kv, agent.limits.value_bytes))
    if given.node is not None:
        node = given.node.node
        node.datacenter = node.datacenter or request.query.get("dc") or agent.datacenter
    elif given.service is not None:
        given.service.service = _carried(given.service.service)
    elif given.check is not None:
        given.check.check.type = ""
    else:
        return None
    return TxnOp(node=given.node, service=given.service, check=given.check)


def _carried(given: NodeService) -> NodeService:
    """The fields of a service that Consul takes from a transaction: no proxy, no tagged addresses."""
    return NodeService(
        id=given.id,
        service=given.service,
        tags=given.tags,
        address=given.address,
        meta=given.meta,
        port=given.port,
        weights=given.weights,
        enable_tag_override=given.enable_tag_override,
        modify_index=given.modify_index,
    )


def _on_key(given: _Key, limit: int) -> KVOp:
    size = len(given.value)
    if size > limit:
        raise HttpError(413, f"Value for key {quoted(given.key)} is too large ({size} > {limit} bytes)")
    entry = DirEntry(
        key=given.key, value=given.value or None, flags=given.flags, session=given.session, modify_index=given.index
    )
    return KVOp(verb=given.verb, dir_ent=entry)
