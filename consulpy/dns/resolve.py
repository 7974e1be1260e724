"""Lookups to answers: the RPC reads behind each kind of name, and the resolution of addresses that are host names.

Reads go through `caller`; any server may answer them (`allow_stale`), and a result older than `max_stale_s` is read
again from the leader. An unknown datacenter is an unknown name; any other failure is SERVFAIL.
"""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final

from twisted.names import dns

from consulpy.dns import answer as answers
from consulpy.dns.answer import Group
from consulpy.dns.cache import CacheableAnswer
from consulpy.dns.config import DnsConfig
from consulpy.dns.dual_stack import address_of_node, for_question
from consulpy.dns.load_balance import ShuffledAnswer
from consulpy.dns.question import (
    AddressLookup,
    AuthorityLookup,
    ExternalName,
    Lookup,
    NodeLookup,
    NonexistentName,
    QueryLookup,
    ReverseLookup,
    ServiceLookup,
    ZoneTransfer,
    lookup_of,
)
from consulpy.dns.recursor import Recursor
from consulpy.dns.sampling import ALL_MAX, AT_ONCE, ManyInstances, SampledAnswer, Turns
from consulpy.dns.wire import Answer, Question, encode
from consulpy.errors import RPCError
from consulpy.gocompat.duration import DurationError, parse_duration_ns
from consulpy.log import Logger
from consulpy.rpc.cache.tag import NODE, SERVICE, CacheTag, Validator
from consulpy.rpc.caller import Caller
from consulpy.structs.node import Node
from consulpy.structs.options import QuerySource
from consulpy.structs.prepared_query import QueryExecuteReply, QueryExecuteRequest
from consulpy.structs.requests import NodeRequest, ServiceRequest, SpecificRequest
from consulpy.structs.service import CONSUL_SERVICE, CheckServiceNode
from consulpy.structs.translate import translate

#: Depth to which host names below the domain are followed.
ALIAS_DEPTH_MAX: Final = 3
#: Question types that a node name has answers to.
_OF_NODES: Final = (dns.A, dns.AAAA, dns.TXT, dns.ALL_RECORDS)
_NS_PER_S: Final = 1_000_000_000
_NO_DATACENTER: Final = "No path to datacenter"
_NO_QUERY: Final = "Query not found"

_log = Logger()


class Resolver:
    """Answers questions. `config` may be replaced at any time; it applies to later questions.

    `validator`: for the packet cache. `wall_s()`: seconds since 1970, the serial numbers of SOA records. `token()`: the
    ACL token of the reads. `turns`: of long computations.
    """

    def __init__(
        self,
        config: DnsConfig,
        caller: Caller,
        wall_s: Callable[[], float],
        rng: Random,
        recursor: Recursor,
        validator: Validator,
        token: Callable[[], str] = lambda: "",
        turns: Turns = AT_ONCE,
    ) -> None:
        self.config = config
        self._caller = caller
        self._wall_s = wall_s
        self._rng = rng
        self._recursor = recursor
        self._validator = validator
        self._token = token
        self._turns = turns

    async def respond(self, question: Question, *, udp: bool, client: str = "") -> CacheableAnswer:
        """The packet that answers a question.

        `client`: its address, from which prepared queries may sort by distance.
        """
        lookup = lookup_of(question.name, question.kind, self.config)
        tag = self._tag(lookup)
        validator = self._validator(tag) if tag is not None else None  # before anything is read
        try:
            answer = await self._answer(question, lookup, udp, client)
        except RPCError as error:
            tag = None
            if _NO_DATACENTER in str(error):
                answer = self._negative()
            else:
                _log.warn("no answer for {name}: {error}", name=question.name, error=str(error))
                answer = Answer(rcode=dns.ESERVER)
        if isinstance(answer, bytes):
            return CacheableAnswer(answer)
        if isinstance(answer, SampledAnswer):
            return CacheableAnswer(
                answer.packet, answer.count if tag else 0, tag or ("", ""), validator, answer.shuffle
            )
        if isinstance(answer, ShuffledAnswer):
            packet = answer.shuffle()
            return (
                CacheableAnswer(packet, answer.count, tag, validator, answer.shuffle)
                if tag is not None
                else CacheableAnswer(packet)
            )
        answer.recursion = answer.recursion or bool(self.config.recursors)
        packet = encode(question, answer, compress=not self.config.disable_compression)
        if tag is None:
            return CacheableAnswer(packet)
        return CacheableAnswer(packet, int(answer.cacheable), tag, validator)

    def _tag(self, lookup: Lookup) -> CacheTag | None:
        """The cache tag of an answer; None if it depends on more than one node or service of this datacenter."""
        if isinstance(lookup, NodeLookup):
            is_cacheable = lookup.datacenter == self.config.datacenter and lookup.instead is None
            return (NODE, lookup.node) if is_cacheable else None
        if isinstance(lookup, ServiceLookup):
            is_cacheable = lookup.datacenter == self.config.datacenter and not lookup.connect and not lookup.ingress
            return (SERVICE, lookup.service) if is_cacheable else None
        return ("", "") if isinstance(lookup, AddressLookup | ZoneTransfer | NonexistentName) else None

    async def _answer(
        self, question: Question, lookup: Lookup, udp: bool, client: str
    ) -> Answer | ShuffledAnswer | SampledAnswer | bytes:
        if isinstance(lookup, NodeLookup):
            return await self._node(question, lookup)
        if isinstance(lookup, ServiceLookup):
            return await self._service(question, lookup, udp)
        if isinstance(lookup, QueryLookup):
            return await self._query(question, lookup, udp, client)
        if isinstance(lookup, AddressLookup):
            return self._address(question, lookup)
        if isinstance(lookup, AuthorityLookup):
            return await self._authority(question)
        if isinstance(lookup, ReverseLookup):
            return await self._reverse(question, lookup, udp)
        if isinstance(lookup, ZoneTransfer):
            return Answer(rcode=dns.ENOTIMP)
        if isinstance(lookup, ExternalName):
            if not self.config.recursors:
                return Answer(rcode=dns.EREFUSED, authoritative=False, edns=False)
            return await self._recursor.forward(question, self.config, udp=udp)
        return self._negative()

    def _address(self, question: Question, lookup: AddressLookup) -> Answer:
        """An address of the other family is no answer: unlike in Consul, which sends the address whatever the type."""
        found = lookup.address
        if found is None:
            return Answer()
        if question.kind == dns.TXT or not answers.wants(question.kind, found):
            return self._negative(dns.OK)
        return Answer(answers=[answers.address_record(question.name, found, int(self.config.node_ttl_s))])

    # -- nodes

    async def _node(self, question: Question, lookup: NodeLookup) -> Answer:
        if question.kind not in _OF_NODES:
            return Answer()  # whether the node exists or not
        node = await self._find_node(lookup)
        if node is None:
            return self._negative()
        kind, ttl = question.kind, int(self.config.node_ttl_s)
        answer = Answer()
        if kind in (dns.A, dns.AAAA, dns.ALL_RECORDS):
            text = address_of_node(node, kind, wan=self._is_translated(lookup.datacenter))
            address = answers.ip_of(text)
            if address is None:
                answer.cacheable = False  # the target may change without this node
                answer.answers.append(answers.alias_record(question.name, text, ttl))
                answer.answers += await self._follow(text, 1, kind)
            elif answers.wants(kind, address):
                answer.answers.append(answers.address_record(question.name, address, ttl))
        if kind in (dns.TXT, dns.ALL_RECORDS):
            answer.answers += answers.meta_records(question.name, node.meta, ttl)
        elif kind in (dns.A, dns.AAAA) and self.config.node_meta_txt:
            answer.additional += answers.meta_records(question.name, node.meta, ttl)
        return answer

    async def _find_node(self, lookup: NodeLookup) -> Node | None:
        reply = await self._read("Catalog.NodeServices", NodeRequest(datacenter=lookup.datacenter, node=lookup.node))
        if reply.node_services is not None and reply.node_services.node is not None:
            node: Node = reply.node_services.node
            return node
        return await self._find_node(lookup.instead) if lookup.instead is not None else None

    # -- services

    async def _service(
        self, question: Question, lookup: ServiceLookup, udp: bool
    ) -> Answer | ShuffledAnswer | SampledAnswer:
        found = await self._found(lookup)
        if len(found) > ALL_MAX:
            return await self._of_many(question, lookup, found, udp)
        rows = answers.without_own_name(self._healthy(found, lookup, question.kind), question.name)
        if not rows:
            return self._negative()
        ttl = self.config.ttl_of_service(lookup.service)
        if all(answers.ip_of(address) is not None for address in set(map(answers.address_of, rows))):
            shuffled = ShuffledAnswer(question, rows, self.config, ttl, self._rng, udp=udp)
            return shuffled if shuffled.count else self._negative(dns.OK)
        self._rng.shuffle(rows)
        answer = await self._records(question, rows, ttl, udp)
        answer.cacheable = False  # targets that are host names may change without this service
        return answer

    async def _of_many(
        self, question: Question, lookup: ServiceLookup, found: Sequence[CheckServiceNode], udp: bool
    ) -> Answer | ShuffledAnswer | SampledAnswer:
        """An answer with a sample of many instances, computed over several turns of the reactor."""
        wan, ttl = self._is_translated(lookup.datacenter), self.config.ttl_of_service(lookup.service)
        many = ManyInstances(question, found, self.config, ttl, self._rng, udp=udp, wan=wan)
        drawn = await self._turns.run(many.sample())
        if drawn.is_empty:
            return self._negative()
        if not drawn.has_names:
            return await self._turns.run(many.answer(drawn)) or self._negative(dns.OK)
        answer = await self._records(question, drawn.rows, ttl, udp)
        answer.truncated |= self.config.enable_truncate and drawn.has_more and not many.is_limited
        answer.cacheable = False
        return answer

    async def _records(self, question: Question, rows: Sequence[CheckServiceNode], ttl: int, udp: bool) -> Answer:
        if question.kind == dns.SRV:
            groups = await self._srv_groups(question, rows, ttl)
        else:
            groups = await self._address_groups(question, rows, ttl)
        if not groups:
            return self._negative(dns.OK)
        return answers.fit(question, groups, self.config, udp=udp)

    async def _query(self, question: Question, lookup: QueryLookup, udp: bool, client: str) -> Answer:
        """The result of a prepared query, in its own order: servers shuffle it, or sort by distance."""
        subnet = question.edns.subnet_address if question.edns is not None else ""
        request = QueryExecuteRequest(
            datacenter=lookup.datacenter,
            query_id_or_name=lookup.query,
            source=QuerySource(ip=subnet or client),
            agent=QuerySource(datacenter=self.config.datacenter, node=self.config.node_name),
        )
        try:
            reply = await self._read("PreparedQuery.Execute", request)
        except RPCError as error:
            if _NO_QUERY in str(error):
                return self._negative()
            raise
        found = for_question(reply.nodes or (), question.kind, wan=self._is_translated(reply.datacenter))
        rows = answers.without_own_name(found, question.name)
        if rows:
            answer = await self._records(question, rows, self._ttl_of_query(reply), udp)
        else:
            answer = self._negative()
        answer.subnet_scope = True
        return answer

    def _ttl_of_query(self, reply: QueryExecuteReply) -> int:
        if reply.dns.ttl:
            try:
                return parse_duration_ns(reply.dns.ttl) // _NS_PER_S
            except DurationError:  # servers check it when it is stored
                _log.warn("query for {service} has a bad TTL: {ttl}", service=reply.service, ttl=reply.dns.ttl)
        return self.config.ttl_of_service(reply.service)

    async def _instances(self, lookup: ServiceLookup, kind: int) -> list[CheckServiceNode]:
        """The healthy instances, with the addresses that answer a question of type `kind`."""
        return self._healthy(await self._found(lookup), lookup, kind)

    def _healthy(self, found: Sequence[CheckServiceNode], lookup: ServiceLookup, kind: int) -> list[CheckServiceNode]:
        rows = answers.healthy(found, self.config.only_passing)
        return for_question(rows, kind, wan=self._is_translated(lookup.datacenter))

    async def _found(self, lookup: ServiceLookup) -> Sequence[CheckServiceNode]:
        """All instances."""
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

    async def _address_groups(self, question: Question, rows: Sequence[CheckServiceNode], ttl: int) -> list[Group]:
        limit = self.config.a_record_limit or len(rows)
        groups: list[Group] = []
        for address in dict.fromkeys(map(answers.address_of, rows)):
            if len(groups) >= limit:
                break
            ip = answers.ip_of(address)
            if ip is None:
                groups.append(Group(answers.alias_record(question.name, address, ttl)))
                groups += [Group(found) for found in await self._addresses_at(address, ttl, question.kind)]
            elif answers.wants(question.kind, ip):
                groups.append(Group(answers.address_record(question.name, ip, ttl)))
        return groups

    async def _srv_groups(self, question: Question, rows: Sequence[CheckServiceNode], ttl: int) -> list[Group]:
        groups: list[Group] = []
        seen: set[tuple[str, str, int] | None] = {None}
        for row in rows:
            place = answers.srv_key(row)
            if place in seen:
                continue
            seen.add(place)
            group = answers.srv_group(question, row, self.config, ttl)
            if not group.extras:
                group.extras += await self._addresses_at(answers.address_of(row), ttl, question.kind)
            group.extras += answers.node_meta(self.config, row, ttl)
            groups.append(group)
        return groups

    # -- the domain, and addresses

    async def _authority(self, question: Question) -> Answer:
        try:
            rows = await self._instances(ServiceLookup(CONSUL_SERVICE, self.config.datacenter), question.kind)
        except RPCError:
            if question.kind == dns.NS:
                raise
            rows = []  # the SOA does not need them
        self._rng.shuffle(rows)
        servers, glue = answers.name_servers(self.config, rows)
        if question.kind == dns.NS:
            return Answer(answers=servers, additional=glue)
        return Answer(answers=[self._soa()], authority=servers, additional=glue)

    async def _reverse(self, question: Question, lookup: ReverseLookup, udp: bool) -> Answer | bytes:
        name = await self._name_at(str(lookup.address)) if lookup.address is not None else ""
        if name:
            authority = [self._soa()] if question.kind == dns.SOA else []
            return Answer(answers=[answers.pointer(question, name)], authority=authority)
        if self.config.recursors:
            return await self._recursor.forward(question, self.config, udp=udp)
        return Answer(rcode=dns.ESERVER, authoritative=False, recursion=True)

    async def _name_at(self, address: str) -> str:
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

    # -- host names instead of addresses

    async def _addresses_at(self, host: str, ttl: int, kind: int) -> list[dns.RRHeader]:
        """The address and CNAME records of a host name, with the TTL of the answer that they belong to."""
        found = [each for each in await self._follow(host, 1, kind) if each.type in (dns.A, dns.AAAA, dns.CNAME)]
        for each in found:
            each.ttl = ttl
        return found

    async def _follow(self, host: str, depth: int, kind: int) -> list[dns.RRHeader]:
        """The records of a host name below the domain, else from the recursors; empty if it does not resolve.

        `kind`: the type of the client's question.
        """
        lookup = lookup_of(host, dns.ALL_RECORDS, self.config)
        if isinstance(lookup, ExternalName):
            return await self._recurse(host, kind) if self.config.recursors else []
        if depth > ALIAS_DEPTH_MAX:
            return []
        ttl = int(self.config.node_ttl_s)
        found: list[dns.RRHeader] = []
        addresses: list[str] = []
        try:
            if isinstance(lookup, NodeLookup):
                node = await self._find_node(lookup)
                if node is not None:
                    addresses = [address_of_node(node, kind, wan=self._is_translated(lookup.datacenter))]
                    found = answers.meta_records(host, node.meta, ttl)
            elif isinstance(lookup, ServiceLookup):
                ttl = self.config.ttl_of_service(lookup.service)
                rows = answers.without_own_name(await self._instances(lookup, kind), host)
                self._rng.shuffle(rows)
                addresses = list(dict.fromkeys(map(answers.address_of, rows)))
            elif isinstance(lookup, AddressLookup) and lookup.address is not None:
                addresses = [str(lookup.address)]
        except RPCError:
            return []
        records = []
        for address in addresses:
            ip = answers.ip_of(address)
            if ip is not None:
                records.append(answers.address_record(host, ip, ttl))
            else:
                records.append(answers.alias_record(host, address, ttl))
                records += await self._follow(address, depth + 1, kind)
        return records + found

    async def _recurse(self, host: str, kind: int) -> list[dns.RRHeader]:
        """The recursors' records of a host: addresses of the requested family, else of the other.

        Unlike in Consul, which requests IPv4 only. A question for A gets nothing else here either.
        """
        families = {dns.A: (dns.A,), dns.AAAA: (dns.AAAA, dns.A)}.get(kind, (dns.A, dns.AAAA))
        first: list[dns.RRHeader] = []
        for family in families:
            found = await self._recursor.addresses(host, self.config, family)
            if any(each.type == family for each in found):
                return found
            first = first or found
        return first

    # -- helpers

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
        if self._is_translated(getattr(reply, "datacenter", "") or request.datacenter):
            translate(reply)
        return reply

    def _is_translated(self, datacenter: str) -> bool:
        """Whether addresses of this datacenter ("": the own one) are translated for clients here."""
        return self.config.translate_wan_addrs and datacenter not in ("", self.config.datacenter)

    def _soa(self) -> dns.RRHeader:
        return answers.soa_record(self.config, int(self._wall_s()) & 0xFFFFFFFF)

    def _negative(self, rcode: int = dns.ENAME) -> Answer:
        return answers.negative(self.config, int(self._wall_s()) & 0xFFFFFFFF, rcode)
