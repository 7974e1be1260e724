"""Compiles a discovery chain: from config entries to a graph of router, splitters and resolvers. Pure.

The graph begins at the service's router, else its splitter, else its resolver. Every error text is Consul's. Source of
the rules: docs/wire/discovery-chains.md. Nothing here recurses: chains may be long.
"""

from collections.abc import Iterator
from typing import Final

from consulpy.connect.discovery_chain.customization import customization_hash
from consulpy.connect.discovery_chain.graph import check_no_circle, flattened, reachable
from consulpy.connect.discovery_chain.request import DEFAULT_PROTOCOL, HTTP_LIKE, ChainQuery, Find, GraphError
from consulpy.connect.discovery_chain.targets import Targets
from consulpy.gocompat.literals import quoted
from consulpy.gocompat.weak_text import weak_text
from consulpy.structs.config_entry import (
    GLOBAL,
    PROXY_DEFAULTS,
    SERVICE_DEFAULTS,
    Failover,
    Route,
    RouteDestination,
    RouteHttp,
    RouteMatch,
    ServiceResolver,
    Split,
)
from consulpy.structs.discovery_chain import (
    RESOLVER,
    ROUTER,
    SPLITTER,
    Chain,
    ChainFailover,
    ChainNode,
    ChainResolver,
    ChainRoute,
    ChainSplit,
    ChainTarget,
)
from consulpy.structs.service import MeshGateway

#: How long a proxy waits for a connection, in ns, unless the resolver says otherwise.
CONNECT_TIMEOUT_NS: Final = 5_000_000_000
#: The failover of all subsets without one of their own.
_ANY_SUBSET: Final = "*"


def compile_chain(query: ChainQuery, find: Find) -> Chain:
    """The chain of a service. Raises `GraphError` if its config entries contradict each other."""
    return _Compiler(query, find).compile()


def protocol_of(service: str, find: Find) -> str:
    """The protocol of a service: that of its defaults, else that of all proxies, else tcp."""
    defaults = find(SERVICE_DEFAULTS, service)
    if defaults is not None:
        return defaults.protocol.lower() or DEFAULT_PROTOCOL
    proxies = find(PROXY_DEFAULTS, GLOBAL)
    named = (proxies.config or {}).get("protocol") if proxies is not None else None
    return (weak_text(named) or DEFAULT_PROTOCOL).lower()


class _Compiler:
    """One compilation."""

    def __init__(self, query: ChainQuery, find: Find) -> None:
        self._query = query
        self._find = find
        self._targets = Targets(query)
        self._nodes: dict[str, ChainNode] = {}
        self._retained: dict[str, ChainTarget] = {}
        self._protocol = ""
        self._routes_requests = False
        self._only_resolvers = query.protocol not in ("", *HTTP_LIKE)
        #: What the overrides changed.
        self._changed_mode = ""
        self._changed_protocol = False
        self._changed_timeout_ns = 0

    def compile(self) -> Chain:
        """See `compile_chain`."""
        query = self._query
        start = self._start().key
        check_no_circle(self._nodes, start)
        nodes = reachable(flattened(self._nodes, query.service), start)
        if self._routes_requests and self._protocol not in HTTP_LIKE:
            raise GraphError(
                f"discovery chain {quoted(query.service)} uses a protocol {quoted(self._protocol)} that does not "
                "permit advanced routing or splitting behavior"
            )
        is_other = self._changed_protocol or query.protocol != self._protocol
        changed_protocol = query.protocol if is_other else ""
        customized = (self._changed_mode, changed_protocol, self._changed_timeout_ns)
        return Chain(
            service_name=query.service,
            namespace=query.namespace,
            datacenter=query.datacenter,
            customization_hash=customization_hash(*customized) if any(customized) else "",
            protocol=query.protocol or self._protocol,
            start_node=start,
            nodes=nodes,
            targets=self._retained,
        )

    def _start(self) -> ChainNode:
        name = self._query.service
        router = self._find("service-router", name)
        if self._only_resolvers:
            self._changed_protocol = bool(router or self._find("service-splitter", name))
        if router is None or self._only_resolvers:
            return self._split_or_resolved(name)
        self._routes_requests = True
        self._note_protocol(name)
        node = self._put(ChainNode(ROUTER, self._named(name), routes=[]))
        assert node.routes is not None, "set above"
        for route in router.routes or ():
            wanted = route.destination or RouteDestination()
            service = wanted.service or name
            if wanted.service_subset:
                next_node = self._resolver(self._targets.get(service, wanted.service_subset, wanted.namespace))
            else:
                next_node = self._split_or_resolved(service, wanted.namespace)
            node.routes.append(ChainRoute(route, next_node.key))
        node.routes.append(ChainRoute(self._catch_all(router.name), self._split_or_resolved(router.name).key))
        return node

    def _catch_all(self, service: str) -> Route:
        """The last route of each router: all other requests go to its own service."""
        destination = RouteDestination(service=service, namespace=self._query.namespace)
        return Route(RouteMatch(RouteHttp(path_prefix="/")), destination)

    def _split_or_resolved(self, service: str, namespace: str = "") -> ChainNode:
        return self._splitter(service) or self._resolver(self._targets.get(service, namespace=namespace))

    # -- splitters

    def _splitter(self, service: str) -> ChainNode | None:
        """The splitter of a service with all splitters behind it; None if it has none."""
        first, splits = self._open_splitter(service)
        pending = [(first, service, splits)] if first is not None else []
        while pending:
            node, own, splits = pending[-1]
            inner = self._fill_splitter(node, own, splits) if node is not None else None
            if inner is None:
                pending.pop()
            else:
                pending.append(inner)
        return first

    def _open_splitter(self, service: str) -> tuple[ChainNode | None, Iterator[Split]]:
        """A splitter, and the splits to fill it with: none if it was opened before."""
        known = self._nodes.get(f"{SPLITTER}:{self._named(service)}")
        if known is not None or self._only_resolvers:
            return known, iter(())
        entry = self._find("service-splitter", service)
        if entry is None:
            return None, iter(())
        self._routes_requests = True
        return self._put(ChainNode(SPLITTER, self._named(service), splits=[])), iter(entry.splits or ())

    def _fill_splitter(
        self, node: ChainNode, own: str, splits: Iterator[Split]
    ) -> tuple[ChainNode, str, Iterator[Split]] | None:
        """Add splits until one leads to a splitter that is new and is to be filled first; None at the end."""
        assert node.splits is not None, "a splitter has splits"
        for split in splits:
            service = split.service or own
            if service != own and not split.service_subset:
                inner, its_splits = self._open_splitter(service)
                if inner is not None:
                    node.splits.append(ChainSplit(split.weight, inner.key))
                    return inner, service, its_splits
            next_node = self._resolver(self._targets.get(service, split.service_subset))
            node.splits.append(ChainSplit(split.weight, next_node.key))
        return None

    # -- resolvers

    def _resolver(self, target: ChainTarget) -> ChainNode:
        node, entry, final = self._resolved(target)
        failover = self._failover_of(entry, final) if node.key not in self._nodes else None
        self._put(node)
        if failover is None:
            return node
        assert node.resolver is not None, "it is a resolver"
        ids = self._failover_targets(final, failover)
        if ids:
            node.resolver.failover = ChainFailover(ids)
        return node

    def _failover_of(self, entry: ServiceResolver, target: ChainTarget) -> Failover | None:
        section = entry.failover or {}
        return section.get(target.service_subset) or section.get(_ANY_SUBSET)

    def _failover_targets(self, target: ChainTarget, failover: Failover) -> list[str]:
        """Ids of the targets that stand in for `target`, which is not among them."""
        ids = []
        for datacenter in failover.datacenters or ("",):
            parts = (failover.service, failover.service_subset, failover.namespace, datacenter)
            stand_in = self._targets.rewritten(target, *parts)
            if stand_in.id != target.id:
                ids.append(self._resolved(stand_in)[2].id)
        return ids

    def _resolved(self, target: ChainTarget) -> tuple[ChainNode, ServiceResolver, ChainTarget]:
        """The resolver of a target: redirects are followed first, then the default subset is taken."""
        seen: dict[str, None] = {}
        while True:
            entry = self._find("service-resolver", target.service) or ServiceResolver()
            known = self._nodes.get(f"{RESOLVER}:{target.id}")
            if known is not None:
                return known, entry, target
            self._note_protocol(target.service)
            if target.id in seen:
                raise GraphError(f"detected circular resolver redirect: [{' -> '.join([*seen, target.id])}]")
            seen[target.id] = None
            next_target = target
            if entry.redirect is not None:
                to = entry.redirect
                next_target = self._targets.rewritten(
                    target, to.service, to.service_subset, to.namespace, to.datacenter
                )
            if next_target is target and not target.service_subset and entry.default_subset:
                next_target = self._targets.rewritten(target, subset=entry.default_subset)
            if next_target is target:
                return self._resolver_node(entry, target), entry, target
            target = next_target

    def _resolver_node(self, entry: ServiceResolver, target: ChainTarget) -> ChainNode:
        subsets = entry.subsets or {}
        if target.service_subset and target.service_subset not in subsets:
            raise GraphError(
                f"service {quoted(target.service)} does not have a subset named {quoted(target.service_subset)}"
            )
        timeout_ns = entry.connect_timeout if entry.connect_timeout >= 1 else CONNECT_TIMEOUT_NS
        override_ns = self._query.connect_timeout_ns
        is_default = not (entry.default_subset or subsets or entry.redirect or entry.failover or entry.connect_timeout)
        if override_ns > 0 and override_ns != timeout_ns:
            timeout_ns = self._changed_timeout_ns = override_ns
        if target.service_subset:
            target.subset = subsets[target.service_subset]
        self._set_outside(entry, target)
        target.mesh_gateway = MeshGateway(self._mode_of(target))
        self._retained[target.id] = target
        return ChainNode(RESOLVER, target.id, resolver=ChainResolver(timeout_ns, is_default, target.id))

    def _set_outside(self, entry: ServiceResolver, target: ChainTarget) -> None:
        """A service outside of the mesh: its proxies use its own server name. Raises `GraphError`."""
        defaults = self._find(SERVICE_DEFAULTS, target.service)
        if defaults is None or not defaults.external_sni:
            return
        target.sni, target.external = defaults.external_sni, True
        for value, name in (
            (entry.redirect, "redirects"),
            (entry.subsets, "subsets"),
            (entry.failover, "failover"),
        ):
            if value:
                raise GraphError(
                    f"service {quoted(target.service)} has an external SNI set; "
                    f"cannot define {name} for external services"
                )

    def _mode_of(self, target: ChainTarget) -> str:
        """Mode of mesh gateways for this target; only targets in another datacenter have one."""
        if target.datacenter == self._query.used_in or target.external:
            return ""
        defaults, proxies = self._find(SERVICE_DEFAULTS, target.service), self._find(PROXY_DEFAULTS, GLOBAL)
        mode = defaults.mesh_gateway.mode if defaults is not None else ""
        mode = str(mode or (proxies.mesh_gateway.mode if proxies is not None else ""))
        override = self._query.mesh_gateway_mode
        if override and override != mode:
            mode = self._changed_mode = override
        return mode

    # -- all nodes

    def _put(self, node: ChainNode) -> ChainNode:
        return self._nodes.setdefault(node.key, node)

    def _named(self, service: str) -> str:
        return f"{service}.{self._query.namespace}"

    def _note_protocol(self, service: str) -> None:
        """All services of a chain have one protocol. Raises `GraphError`."""
        protocol = protocol_of(service, self._find)
        if not self._protocol:
            self._protocol = protocol
        elif protocol != self._protocol:
            raise GraphError(
                f"discovery chain {quoted(self._query.service)} uses inconsistent protocols; service "
                f"{quoted(service)} has {quoted(protocol)} which is not {quoted(self._protocol)}"
            )
