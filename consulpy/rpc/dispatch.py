"""Dispatch of the calls on port 8300: method name and unpacked body -> reply.

Error texts are those of Go's net/rpc; clients depend on them (docs/wire/rpc.md 3, 6).
"""

from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.python.failure import Failure

from consulpy.errors import BadRequest, NoSuchMethod, RPCError, WireError
from consulpy.log import Logger
from consulpy.rpc.endpoints import auto_encrypt
from consulpy.rpc.go_values import check_values
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
#: Methods of ACL.* that are served without access control: clients learn by them what there is.
_WITHOUT_ACL: Final = frozenset({"ACL.GetPolicy", "ACL.ReplicationStatus"})
#: Those that are forwarded before they are refused.
_LEGACY_ACL: Final = frozenset({"ACL.Apply", "ACL.Get", "ACL.List"})
_QUERY_APPLY: Final = "PreparedQuery.Apply"


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
        check_values(request)
        if name.startswith("ACL.") and not server.guard.is_on:
            _refuse_acl(server, name, request)
    except RPCError as error:
        return fail(error)
    except WireError as error:
        return fail(RefusedCall(f"codec.decoder: {getattr(error, 'go', error)}"))
    except Exception:  # a body that nobody expects must not end the connection, which others use too
        return fail(_as_rpc_error(Failure(), name))
    if isinstance(request, EntryRequest) and name == _ENTRY_DELETE and request.op == DELETE_CAS:
        deleted = server.handle(method_named(_ENTRY_DELETE_CAS), request)
        return deleted.addCallback(EntryDeleted).addErrback(_as_rpc_error, name)
    if isinstance(request, EntryRequest) and name == _ENTRY_APPLY and any(newer_paths(request.entry)):
        method = method_named(_ENTRY_APPLY_NEWER)  # the leader may be one who would drop them
    return server.handle(method, request).addErrback(_as_rpc_error, name)


def _refuse_acl(server: Server, name: str, request: Any) -> None:
    """Refuse tokens and rules where they are off: they would be in force once they are on. Raises `RPCError`."""
    is_forwarded = name in _LEGACY_ACL and request.datacenter != server.datacenter
    if name not in _WITHOUT_ACL and not is_forwarded:
        raise RPCError("ACL support disabled")


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
