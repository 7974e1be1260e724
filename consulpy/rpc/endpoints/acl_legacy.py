"""ACL.Apply, Get, List and GetPolicy: tokens as they were before 1.4 (docs/wire/acl.md section 14)."""

import dataclasses
from typing import TYPE_CHECKING, Any

from consulpy.acl.legacy import parse_legacy
from consulpy.acl.rules import InvalidRules
from consulpy.errors import RPCError
from consulpy.rpc.acl.resolver import AclNotFound
from consulpy.rpc.endpoints.acl_token import new_secret
from consulpy.rpc.methods import read, write
from consulpy.state.acl import TOKENS
from consulpy.state.acl_commands import LegacyAclChange
from consulpy.state.watch import WatchSet
from consulpy.structs import acl_log_entries as bodies
from consulpy.structs import acl_requests as requests
from consulpy.structs.acl import ANONYMOUS_SECRET, CLIENT, MANAGEMENT, LegacyAcl, Token
from consulpy.structs.requests import SpecificRequest

if TYPE_CHECKING:
    from consulpy.rpc.server import Server

_REFUSED = "Cannot use legacy endpoint to modify a non-legacy token"


@write("ACL.Apply", bodies.LegacyRequest, str)
def apply(server: "Server", request: bodies.LegacyRequest) -> Any:
    """Write or remove a token by its secret; the answer is the secret."""
    acl, store = request.acl, server.store.acl
    if request.op == "delete":
        if acl.id == ANONYMOUS_SECRET:
            raise RPCError("Permission denied: Cannot delete anonymous token")
    elif request.op == "set":
        if acl.type not in (CLIENT, MANAGEMENT):
            raise RPCError("Invalid ACL Type")
        existing = store.token(acl.id) if acl.id else None
        if existing is not None and not existing.takes_legacy_changes:
            raise RPCError(_REFUSED)
        try:
            parse_legacy(acl.rules)
        except InvalidRules as error:
            raise RPCError(f"ACL rule compilation failed: {error}") from None
        acl = dataclasses.replace(acl, id=acl.id or new_secret(store), create_index=0, modify_index=0)
    else:
        raise RPCError("Invalid ACL Operation")
    command = LegacyAclChange(dataclasses.replace(request, acl=acl))
    return server.submit(command).addCallback(lambda _: acl.id)


@read("ACL.Get", requests.LegacyReadRequest, requests.LegacyAclsReply)
def get(server: "Server", request: requests.LegacyReadRequest, watch: WatchSet | None) -> requests.LegacyAclsReply:
    """One token by its secret, if it is one of the old kind or a management token of the start."""
    found = server.store.acl.token(request.acl)
    rows = [old_record(found)] if found is not None and not found.uses_new_fields else None
    reply = requests.LegacyAclsReply(acls=rows)
    reply.meta.index = server.store.acl.index(watch, TOKENS)
    return reply


@read("ACL.List", SpecificRequest, requests.LegacyAclsReply)
def list_all(
    server: "Server",
    request: SpecificRequest,  # noqa: ARG001
    watch: WatchSet | None,
) -> requests.LegacyAclsReply:
    """All tokens that have a type: those of the old kind, and management tokens."""
    rows = [old_record(row) for row in server.store.acl.tokens.all() if not row.uses_new_fields]
    reply = requests.LegacyAclsReply(acls=rows or None)
    reply.meta.index = server.store.acl.index(watch, TOKENS)
    return reply


@read("ACL.GetPolicy", requests.LegacyPolicyRequest, requests.LegacyAclsReply)
def get_policy(
    server: "Server",  # noqa: ARG001
    request: requests.LegacyPolicyRequest,  # noqa: ARG001
    watch: WatchSet | None,  # noqa: ARG001
) -> requests.LegacyAclsReply:
    """The call by which clients find out whether servers have the new kind of tokens; the error says yes."""
    raise AclNotFound


def old_record(token: Token) -> LegacyAcl:
    """A token as it was shown before 1.4."""
    return LegacyAcl(
        id=token.secret_id,
        name=token.description,
        type=token.type,
        rules=token.rules,
        create_index=token.create_index,
        modify_index=token.modify_index,
    )
