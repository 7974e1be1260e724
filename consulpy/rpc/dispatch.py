"""Dispatch of the calls on port 8300: method name and unpacked body -> reply.

Error texts are those of Go's net/rpc; clients depend on them (docs/wire/rpc.md 3, 6).
"""

import dataclasses
from functools import cache
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.python.failure import Failure

from consulpy.codec.record import Record
from consulpy.errors import BadRequest, NoSuchMethod, RPCError, WireError
from consulpy.log import Logger
from consulpy.rpc.endpoints import auto_encrypt
from consulpy.rpc.methods import FILES, METHODS, Method
from consulpy.rpc.server import Server
from consulpy.rpc.stream import RefusedCall
from consulpy.state.config_entry import DELETE_CAS
from consulpy.structs.config_entry_requests import EntryDeleted, EntryRequest
from consulpy.structs.connect_ca import CASignRequest
from consulpy.structs.intention import IntentionCheck, IntentionQuery
from consulpy.structs.newer_config_fields import newer_paths
from consulpy.structs.newer_selectors import foreign_query, foreign_selector, refused_merge

_log = Logger()

#: The method that newer agents ask with the operation `delete-cas`, and ours with such a condition.
_ENTRY_DELETE, _ENTRY_DELETE_CAS = "ConfigEntry.Delete", "ConfigEntry.DeleteCas"
_ENTRY_APPLY, _ENTRY_APPLY_NEWER = "ConfigEntry.Apply", "ConfigEntry.ApplyNewer"
_EXACT: Final = b"Exact"
_QUERY_APPLY: Final = "PreparedQuery.Apply"
#: Unsigned numbers of records, beside all indexes.
_UNSIGNED: Final = frozenset({"flags", "index", "serial_number", "max_trailing_logs", "min_quorum"})
_PLAIN: Final = (str, int, bool, float, bytes, "str", "int", "bool", "float", "bytes")


def method_named(name: str) -> Method:
    """The method with this name. Raises `RPCError` with Go's text."""
    try:
        return METHODS[name]
    except KeyError:
        service, dot, _ = name.rpartition(".")
    if not dot:
        raise RefusedCall(f"rpc: service/method request ill-formed: {name}")
    raise RefusedCall(str(NoSuchMethod(name, service in FILES)))


def serve(server: Server, name: str, body: Any, source: str = "") -> "Deferred[Any]":
    """The reply to a call from the wire, from `source` ("ip:port"). Fails with `RPCError` only."""
    try:
        method = method_named(name)
        if server.request_limits is not None:
            server.request_limits.check(name, source)
        foreign = (
            foreign_selector(body) or refused_merge(body, name) or (foreign_query(body) if name == _QUERY_APPLY else "")
        )
        if foreign:
            raise BadRequest(f"Invalid request: {foreign}")
        request = method.request.from_wire(body)
        if isinstance(request, IntentionQuery) and isinstance(body, dict) and body.get(_EXACT) is not None:
            request.check = IntentionCheck.from_wire(body[_EXACT])  # newer agents name an intention of Intention.Get so
        _check_unsigned(request)
    except RPCError as error:
        return fail(error)
    except WireError as error:
        return fail(RefusedCall(f"codec.decoder: {getattr(error, 'go', error)}"))
    if isinstance(request, EntryRequest) and name == _ENTRY_DELETE and request.op == DELETE_CAS:
        deleted = server.handle(method_named(_ENTRY_DELETE_CAS), request)
        return deleted.addCallback(EntryDeleted).addErrback(_as_rpc_error, name)
    if isinstance(request, EntryRequest) and name == _ENTRY_APPLY and any(newer_paths(request.entry)):
        method = method_named(_ENTRY_APPLY_NEWER)  # the leader may be one who would drop them
    return server.handle(method, request).addErrback(_as_rpc_error, name)


def serve_without_certificate(server: Server, name: str, body: Any) -> "Deferred[Any]":
    """The reply to a call of an agent that has no certificate yet: it may ask for one. Fails with `RPCError` only."""
    if name != auto_encrypt.METHOD:
        return fail(RefusedCall(f"rpc: can't find service {name}"))
    try:
        request = CASignRequest.from_wire(body)
    except WireError as error:
        return fail(RefusedCall(f"codec.decoder: {getattr(error, 'go', error)}"))
    return Deferred.fromCoroutine(auto_encrypt.sign(server, request)).addErrback(_as_rpc_error, name)


def _as_rpc_error(failure: Failure, name: str) -> Failure:
    """Log an unexpected exception; the caller gets an internal error."""
    if failure.check(RPCError, CancelledError):
        return failure
    _log.error("{method} failed: {error}", method=name, error=failure.getTraceback())
    return Failure(RPCError(f"internal error: {type(failure.value).__name__}"))


def _check_unsigned(request: Record) -> None:
    """Refuse a negative number where Consul has none, with the text of Go's decoder. Raises `WireError`.

    In the log it would end every real server, at each start again.
    """
    cls: Any = type(request)
    numbers, others = _members(cls)
    for name in numbers:
        value = getattr(request, name)
        if isinstance(value, int) and value < 0:
            shown = value + 256 if value >= -32 else value  # Go shows one byte as it stands
            raise WireError(f"Assigning negative signed value: {shown}, to unsigned type")
    for name in others:
        value = getattr(request, name)
        if isinstance(value, Record):
            _check_unsigned(value)
        elif isinstance(value, list):
            for each in value:
                if isinstance(each, Record):
                    _check_unsigned(each)


@cache
def _members(cls: type[Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The fields of a record that are unsigned in Consul, and those that may hold other records."""
    fields = [(field.name, field.type) for field in dataclasses.fields(cls)]
    numbers = tuple(name for name, _ in fields if name in _UNSIGNED or name.endswith("_index"))
    others = tuple(name for name, kind in fields if name not in numbers and kind not in _PLAIN)
    return numbers, others
