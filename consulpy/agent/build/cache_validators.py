"""What names the state that a DNS answer was made from, so that the answer can be kept for as long (dns/cache.py)."""

from collections.abc import Callable, Hashable

from consulpy.dns.cache import NODE, SERVICE, Scope
from consulpy.dns.config import DnsConfig
from consulpy.errors import RPCError
from consulpy.local.access import AgentAccess
from consulpy.local.tokens import AgentTokens
from consulpy.rpc.cache.agent_cache import AGE_MAX_S, AgentCache
from consulpy.rpc.server import Server
from consulpy.state.acl import POLICIES, ROLES, TOKENS
from consulpy.state.indexes import NODES, service_key
from consulpy.state.watch import WatchSet


def of_state(
    server: Server, config: Callable[[], DnsConfig], tokens: AgentTokens
) -> Callable[[Scope], Hashable | None]:
    """Names the state of a node, of a service with its nodes and checks, or of the list of nodes (any other scope).

    `config()`: how names are answered now. A follower's state counts as far as stale answers are allowed.
    With access control also what decides what may be seen of it: all tokens, policies and roles, and which token is
    the agent's own. Where that token ends with time, nothing is kept.
    """

    def version(scope: Scope) -> Hashable | None:
        quorum = server.quorum
        if quorum is not None and not server.is_leader:
            now = config()
            if not now.allow_stale or quorum.last_contact_ns > now.max_stale_s * 1e9:
                return None
        kind, name = scope
        store = server.store
        if kind == SERVICE:  # raised by whatever changes the answer to Health.ServiceNodes
            index = store.indexes.get(service_key(name))
        elif kind == NODE:
            node = store.catalog.node(name)
            index = node.modify_index if node is not None else 0
        else:
            index = store.indexes.get(NODES)
        if server.guard.is_on:
            watch = WatchSet()
            try:
                server.guard.resolve(tokens.default, watch)
            except RPCError:
                return None
            rights = store.acl.index(None, TOKENS, POLICIES, ROLES)
            return (store.indexes, index, rights, tokens.version) if watch.is_lasting else None
        return store.indexes, index  # the first is another one after a snapshot was restored

    return version


def of_copies(
    copies: AgentCache, config: Callable[[], DnsConfig], access: AgentAccess
) -> Callable[[Scope], Hashable | None]:
    """Names the state of a node or a service, as far as there are fresh copies of all that was asked about it.

    `config()`: how names are answered now. Where answers must be younger than copies can be, none is kept; nor with
    access control: nothing here says when rights change.
    """

    def version(scope: Scope) -> Hashable | None:
        now = config()
        if access.is_on:
            return None
        return copies.version(scope) if now.allow_stale and now.max_stale_s >= AGE_MAX_S else None

    return version
