"""From a token's secret to what it may do, on an agent that has to ask the servers, and keeps what they say.

Tokens, roles and policies are kept for a time each. Where no server can be asked, the down policy decides; what was
never seen gets nothing (the real one allows everything then). Source: docs/wire/acl.md section 5.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, Generic, Protocol, TypeVar

from twisted.internet.defer import Deferred

from consulpy.acl.authorizer import ALLOW_ALL, DENY_ALL
from consulpy.clock import Clock
from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.record import Record
from consulpy.errors import RPCError
from consulpy.rpc.acl.resolver import AclNotFound, Authorizers, Identity, RootAcl, grants_of, is_root_name
from consulpy.rpc.caller import Caller
from consulpy.state.acl import POLICIES, ROLES, is_expired
from consulpy.state.store import Store
from consulpy.structs.acl import ANONYMOUS_SECRET, Link, Policy, Role, Token
from consulpy.structs.acl_requests import BY_SECRET, PolicyBatchRequest, RoleBatchRequest, TokenReadRequest
from consulpy.structs.options import QueryOptions

#: Tokens, roles and policies that are kept; those asked for longest ago go first.
ENTRIES_MAX: Final = 4096
#: How long what is kept is used before the servers that did not answer are asked again, in seconds.
RETRY_S: Final = 1.0
#: How often a token is read again because its roles or policies changed meanwhile.
_TRIES: Final = 5

_Row = TypeVar("_Row")


class WallClock(Protocol):
    """Gives the time of the world."""

    def __call__(self) -> float:
        """Seconds since 1970."""


@dataclass(frozen=True, slots=True)
class DownPolicy:
    """Rule for tokens while no server can be reached. `allows`: everything; `keeps`: cached tokens stay valid.

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

    def keep(self, key: str) -> None:
        """Renew a cached row for a short time."""
        found = self._rows.get(key)
        if found is not None:
            self._rows[key] = found[0], self._clock.seconds() - max(self._ttl_s - RETRY_S, 0.0)

    def forget(self, key: str) -> None:
        self._rows.pop(key, None)


class RemoteResolver:
    """Resolves tokens by asking the servers of `datacenter`; rights are those in `own_datacenter`.

    `replicated()`: the state of a server that has copies of roles and policies; what is in it is not asked for.
    """

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
        replicated: Callable[[], Store] | None = None,
    ) -> None:
        self._replicated = replicated
        self._caller = caller
        self._wall_s = wall_s
        self._datacenter = datacenter
        self._own_datacenter = own_datacenter
        self._authorizers = authorizers
        self._down = down
        self._tokens: _Cache[Token] = _Cache(token_ttl_s, clock)
        self._cached: dict[str, _Cache[Any]] = {
            POLICIES: _Cache(policy_ttl_s, clock),
            ROLES: _Cache(role_ttl_s, clock),
        }
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
                return self._while_unreachable()
        raise AclNotFound

    def known(self, secret: str) -> Identity:
        """The same as it was last read, without asking; the down policy decides on unknown ones. Raises `RPCError`."""
        secret = secret or ANONYMOUS_SECRET
        if is_root_name(secret):
            raise RootAcl
        found = self._tokens.get(secret)
        if found is None:
            return self._while_unreachable()
        token = self._valid(found[0])
        try:
            roles: list[Role] = self._rows(ROLES, _ids(token.roles))
            policies: list[Policy] = self._rows(POLICIES, _policy_ids(token, roles))
        except _Unreachable:
            return self._while_unreachable()
        return self._identity(token, roles, policies)

    def is_fresh(self, secret: str) -> bool:
        """Whether all that `known` uses was read within its time."""
        found = self._tokens.get(secret or ANONYMOUS_SECRET)
        if found is None or not found[1]:
            return False
        token = found[0]
        if token is None:
            return True
        try:
            roles: list[Role] = self._rows(ROLES, _ids(token.roles))
        except _Unreachable:
            return False
        return not self._stale(ROLES, _ids(token.roles)) and not self._stale(POLICIES, _policy_ids(token, roles))

    def _while_unreachable(self) -> Identity:
        return Identity(Token(), ALLOW_ALL if self._down.allows else DENY_ALL)

    def _valid(self, token: Token | None) -> Token:
        """Raises `AclNotFound` for a token that is none, or counts in another datacenter only."""
        is_elsewhere = token is not None and token.local and self._datacenter != self._own_datacenter
        if token is None or is_elsewhere or is_expired(token, self._wall_s()):
            raise AclNotFound
        return token

    def _identity(self, token: Token, roles: list[Role], policies: list[Policy]) -> Identity:
        return Identity(token, self._authorizers.of(grants_of(token, roles, policies, self._own_datacenter)))

    async def _resolve(self, secret: str) -> Identity:
        token = self._valid(await self._token(secret))
        roles = await self._linked(ROLES, _ids(token.roles), secret)
        policies = await self._linked(POLICIES, _policy_ids(token, roles), secret)
        return self._identity(token, roles, policies)

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
        """Fetch a token; concurrent calls for one token share the reply. Raises `_Unreachable`."""
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
            elif self._down.keeps:
                self._tokens.keep(secret)
            else:
                self._tokens.forget(secret)
            return
        self._tokens.put(secret, reply.token)

    async def _linked(self, table: str, ids: list[str], secret: str) -> list[Any]:
        """Roles or policies by their ids; those that are gone are left out. Raises `_Gone` and `_Unreachable`."""
        stale = self._stale(table, ids)
        if stale:
            await self._read(table, stale, secret)
        return self._rows(table, ids)

    def _stale(self, table: str, ids: list[str]) -> list[str]:
        """The entries that have to be fetched."""
        cache = self._cached[table]
        wanted = [each for each in dict.fromkeys(ids) if self._copy(table, each) is None]
        return [each for each in wanted if (found := cache.get(each)) is None or not found[1]]

    def _rows(self, table: str, ids: list[str]) -> list[Any]:
        """The known rows, copied or fetched, without deleted ones. Raises `_Unreachable`."""
        rows = []
        for each in dict.fromkeys(ids):
            row = self._copy(table, each)
            if row is None:
                found = self._cached[table].get(each)
                if found is None:
                    raise _Unreachable
                row = found[0]
            if row is not None:
                rows.append(row)
        return rows

    def _copy(self, table: str, key: str) -> Any:
        if self._replicated is None:
            return None
        acl = self._replicated().acl
        return (acl.roles if table == ROLES else acl.policies).get(key.lower())

    async def _read(self, table: str, ids: list[str], secret: str) -> None:
        cache = self._cached[table]
        options = QueryOptions(token=secret, allow_stale=True)
        request: Record
        if table == ROLES:
            method = "ACL.RoleResolve"
            request = RoleBatchRequest(datacenter=self._datacenter, role_ids=ids, options=options)
        else:
            method = "ACL.PolicyResolve"
            request = PolicyBatchRequest(datacenter=self._datacenter, policy_ids=ids, options=options)
        try:
            reply = await self._caller.call(method, request)
        except RPCError as error:
            if "ACL not found" in str(error) or "Permission denied" in str(error):
                raise _Gone from None
            for each in ids:
                if self._down.keeps:
                    cache.keep(each)
                else:
                    cache.forget(each)
            return
        found = {row.id: row for row in (reply.roles if table == ROLES else reply.policies) or ()}
        for each in ids:
            cache.put(each, found.get(each))


def _ids(links: list[Link] | None) -> list[str]:
    return [link.id for link in links or ()]


def _policy_ids(token: Token, roles: list[Role]) -> list[str]:
    holders: list[Token | Role] = [token, *roles]
    return [link.id for holder in holders for link in holder.policies or ()]
