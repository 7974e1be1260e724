"""/v1/txn: several operations at once, all or none."""

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from consulpy.errors import BadRequest
from consulpy.http import render
from consulpy.http.params import fill, fill_write, quoted
from consulpy.http.routes.kv import refuse_large
from consulpy.http.routing import Answer, HttpError, Request, route
from consulpy.local.godecode import GoError, Shape, decode, loads
from consulpy.structs.check import HealthCheck
from consulpy.structs.kv import DirEntry
from consulpy.structs.node import Node
from consulpy.structs.record import Record
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
    from consulpy.http.context import LocalAgent

_DURATIONS: Final = frozenset({"Interval", "Timeout", "DeregisterCriticalServiceAfter", "TTL"})
_SHAPE: Final = Shape(strict=False, durations=_DURATIONS, deep=True)


@route("PUT", "/v1/txn")
async def txn(agent: "LocalAgent", request: Request) -> Answer:
    """Do them. 409 with all mistakes when there are any; then nothing was done."""
    asked = fill(agent, request, Read())
    limits = agent.limits
    refuse_large(request, max(limits.txn_bytes, limits.value_bytes), "txn_max_req_len")
    operations = _operations(agent, request)
    if all(_only_reads(operation) for operation in operations):
        body = TxnReadRequest(datacenter=asked.datacenter, ops=operations, options=asked.options)
        reply = await agent.caller.call("Txn.Read", body)
        meta = reply.meta.to_json()
        headers = {
            "X-Consul-LastContact": str(reply.meta.last_contact // 1_000_000),
            "X-Consul-KnownLeader": "true" if reply.meta.known_leader else "false",
        }
    else:
        reply = await agent.caller.call("Txn.Apply", fill_write(agent, request, TxnRequest(ops=operations)))
        meta, headers = {}, {}
    shown = {"Results": _results(reply), "Errors": [error.to_json() for error in reply.errors or ()] or None, **meta}
    return Answer(shown, status=409 if reply.errors else 200, headers=headers)


def _only_reads(operation: TxnOp) -> bool:
    for part in (operation.kv, operation.node, operation.service, operation.check):
        if part is not None:
            return part.verb in READING or (part is operation.kv and not _is_key_write(part.verb))
    return True


def _is_key_write(verb: str) -> bool:
    return verb in ("set", "delete", "delete-cas", "delete-tree", "cas", "lock", "unlock")


def _results(reply: TxnReply) -> list[dict[str, Any]] | None:
    if reply.errors:
        return None
    return [_result(result) for result in reply.results or ()]


def _result(result: TxnResult) -> dict[str, Any]:
    shown = result.to_json()
    if result.check is not None and "Definition" not in shown["Check"]:
        shown["Check"] = render.check(result.check)
    return shown


@dataclass(slots=True)
class _Key(Record):
    """An operation on a key as JSON writes it; the value is base64."""

    verb: str = ""
    key: str = ""
    value: str = ""
    flags: int = 0
    index: int = 0
    session: str = ""


@dataclass(slots=True)
class _Verb(Record):
    """What operations on nodes, services and checks say beside the record."""

    verb: str = ""
    node: str = ""


def _operations(agent: "LocalAgent", request: Request) -> list[TxnOp]:
    try:
        raw = loads(request.body)
        if raw is not None and not isinstance(raw, list):
            raise GoError("json: cannot unmarshal object into Go value of type api.TxnOps")
        found = [_operation(agent, request, each or {}) for each in raw or ()]
    except GoError as error:
        raise BadRequest(f"Failed to parse body: {error}") from None
    most = agent.limits.txn_operations
    if len(found) > most:
        raise HttpError(413, f"Transaction contains too many operations ({len(found)} > {most})")
    return [operation for operation in found if operation is not None]


def _operation(agent: "LocalAgent", request: Request, raw: Any) -> TxnOp | None:
    """One operation; None for one that says nothing."""
    if not isinstance(raw, dict):
        raise GoError("json: cannot unmarshal value into Go value of type api.TxnOp")
    parts = {name.lower(): value for name, value in raw.items() if value is not None}
    for value in parts.values():
        if not isinstance(value, dict):
            raise GoError("json: cannot unmarshal value into Go struct field of type api.TxnOp")
    datacenter = request.query.get("dc") or agent.datacenter
    if "kv" in parts:
        return TxnOp(kv=_on_key(parts["kv"], agent.limits.value_bytes))
    verb = _Verb()
    inner: dict[str, Any] = {}
    for name in ("node", "service", "check"):
        if name in parts:
            verb = decode(_Verb, {key: each for key, each in parts[name].items() if key.lower() != name}, _SHAPE)[0]
            inner = {key.lower(): each for key, each in parts[name].items()}.get(name) or {}
            break
    if "node" in parts:
        node = decode(Node, inner, _SHAPE)[0]
        node.datacenter = node.datacenter or datacenter
        return TxnOp(node=NodeOp(verb=verb.verb, node=node))
    if "service" in parts:
        return TxnOp(service=ServiceOp(verb.verb, verb.node, _carried(decode(NodeService, inner, _SHAPE)[0])))
    if "check" in parts:
        check = decode(HealthCheck, inner, _SHAPE)[0]
        check.type = ""
        return TxnOp(check=CheckOp(verb=verb.verb, check=check))
    return None


def _carried(given: NodeService) -> NodeService:
    """What of a service a real agent takes over from a transaction: nothing of proxies and addresses by name."""
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


def _on_key(raw: dict[str, Any], limit: int) -> KVOp:
    given = decode(_Key, raw, _SHAPE)[0]
    try:
        value = base64.b64decode(given.value, validate=True)
    except (binascii.Error, ValueError):
        raise GoError("illegal base64 data at input byte 0") from None
    if len(value) > limit:
        raise HttpError(413, f"Value for key {quoted(given.key)} is too large ({len(value)} > {limit} bytes)")
    entry = DirEntry(
        key=given.key, value=value or None, flags=given.flags, session=given.session, modify_index=given.index
    )
    return KVOp(verb=given.verb, dir_ent=entry)
