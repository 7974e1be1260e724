"""The catalog reads behind DNS answers.

Any server may answer them (`allow_stale`); a result older than `max_stale_s` is read again from the leader.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from consulpy.dns import answer as answers
from consulpy.dns.config import DnsConfig
from consulpy.dns.dual_stack import for_question
from consulpy.dns.question import NodeLookup, QueryLookup, ServiceLookup
from consulpy.errors import RPCError
from consulpy.gocompat.duration import DurationError, parse_duration_ns
from consulpy.log import Logger
from consulpy.rpc.caller import Caller
from consulpy.structs.node import Node
from consulpy.structs.options import QuerySource
from consulpy.structs.prepared_query import QueryExecuteReply, QueryExecuteRequest
from consulpy.structs.requests import NodeRequest, ServiceRequest, SpecificRequest
from consulpy.structs.service import CheckServiceNode
from consulpy.structs.translate import translate

_NS_PER_S: Final = 1_000_000_000
_NO_QUERY: Final = "Query not found"

_log = Logger()


class CatalogReads:
    """Reads by the agent's token, with the addresses that clients here see. Each raises `RPCError`.

    `config` may be replaced at any time; it applies to later reads.
    """

    def __init__(self, config: DnsConfig, caller: Caller, token: Callable[[], str]) -> None:
        self.config = config
        self._caller = caller
        self._token = token

    async def find_node(self, lookup: NodeLookup) -> Node | None:
        """The node of this name."""
        reply = await self._read("Catalog.NodeServices", NodeRequest(datacenter=lookup.datacenter, node=lookup.node))
        if reply.node_services is not None and reply.node_services.node is not None:
            node: Node = reply.node_services.node
            return node
        return await self.find_node(lookup.instead) if lookup.instead is not None else None

    async def instances(self, lookup: ServiceLookup) -> Sequence[CheckServiceNode]:
        """All instances of a service."""
        request = ServiceRequest(
            datacenter=lookup.datacenter,
            service_name=lookup.service,
            service_tags=[lookup.tag] if lookup.tag else None,
            tag_filter=bool(lookup.tag),
            connect=lookup.connect,
            ingress=lookup.ingress,
        )
        reply = await self._read("Health.ServiceNodes", request)
        nodes: Sequence[CheckServiceNode] = reply.nodes or ()
        return nodes

    def healthy(self, found: Sequence[CheckServiceNode], lookup: ServiceLookup, kind: int) -> list[CheckServiceNode]:
        """The healthy ones of these instances, with the addresses that answer a question of type `kind`."""
        rows = answers.healthy(found, self.config.only_passing)
        return for_question(rows, kind, wan=self.is_translated(lookup.datacenter))

    async def query(
        self, lookup: QueryLookup, kind: int, client: str
    ) -> tuple[list[CheckServiceNode], QueryExecuteReply] | None:
        """The result of a prepared query in its own order, with the addresses that answer type `kind`; None: no such
        query. `client`: the IP address from which the query may sort by distance, "" for none.
        """
        request = QueryExecuteRequest(
            datacenter=lookup.datacenter,
            query_id_or_name=lookup.query,
            source=QuerySource(ip=client),
            agent=QuerySource(datacenter=self.config.datacenter, node=self.config.node_name),
        )
        try:
            reply = await self._read("PreparedQuery.Execute", request)
        except RPCError as error:
            if _NO_QUERY in str(error):
                return None
            raise
        return for_question(reply.nodes or (), kind, wan=self.is_translated(reply.datacenter)), reply

    def ttl_of_query(self, reply: QueryExecuteReply) -> int:
        """The TTL of a prepared query's answers, in seconds: its own, else that of its service."""
        if reply.dns.ttl:
            try:
                return parse_duration_ns(reply.dns.ttl) // _NS_PER_S
            except DurationError:  # servers check it when it is stored
                _log.warn("query for {service} has a bad TTL: {ttl}", service=reply.service, ttl=reply.dns.ttl)
        return self.config.ttl_of_service(reply.service)

    async def name_at(self, address: str) -> str:
        """The name of the node, or else the service, that has an address; "" if none has."""
        datacenter = self.config.datacenter
        nodes = await self._read("Catalog.ListNodes", SpecificRequest(datacenter=datacenter))
        for node in nodes.nodes or ():
            if node.address == address:
                return answers.node_name(self.config, node.node, node.datacenter)
        request = ServiceRequest(datacenter=datacenter, service_address=address)
        services = await self._read("Catalog.ServiceNodes", request)
        for row in services.service_nodes or ():
            if row.service_address != address:  # one of its tagged addresses, which has no name
                continue
            return ".".join((row.service_name, "service", row.datacenter or datacenter, *self.config.labels))
        return ""

    def is_translated(self, datacenter: str) -> bool:
        """Whether addresses of this datacenter ("": the own one) are translated for clients here."""
        return self.config.translate_wan_addrs and datacenter not in ("", self.config.datacenter)

    async def _read(self, method: str, request: Any) -> Any:
        options = request.options
        options.token = self._token()
        if self.config.allow_stale:
            options.allow_stale, options.max_stale_duration = True, int(self.config.max_stale_s * _NS_PER_S)
        if self.config.use_cache:
            options.use_cache, options.max_age = True, int(self.config.cache_max_age_s * _NS_PER_S)
        reply = await self._caller.call(method, request)
        if self.config.allow_stale and reply.meta.last_contact > self.config.max_stale_s * _NS_PER_S:
            options.allow_stale, options.max_stale_duration = False, 0
            reply = await self._caller.call(method, request)
        if self.is_translated(getattr(reply, "datacenter", "") or request.datacenter):
            translate(reply)
        return reply
