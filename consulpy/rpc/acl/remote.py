"""From a token's secret to what it may do, on an agent that has to ask the servers, and keeps what they say.

Tokens, roles and policies are kept for a time each. Where no server can be asked, the down policy decides; what was
never seen gets nothing (the real one allows everything then). Source: docs/wire/acl.md section 5.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar

from twisted.internet.defer import Deferred

from consulpy.acl.authorizer import ALLOW_ALL, DENY_ALL
from consulpy.clock import Clock
from consulpy.codec.record import Record
from consulpy.errors import RPCError
from consulpy.rpc.acl.resolver import AclNotFound, Authorizers, Identity, RootAcl, grants_of, is_root_name
from consulpy.rpc.caller import Caller
from consulpy.state.acl import is_expired
from consulpy.structs.acl import ANONYMOUS_SECRET, Policy, Role, Token
from consulpy.structs.acl_requests import BY_SECRET, PolicyBatchRequest, RoleBatchRequest, TokenReadRequest
from consulpy.structs.options import QueryOptions

#: Tokens, roles and policies that are kept; those asked for longest ago go first.
ENTRIES_MAX: Final = 4096
#: How often a token is read again because its roles or policies changed meanwhile.
_TRIES: Final = 5

_Row = TypeVar("_Row")


class WallClock(Protocol):
    """Gives the time of the world."""

    def __call__(self) -> float:
        """Seconds since 1970."""


@dataclass(frozen=True, slots=True)
class DownPolicy:
    """What holds while no server can be asked. `allows`: everything; `keeps`: what was known goes on.

    `in_background`: what is known counts at once, and is asked for again meanwhile.
    """

    allows: bool = False
    keeps: bool = False
    in_background: bool = False


DOWN_POLICIES: Final = {
    "allow": DownPolicy(allows=True),
    "deny": DownPolicy(),
    "extend-cache": DownPolicy(keeps=True),
    "async-cache": DownPolicy(keeps=True, in_background=True),
}


class _Unreachable(Exception):
    """No server said anything about it."""


class _Gone(Exception):
    """The servers know the token no more, or other roles and policies of it."""


class _Cache(Generic[_Row]):
    """Rows with the time when they were read; None: there is none."""

    def __init__(self, ttl_s: float, clock: Clock) -> None:
        self._ttl_s = ttl_s
        self._clock = clock
        self._rows: OrderedDict[str, tuple[_Row | None, float]] = OrderedDict()

    def get(self, key: str) -> tuple[_Row | None, bool] | None:
        """The row, and whether it is fresh; None for one that was never read."""
        found = self._rows.get(key)
        if found is None:
            return None
        self._rows.move_to_end(key)
        return found[0], self._clock.seconds() - found[1] <= self._ttl_s

    def put(self, key: str, row: _Row | None) -> None:
        self._rows[key] = (row, self._clock.seconds())
        self._rows.move_to_end(key)
        if len(self._rows) > ENTRIES_MAX:
            self._rows.popitem(last=False)

    def forget(self, key: str) -> None:
        self._rows.pop(key, None)


class RemoteResolver:
    """Resolves tokens by asking the servers of `datacenter` (the primary one); rights are those in `own_datacenter`."""

    def __init__(
        self,
        caller: Caller,
        clock: Clock,
        wall_s: WallClock,
        datacenter: str,
        own_datacenter: str,
        authorizers: Authorizers,
        *,
        token_ttl_s: float,
        policy_ttl_s: float,
        role_ttl_s: float,
        down: DownPolicy,
    ) -> None:
        self._caller = caller
        self._wall_s = wall_s
        self._datacenter = datacenter
        self._own_datacenter = own_datacenter
        self._authorizers = authorizers
        self._down = down
        self._tokens: _Cache[Token] = _Cache(token_ttl_s, clock)
        self._policies: _Cache[Policy] = _Cache(policy_ttl_s, clock)
        self._roles: _Cache[Role] = _Cache(role_ttl_s, clock)
        self._reading: dict[str, list[Deferred[None]]] = {}

    async def resolve(self, secret: str) -> Identity:
        """The token with this secret ("": the anonymous one) and its rights. Raises `RPCError`."""
        secret = secret or ANONYMOUS_SECRET
        if is_root_name(secret):
            raise RootAcl
        for _ in range(_TRIES):
            try:
                return await self._resolve(secret)
            except _Gone:
                self._tokens.forget(secret)
            except _Unreachable:
                return Identity(Token(), ALLOW_ALL if self._down.allows else DENY_ALL)
        raise AclNotFound

    async def _resolve(self, secret: str) -> Identity:
        token = await self._token(secret)
        if token is None or is_expired(token, self._wall_s()):
            raise AclNotFound
        roles = await self._linked(self._roles, [link.id for link in token.roles or ()], secret, "ACL.RoleResolve")
        holders: list[Token | Role] = [token, *roles]
        wanted = [link.id for holder in holders for link in holder.policies or ()]
        policies = await self._linked(self._policies, wanted, secret, "ACL.PolicyResolve")
        grants = grants_of(token, roles, policies, self._own_datacenter)
        return Identity(token, self._authorizers.of(grants))

    async def _token(self, secret: str) -> Token | None:
        known = self._tokens.get(secret)
        if known is not None and known[1]:
            return known[0]
        if known is not None and self._down.in_background:
            if secret not in self._reading:
                Deferred.fromCoroutine(self._read_token(secret)).addErrback(lambda _: None)
            return known[0]
        await self._read_token(secret)
        found = self._tokens.get(secret)
        return found[0] if found is not None else None

    async def _read_token(self, secret: str) -> None:
        """Ask for a token; many who want the same wait for one answer. Raises `_Unreachable`."""
        waiting = self._reading.get(secret)
        if waiting is not None:
            one_more: Deferred[None] = Deferred()
            waiting.append(one_more)
            await one_more
        else:
            self._reading[secret] = []
            try:
                await self._ask_for_token(secret)
            finally:
                for each in self._reading.pop(secret):
                    each.callback(None)
        if self._tokens.get(secret) is None:
            raise _Unreachable

    async def _ask_for_token(self, secret: str) -> None:
        request = TokenReadRequest(
            datacenter=self._datacenter,
            token_id=secret,
            token_id_type=BY_SECRET,
            options=QueryOptions(token=secret, allow_stale=True),
        )
        try:
            reply = await self._caller.call("ACL.TokenRead", request)
        except RPCError as error:
            if "ACL not found" in str(error):
                self._tokens.put(secret, None)
            elif not self._down.keeps:
                self._tokens.forget(secret)
            return
        self._tokens.put(secret, reply.token)

    async def _linked(self, cache: _Cache[Any], ids: list[str], secret: str, method: str) -> list[Any]:
        """Roles or policies by their ids; those that are gone are left out. Raises `_Gone` and `_Unreachable`."""
        known = {each: cache.get(each) for each in dict.fromkeys(ids)}
        stale = [each for each, found in known.items() if found is None or not found[1]]
        if stale:
            await self._read(cache, stale, secret, method)
        rows = []
        for each in known:
            found = cache.get(each)
            if found is None:
                raise _Unreachable
            if found[0] is not None:
                rows.append(found[0])
        return rows

    async def _read(self, cache: _Cache[Any], ids: list[str], secret: str, method: str) -> None:
        options = QueryOptions(token=secret, allow_stale=True)
        request: Record
        if method == "ACL.RoleResolve":
            request = RoleBatchRequest(datacenter=self._datacenter, role_ids=ids, options=options)
        else:
            request = PolicyBatchRequest(datacenter=self._datacenter, policy_ids=ids, options=options)
        try:
            reply = await self._caller.call(method, request)
        except RPCError as error:
            if "ACL not found" in str(error) or "Permission denied" in str(error):
                raise _Gone from None
            if not self._down.keeps:
                for each in ids:
                    cache.forget(each)
            return
        found = {row.id: row for row in (reply.roles if method == "ACL.RoleResolve" else reply.policies) or ()}
        for each in ids:
            cache.put(each, found.get(each))
