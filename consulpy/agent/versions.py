"""What names the state that a DNS answer was made from, so that the answer can be kept for as long (dns/cache.py)."""

from collections.abc import Callable, Hashable

from consulpy.dns.cache import NODE, SERVICE, Scope
from consulpy.dns.config import DnsConfig
from consulpy.rpc.copies import AGE_MAX_S, Copies
from consulpy.rpc.server import Server
from consulpy.state.indexes import NODES, service_key


def of_state(server: Server, config: Callable[[], DnsConfig]) -> Callable[[Scope], Hashable | None]:
    """Names the state of a node, of a service with its nodes and checks, or of the list of nodes (any other scope).

    `config()`: how names are answered now. A follower's state counts as far as stale answers are allowed.
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
        return store.indexes, index  # the first is another one after a snapshot was restored

    return version


def of_copies(copies: Copies, config: Callable[[], DnsConfig]) -> Callable[[Scope], Hashable | None]:
    """Names the state of a node or a service, as far as there are fresh copies of all that was asked about it.

    `config()`: how names are answered now. Where answers must be younger than copies can be, none is kept.
    """

    def version(scope: Scope) -> Hashable | None:
        now = config()
        return copies.version(scope) if now.allow_stale and now.max_stale_s >= AGE_MAX_S else None

    return version
