"""Validators of cached DNS answers: values that stay equal as long as an answer is current (`dns.cache`)."""

from collections.abc import Callable, Hashable

from consulpy.dns.config import DnsConfig
from consulpy.errors import RPCError
from consulpy.local.access import AgentAccess
from consulpy.local.tokens import AgentTokens
from consulpy.rpc.cache.agent_cache import AGE_MAX_S, AgentCache
from consulpy.rpc.cache.tag import NODE, SERVICE, CacheTag, Validator
from consulpy.rpc.server import Server
from consulpy.state.acl import POLICIES, ROLES, TOKENS
from consulpy.state.indexes import NODES, service_key
from consulpy.state.watch import WatchSet


def of_state(server: Server, config: Callable[[], DnsConfig], tokens: AgentTokens) -> Validator:
    """A server's validators: Raft indexes of a node, of a service with its nodes and checks, or of the list of nodes.

    The result maps a cache tag to its validator; None: not cacheable. `config()`: the DNS settings now; a follower's
    state counts as far as they allow stale answers. With access control the validator also contains the index of all
    tokens, policies and roles and the version of the agent's own token; an agent token that expires is not cacheable.
    """

    def validator(tag: CacheTag) -> Hashable | None:
        quorum = server.quorum
        if quorum is not None and not server.is_leader:
            settings = config()
            if not settings.allow_stale or quorum.last_contact_ns > settings.max_stale_s * 1e9:
                return None
        kind, name = tag
        store = server.store
        if kind == SERVICE:  # raised by every change of the answer to Health.ServiceNodes
            index = store.indexes.get(service_key(name))
        elif kind == NODE:
            node = store.catalog.node(name)
            index = node.modify_index if node is not None else 0
        else:
            index = store.indexes.get(NODES)
        if server.guard.is_on:
            watch = WatchSet()
            try:
                server.guard.resolve(tokens.dns, watch)
            except RPCError:
                return None
            rights = store.acl.index(None, TOKENS, POLICIES, ROLES)
            return (store.indexes, index, rights, tokens.version) if watch.is_time_independent else None
        return store.indexes, index  # a restored snapshot brings a new `indexes`

    return validator


def of_cache(cache: AgentCache, config: Callable[[], DnsConfig], access: AgentAccess) -> Validator:
    """A client's validators: the versions of the agent cache's entries for a node or a service.

    The result maps a cache tag to its validator; None: not cacheable, as are all answers that must be younger than
    cache entries can be, and those under access control: a client is not notified when rights change.
    """

    def validator(tag: CacheTag) -> Hashable | None:
        settings = config()
        if access.is_on:
            return None
        return cache.validator(tag) if settings.allow_stale and settings.max_stale_s >= AGE_MAX_S else None

    return validator
