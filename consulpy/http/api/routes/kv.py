"""/v1/kv: keys and values, checks-and-sets, locks."""

import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote_plus

from twisted.internet.defer import Deferred

from consulpy.errors import BadRequest, RPCError
from consulpy.gocompat.literals import quoted
from consulpy.http.api import rpc_read
from consulpy.http.api.params import apply_to_read, apply_to_write, refuse_namespaces
from consulpy.http.api.refused import HEADER as DENIED_HEADER
from consulpy.http.api.render import Rows
from consulpy.http.api.routing import HttpError, Request, Response, route
from consulpy.structs.kv import (
    CAS,
    DELETE,
    DELETE_CAS,
    DELETE_TREE,
    LOCK,
    SET,
    UNLOCK,
    DirEntry,
    KeyListRequest,
    KeyRequest,
    KVRequest,
)
from consulpy.structs.requests import Read

if TYPE_CHECKING:
    from consulpy.http.api.agent import AgentInterface

_DIGITS: Final = re.compile(r"[0-9]+")
_MISSING: Final = "Missing key name"
#: Headers of raw values: a browser must not render them as a page.
_RAW_HEADERS: Final = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox"}


@route("GET", "/v1/kv/")
async def get(agent: "AgentInterface", request: Request) -> Response:
    """A key, all keys with values under a prefix, or only the keys."""
    query = request.query
    if "keys" in query:
        separator = query.get("separator") or query.get("seperator")
        body = KeyListRequest(prefix=request.tail, seperator=separator)
        reply, headers = await _read(agent, request, "KVS.ListKeys", body)
        is_there = bool(reply.keys or not request.tail)
        return Response(reply.keys or [] if is_there else None, status=200 if is_there else 404, headers=headers)
    recurse = "recurse" in query
    method, missing = ("KVS.List", "") if recurse else ("KVS.Get", _MISSING)
    reply, headers = await _read(agent, request, method, KeyRequest(key=request.tail), missing)
    if not reply.entries:
        return Response(status=404, headers=headers)
    if "raw" in query and not recurse:
        value = reply.entries[0].value or b""
        return Response(raw=value, content_type="text/plain", headers={**headers, **_RAW_HEADERS})
    return Response(Rows(reply.entries, DirEntry.to_json, _value_bytes), headers=headers)


def _value_bytes(entry: DirEntry) -> int:
    return len(entry.value or b"")


@route("PUT", "/v1/kv/")
def put(agent: "AgentInterface", request: Request) -> "Deferred[Response]":
    """Write a key; with `cas`, `acquire` or `release` on their condition."""
    query = request.query
    _check(agent, request, _MISSING)
    entry = DirEntry(key=request.tail)
    body = KVRequest(op=SET, dir_ent=entry)
    if query:
        _refuse_together(request, "cas", "acquire", "release")
        if "flags" in query:
            entry.flags = unsigned(query.get("flags"))
        if "cas" in query:
            entry.modify_index, body.op = unsigned(query.get("cas")), CAS
        if "acquire" in query:
            entry.session, body.op = query.get("acquire"), LOCK
        if "release" in query:
            entry.session, body.op = query.get("release"), UNLOCK
    refuse_large(request, agent.limits.value_bytes, "kv_max_value_size")
    entry.value = request.body or None
    done = agent.caller.call("KVS.Apply", apply_to_write(agent, request, body))
    return done.addCallback(lambda done: Response(True if body.op == SET else done))


@route("DELETE", "/v1/kv/")
async def delete(agent: "AgentInterface", request: Request) -> Response:
    """Remove a key, or all keys under a prefix; with `cas` only if its index is that one."""
    query = request.query
    recurse = "recurse" in query
    _check(agent, request, "" if recurse else _MISSING)
    _refuse_together(request, "recurse", "cas")
    body = KVRequest(op=DELETE_TREE if recurse else DELETE, dir_ent=DirEntry(key=request.tail))
    if "cas" in query:
        body.op, body.dir_ent.modify_index = DELETE_CAS, unsigned(query.get("cas"))
    done = await agent.caller.call("KVS.Apply", apply_to_write(agent, request, body))
    return Response(done if body.op == DELETE_CAS else True)


async def _read(
    agent: "AgentInterface", request: Request, method: str, body: Read, missing: str = ""
) -> tuple[Any, dict[str, str]]:
    """A read; its errors have no index headers."""
    try:
        return await rpc_read.read(agent, request, method, body, missing=missing, consistency=False)
    except HttpError as error:
        missing_right = {name: value for name, value in error.headers.items() if name == DENIED_HEADER}
        raise HttpError(error.status, str(error), missing_right) from None


def _check(agent: "AgentInterface", request: Request, missing: str) -> None:
    refuse_namespaces(request)
    if request.query or request.header("Cache-Control"):  # else there is nothing to check
        apply_to_read(agent, request, Read())
    if missing and not request.tail:
        raise BadRequest(missing)


def _refuse_together(request: Request, *names: str) -> None:
    """Raises `BadRequest` when more than one of these parameters is given."""
    query = request.query
    if sum(name in query for name in names) > 1:
        pairs = [(name, value) for name in sorted(query.first()) for value in query.all(name)]
        shown = "&".join(f"{_escaped(name)}={_escaped(value)}" for name, value in pairs)
        raise BadRequest(f"Conflicting flags: {shown}")


def _escaped(text: str) -> str:
    return quote_plus(text, errors="surrogateescape")


def unsigned(text: str) -> int:
    """Parse an unsigned number of 64 bits. Raises `RPCError` with the text of Go's ParseUint."""
    found = _DIGITS.match(text)
    digits = found[0].lstrip("0") if found is not None else ""
    if len(digits) > 20 or int(digits or "0") >= 1 << 64:  # whatever follows
        raise RPCError(f"strconv.ParseUint: parsing {quoted(text)}: value out of range")
    if found is None or found[0] != text:
        raise RPCError(f"strconv.ParseUint: parsing {quoted(text)}: invalid syntax")
    return int(digits or "0")


def refuse_large(request: Request, limit: int, key: str) -> None:
    """Raises `HttpError` (413) for a body above `limit` bytes, which `key` of the configuration sets."""
    size = request.size
    if size > limit:
        raise HttpError(
            413,
            f"Request body({size} bytes) too large, max size: {limit} bytes. "
            f"See https://www.consul.io/docs/agent/options.html#{key}.",
        )
