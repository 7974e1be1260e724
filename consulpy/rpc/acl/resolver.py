"""From a token's secret to what it may do, on a server that has the tokens in its own state.

A change of a token, policy or role counts with the next call. Authorizers are compiled once for each content: tokens
with the same rights share one. Source: docs/wire/acl.md section 4.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from functools import lru_cache
from typing import Final

from consulpy.acl.authorizer import Authorizer, compile_rules
from consulpy.acl.identities import node_identity, service_identity
from consulpy.acl.legacy import parse_legacy
from consulpy.acl.rules import InvalidRules, Rules, parse
from consulpy.acl.templates import TEMPLATES
from consulpy.codec.lazy_dataclass import dataclass
from consulpy.errors import RPCError
from consulpy.state.acl import POLICIES, ROLES, TOKENS, is_expired
from consulpy.state.store import Store
from consulpy.state.watch import WatchSet
from consulpy.structs.acl import (
    ANONYMOUS_SECRET,
    CLIENT,
    GLOBAL_MANAGEMENT_RULES,
    MANAGEMENT,
    NodeIdentity,
    Policy,
    Role,
    ServiceIdentity,
    Token,
)

#: Secrets that mean something inside Consul and are never tokens.
_ROOT_NAMES: Final = frozenset({"allow", "deny", "manage"})
#: Texts of policies that are parsed, and authorizers that are compiled, at most.
_PARSED_MAX: Final = 4096
_COMPILED_MAX: Final = 1024
#: Tokens whose rights are known, at most; all are forgotten when there are more.
_TOKENS_MAX: Final = 16384


def is_root_name(secret: str) -> bool:
    """Whether a secret means something inside Consul: it is never a token."""
    return secret in _ROOT_NAMES


class AclNotFound(RPCError):
    """A token that does not exist; peers decide by the text."""

    http_status = 403

    def __init__(self) -> None:
        super().__init__("ACL not found")


class RootAcl(RPCError):
    """A secret that cannot be a token."""

    def __init__(self) -> None:
        super().__init__("Cannot resolve root ACL")


@dataclass(frozen=True, slots=True)
class Identity:
    """A token and what it may do. `token` is as it is stored; `epoch`: another one after any change of rights."""

    token: Token
    authorizer: Authorizer
    epoch: Hashable = ()


@dataclass(frozen=True, slots=True)
class Grants:
    """Inputs of an authorizer: texts of policies (with whether they are legacy ones) and identities."""

    rules: frozenset[tuple[str, bool]]
    services: frozenset[str] = frozenset()
    nodes: frozenset[str] = frozenset()


class Authorizers:
    """Compiled authorizers by their content. `default_allows`: the default policy."""

    def __init__(self, *, default_allows: bool) -> None:
        self.default_allows = default_allows
        self._compiled: OrderedDict[Grants, Authorizer] = OrderedDict()

    def of(self, grants: Grants) -> Authorizer:
        """The authorizer of these rights. Raises `RPCError` for rules that cannot be read: nothing is allowed then."""
        found = self._compiled.get(grants)
        if found is None:
            rules = [_parsed(text, is_legacy) for text, is_legacy in grants.rules]
            rules += [service_identity(name) for name in grants.services]
            rules += [node_identity(name) for name in grants.nodes]
            found = self._compiled[grants] = compile_rules(rules, default_allows=self.default_allows)
            if len(self._compiled) > _COMPILED_MAX:
                self._compiled.popitem(last=False)
        else:
            self._compiled.move_to_end(grants)
        return found


@lru_cache(maxsize=_PARSED_MAX)
def _parsed(text: str, is_legacy: bool) -> Rules:
    try:
        return parse_legacy(text) if is_legacy else parse(text)
    except InvalidRules as error:
        raise RPCError(str(error)) from None


def grants_of(token: Token, roles: Iterable[Role], policies: Iterable[Policy], datacenter: str) -> Grants:
    """The inputs for a token with these roles and policies (its own and its roles') in a datacenter."""
    holders: list[Token | Role] = [token, *roles]
    rules = {(each.rules, bool(each.syntax)) for each in policies if _counts_in(each.datacenters, datacenter)}
    if token.type == MANAGEMENT:
        rules.add((GLOBAL_MANAGEMENT_RULES, False))
    elif token.rules or token.type == CLIENT:
        rules.add((token.rules, True))
    for templated in (each for holder in holders for each in holder.templated_policies or ()):
        template = TEMPLATES.get(templated.template_name)
        if template is not None and _counts_in(templated.datacenters, datacenter):
            variables = templated.template_variables
            rules.add((template.rules(variables.name if variables is not None else ""), False))
    services: list[ServiceIdentity] = [each for holder in holders for each in holder.service_identities or ()]
    nodes: list[NodeIdentity] = [each for holder in holders for each in holder.node_identities or ()]
    return Grants(
        frozenset(rules),
        frozenset(each.service_name for each in services if _counts_in(each.datacenters, datacenter)),
        frozenset(each.node_name for each in nodes if each.datacenter == datacenter),
    )


def _counts_in(datacenters: list[str] | None, datacenter: str) -> bool:
    return not datacenters or datacenter in datacenters


class StateResolver:
    """Resolves tokens of the state. `store()`: the state; `wall_s()`: seconds since 1970."""

    def __init__(
        self, store: Callable[[], Store], datacenter: str, wall_s: Callable[[], float], authorizers: Authorizers
    ) -> None:
        self._store = store
        self._datacenter = datacenter
        self._wall_s = wall_s
        self.authorizers = authorizers
        self._known: dict[str, Identity] = {}
        self._epoch: tuple[Hashable, ...] = ()

    def resolve(self, secret: str, watch: WatchSet | None = None) -> Identity:
        """The token with this secret ("": the anonymous one) and its rights. Raises `RPCError`.

        `watch`: takes what the answer depends on.
        """
        secret = secret or ANONYMOUS_SECRET
        if is_root_name(secret):
            raise RootAcl
        store = self._store()
        acl, indexes = store.acl, store.indexes
        if watch is not None:
            acl.index(watch, TOKENS, POLICIES, ROLES)
        epoch = (id(indexes), indexes.get(TOKENS), indexes.get(POLICIES), indexes.get(ROLES))
        if epoch != self._epoch or len(self._known) > _TOKENS_MAX:
            self._known, self._epoch = {}, epoch
        found = self._known.get(secret)
        if found is None:
            token = acl.token(secret)
            if token is None:
                raise AclNotFound
            found = self._known[secret] = Identity(token, self.authorizers.of(self._grants(store, token)), epoch)
        if found.token.expiration_time is not None:
            if watch is not None:
                watch.is_time_independent = False
            if is_expired(found.token, self._wall_s()):
                raise AclNotFound
        return found

    def identify(self, secret: str) -> Identity:
        """The same. Raises `RPCError`."""
        return self.resolve(secret)

    def _grants(self, store: Store, token: Token) -> Grants:
        acl = store.acl
        roles = [role for link in token.roles or () if (role := acl.roles.get(link.id.lower())) is not None]
        holders: list[Token | Role] = [token, *roles]
        links = [link for holder in holders for link in holder.policies or ()]
        policies = [policy for link in links if (policy := acl.policies.get(link.id.lower())) is not None]
        return grants_of(token, roles, policies, self._datacenter)
