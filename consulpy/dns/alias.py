"""Host names instead of addresses: CNAME records, and the addresses that they lead to."""

from random import Random
from typing import Final

from twisted.names import dns

from consulpy.dns import answer as answers
from consulpy.dns.catalog_reads import CatalogReads
from consulpy.dns.dual_stack import address_of_node
from consulpy.dns.question import AddressLookup, ExternalName, NodeLookup, QueryLookup, ServiceLookup, lookup_of
from consulpy.dns.recursor import Recursor
from consulpy.errors import RPCError
from consulpy.structs.service import CheckServiceNode

#: Depth to which host names below the domain are followed.
ALIAS_DEPTH_MAX: Final = 3


class AliasResolver:
    """Resolves host names that stand where an address could."""

    def __init__(self, reads: CatalogReads, recursor: Recursor, rng: Random) -> None:
        self._reads = reads
        self._recursor = recursor
        self._rng = rng

    async def addresses(self, host: str, ttl: int, kind: int) -> list[dns.RRHeader]:
        """The address and CNAME records of a host name, with the TTL of the answer that they belong to."""
        found = [each for each in await self.records(host, kind) if each.type in (dns.A, dns.AAAA, dns.CNAME)]
        for each in found:
            each.ttl = ttl
        return found

    async def records(self, host: str, kind: int, depth: int = 1) -> list[dns.RRHeader]:
        """The records of a host name below the domain, else from the recursors; empty if it does not resolve.

        `kind`: the type of the client's question.
        """
        config = self._reads.config
        lookup = lookup_of(host, dns.ALL_RECORDS, config)
        if isinstance(lookup, ExternalName):
            return await self._recurse(host, kind) if config.recursors else []
        if depth > ALIAS_DEPTH_MAX:
            return []
        ttl = int(config.node_ttl_s)
        found: list[dns.RRHeader] = []
        addresses: list[str] = []
        try:
            if isinstance(lookup, NodeLookup):
                node = await self._reads.find_node(lookup)
                if node is not None:
                    addresses = [address_of_node(node, kind, wan=self._reads.is_translated(lookup.datacenter))]
                    found = answers.meta_records(host, node.meta, ttl)
            elif isinstance(lookup, ServiceLookup):
                ttl = config.ttl_of_service(lookup.service)
                rows = self._reads.healthy(await self._reads.instances(lookup), lookup, kind)
                self._rng.shuffle(rows)
                addresses = self._chosen(rows, host, kind)
            elif isinstance(lookup, QueryLookup):
                result = await self._reads.query(lookup, kind, client="")
                if result is not None:
                    rows, reply = result
                    ttl = self._reads.ttl_of_query(reply)
                    addresses = self._chosen(rows, host, kind)
            elif isinstance(lookup, AddressLookup) and lookup.address is not None:
                addresses = [str(lookup.address)]
        except RPCError:
            return []
        records = []
        for address in addresses:
            ip = answers.ip_of(address)
            if ip is not None:
                records.append(answers.address_record(host, ip, ttl))
            elif answers.is_host_name(address):
                records.append(answers.alias_record(host, address, ttl))
                records += await self.records(address, kind, depth + 1)
        return records + found

    def _chosen(self, rows: list[CheckServiceNode], host: str, kind: int) -> list[str]:
        """As many IP addresses as an answer over UDP has, those of the requested family first; else one host name.

        Source of the number: seen in Consul, whatever the client's packets may hold.
        """
        config = self._reads.config
        found = list(dict.fromkeys(map(answers.address_of, answers.without_own_name(rows, host))))
        ips = [(address, ip) for address in found if (ip := answers.ip_of(address)) is not None]
        if not ips:
            return found[:1]
        ips.sort(key=lambda each: not answers.wants(kind, each[1]))
        most = min(config.udp_answer_limit, answers.UDP_ANSWER_LIMIT_MAX, config.a_record_limit or len(ips))
        return [address for address, _ in ips[:most]]

    async def _recurse(self, host: str, kind: int) -> list[dns.RRHeader]:
        """The recursors' records of a host: addresses of the requested family, else of the other.

        Unlike in Consul, which requests IPv4 only. A question for A gets nothing else here either.
        """
        families = {dns.A: (dns.A,), dns.AAAA: (dns.AAAA, dns.A)}.get(kind, (dns.A, dns.AAAA))
        first: list[dns.RRHeader] = []
        for family in families:
            found = await self._recursor.addresses(host, self._reads.config, family)
            if any(each.type == family for each in found):
                return found
            first = first or found
        return first
