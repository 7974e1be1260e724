"""Lookups to answers: the RPC reads behind each kind of name, and the resolution of addresses that are host names.

An unknown datacenter is an unknown name; any other failure is SERVFAIL.
"""

from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from twisted.names import dns

from consulpy.dns import answer as answers
from consulpy.dns.alias import AliasResolver
from consulpy.dns.answer import Group
from consulpy.dns.cache import CacheableAnswer
from consulpy.dns.catalog_reads import CatalogReads
from consulpy.dns.config import DnsConfig
from consulpy.dns.dual_stack import address_of_node
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
from consulpy.log import Logger
from consulpy.rpc.cache.tag import NODE, SERVICE, CacheTag, Validator
from consulpy.rpc.caller import Caller
from consulpy.structs.service import CONSUL_SERVICE, CheckServiceNode

#: Question types that a node name has answers to.
_OF_NODES: Final = (dns.A, dns.AAAA, dns.TXT, dns.ALL_RECORDS)
_NO_DATACENTER: Final = "No path to datacenter"

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
        self._reads = CatalogReads(config, caller, token)
        self._aliases = AliasResolver(self._reads, recursor, rng)
        self._wall_s = wall_s
        self._rng = rng
        self._recursor = recursor
        self._validator = validator
        self._turns = turns

    @property
    def config(self) -> DnsConfig:
        """The configuration in use."""
        return self._reads.config

    @config.setter
    def config(self, config: DnsConfig) -> None:
        self._reads.config = config

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
        node = await self._reads.find_node(lookup)
        if node is None:
            return self._negative()
        kind, ttl = question.kind, int(self.config.node_ttl_s)
        answer = Answer()
        if kind in (dns.A, dns.AAAA, dns.ALL_RECORDS):
            text = address_of_node(node, kind, wan=self._reads.is_translated(lookup.datacenter))
            address = answers.ip_of(text)
            if address is None:
                answer.cacheable = False  # the target may change without this node
                if answers.is_host_name(text):
                    answer.answers.append(answers.alias_record(question.name, text, ttl))
                    answer.answers += await self._aliases.records(text, kind)
            elif answers.wants(kind, address):
                answer.answers.append(answers.address_record(question.name, address, ttl))
        if kind in (dns.TXT, dns.ALL_RECORDS):
            answer.answers += answers.meta_records(question.name, node.meta, ttl)
        elif kind in (dns.A, dns.AAAA) and self.config.node_meta_txt:
            answer.additional += answers.meta_records(question.name, node.meta, ttl)
        return answer

    # -- services

    async def _service(
        self, question: Question, lookup: ServiceLookup, udp: bool
    ) -> Answer | ShuffledAnswer | SampledAnswer:
        found = await self._reads.instances(lookup)
        if len(found) > ALL_MAX:
            return await self._of_many(question, lookup, found, udp)
        rows = answers.without_own_name(self._reads.healthy(found, lookup, question.kind), question.name)
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
        wan, ttl = self._reads.is_translated(lookup.datacenter), self.config.ttl_of_service(lookup.service)
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
        result = await self._reads.query(lookup, question.kind, subnet or client)
        if result is None or not result[0]:
            return self._negative()
        found, reply = result
        rows = answers.without_own_name(found, question.name)
        answer = await self._records(question, rows, self._reads.ttl_of_query(reply), udp)
        answer.subnet_scope = True
        return answer

    async def _address_groups(self, question: Question, rows: Sequence[CheckServiceNode], ttl: int) -> list[Group]:
        """The addresses of instances, else one host name: a CNAME stands beside no other record (RFC 1034 3.6.2)."""
        limit = self.config.a_record_limit or len(rows)
        groups: list[Group] = []
        alias = ""
        for address in dict.fromkeys(map(answers.address_of, rows)):
            if len(groups) >= limit:
                break
            ip = answers.ip_of(address)
            if ip is None:
                alias = alias or (address if answers.is_host_name(address) else "")
            elif answers.wants(question.kind, ip):
                groups.append(Group(answers.address_record(question.name, ip, ttl)))
        if groups or not alias:
            return groups
        found = await self._aliases.addresses(alias, ttl, question.kind)
        return [Group(answers.alias_record(question.name, alias, ttl)), *map(Group, found)]

    async def _srv_groups(self, question: Question, rows: Sequence[CheckServiceNode], ttl: int) -> list[Group]:
        groups: list[Group] = []
        seen: set[tuple[str, str, int] | None] = {None}
        for row in rows:
            place = answers.srv_key(row)
            if place in seen:
                continue
            seen.add(place)
            if not answers.is_host_name(answers.srv_target(self.config, row)[0]):
                continue
            group = answers.srv_group(question, row, self.config, ttl)
            if not group.extras:
                group.extras += await self._aliases.addresses(answers.address_of(row), ttl, question.kind)
            group.extras += answers.node_meta(self.config, row, ttl)
            groups.append(group)
        return groups

    # -- the domain, and addresses

    async def _authority(self, question: Question) -> Answer:
        try:
            servers_lookup = ServiceLookup(CONSUL_SERVICE, self.config.datacenter)
            found = await self._reads.instances(servers_lookup)
            rows = self._reads.healthy(found, servers_lookup, question.kind)
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
        name = await self._reads.name_at(str(lookup.address)) if lookup.address is not None else ""
        if name:
            authority = [self._soa()] if question.kind == dns.SOA else []
            return Answer(answers=[answers.pointer(question, name)], authority=authority)
        if self.config.recursors:
            return await self._recursor.forward(question, self.config, udp=udp)
        return Answer(rcode=dns.ESERVER, authoritative=False, recursion=True)

    # -- helpers

    def _soa(self) -> dns.RRHeader:
        return answers.soa_record(self.config, int(self._wall_s()) & 0xFFFFFFFF)

    def _negative(self, rcode: int = dns.ENAME) -> Answer:
        return answers.negative(self.config, int(self._wall_s()) & 0xFFFFFFFF, rcode)
