"""Forwarding to the primary datacenter: policies, roles and global tokens are written there, and copied by others.

A local token is known in its own datacenter only: calls that go elsewhere go without it.
Source: docs/wire/acl.md section 15.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Final, Protocol

from consulpy.codec.record import Record
from consulpy.errors import RPCError
from consulpy.rpc.acl.tokens import token_of, with_token
from consulpy.rpc.methods import Method
from consulpy.state.acl import TOKENS
from consulpy.state.store import Store

_GLOBAL: Final = frozenset({"ACL.PolicySet", "ACL.PolicyDelete", "ACL.RoleSet", "ACL.RoleDelete"})
_TOKEN_WRITES: Final = frozenset({"ACL.TokenSet", "ACL.TokenClone", "ACL.TokenDelete"})
_TOKEN_READS: Final = frozenset({"ACL.TokenRead", "ACL.TokenList", "ACL.TokenBatchRead"})
#: Tokens from before 1.4 are the primary's.
_LEGACY: Final = frozenset({"ACL.Apply", "ACL.Get", "ACL.List"})
#: There is no first token but the primary's.
_NOT_HERE: Final = frozenset({"ACL.BootstrapTokens", "ACL.Bootstrap"})
#: What gives local tokens, of which a datacenter that copies no tokens has none.
_OF_AUTH_METHODS: Final = frozenset(
    {
        "ACL.Login",
        "ACL.Logout",
        *(f"ACL.AuthMethod{action}" for action in ("Read", "List", "Set", "Delete")),
        *(f"ACL.BindingRule{action}" for action in ("Read", "List", "Set", "Delete")),
    }
)
#: Written in the primary datacenter, whichever one is named: config entries, which the others copy, and federation
#: states.
PRIMARY_WRITES: Final = frozenset(
    {
        "FederationState.Apply",
        *(f"ConfigEntry.{action}" for action in ("Apply", "ApplyNewer", "Delete", "DeleteCas")),
    }
)
#: Written there where Connect is on.
INTENTION_WRITE: Final = "Intention.Apply"
#: Calls that a server outside the primary datacenter may have to pass on.
PRIMARY_CALLS: Final = _GLOBAL | _TOKEN_WRITES | _TOKEN_READS | _LEGACY | _NOT_HERE | _OF_AUTH_METHODS


class SecondaryServer(Protocol):
    """The part of a `consulpy.rpc.server.Server` that decides where a call is served."""

    primary_datacenter: str
    copies_tokens: bool

    @property
    def replication_token(self) -> Callable[[], str]:
        """The secret that they are copied with."""

    @property
    def store(self) -> Store:
        """The state of this datacenter."""


def home_of(server: SecondaryServer, method: Method, request: Any) -> str:
    """The datacenter that has to answer a call to a server outside the primary one; "": this one. Raises `RPCError`."""
    if method.name in _NOT_HERE:
        raise RPCError("ACL support disabled")
    if method.name in _GLOBAL | _LEGACY:
        return server.primary_datacenter
    if not server.copies_tokens or not server.replication_token():  # then there are no local tokens
        return _home_without_tokens(server, method, request)
    if method.name in _TOKEN_READS and not server.store.indexes.get(TOKENS):
        return server.primary_datacenter  # no copy was made yet
    if method.name not in _TOKEN_WRITES:
        return ""
    return "" if _is_local(server, request) else server.primary_datacenter


def _home_without_tokens(server: SecondaryServer, method: Method, request: Any) -> str:
    if method.name in _OF_AUTH_METHODS:
        raise RPCError("Token replication is required for auth methods to function")
    given = getattr(request, "acl_token", None)
    if given is not None and given.local:
        raise RPCError("Local tokens are disabled")
    return server.primary_datacenter


def _is_local(server: SecondaryServer, request: Any) -> bool:
    given = getattr(request, "acl_token", None)
    accessor = given.accessor_id if given is not None else request.token_id
    existing = server.store.acl.token_by_accessor(accessor) if accessor else None
    if existing is not None:
        return existing.local
    return given is not None and given.local


def for_elsewhere(server: SecondaryServer, request: Record) -> Record:
    """A call as it leaves the datacenter: without a token that only this one knows."""
    secret = token_of(request)
    found = server.store.acl.token(secret) if secret else None
    return with_token(request, "") if found is not None and found.local else request


def moved(request: Any, datacenter: str) -> Any:
    """The same call to another datacenter."""
    return dataclasses.replace(request, datacenter=datacenter)
