"""What names the state that a DNS answer was made from, so that the answer can be kept for as long (dns/cache.py)."""

from collections.abc import Callable, Hashable

from consulpy.dns.cache import NODE, SERVICE, Scope
from consulpy.rpc.server import Server
from consulpy.state.indexes import NODES, service_key


def of_state(server: Server) -> Callable[[Scope], Hashable]:
    """Names the state of a node, of a service with its nodes and checks, or of the list of nodes (any other scope)."""

    def version(scope: Scope) -> Hashable:
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
