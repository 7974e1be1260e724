"""Catalog results to DNS records: selection, order and truncation. Pure; behaviour as seen in Consul 1.8.7.

Instances come in a new random order each time. Over UDP a client without EDNS gets at most `udp_answer_limit` records,
any client at most what fits its payload size; the TC bit is set only if `enable_truncate` is.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import field, replace
from typing import Any, Final

from twisted.names import dns

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.dns.config import DnsConfig
from consulpy.dns.question import IpAddress
from consulpy.dns.wire import Answer, Question, Srv, encode, host_name, record, texts
from consulpy.structs.check import CRITICAL, PASSING, WARNING
from consulpy.structs.node import Node
from consulpy.structs.service import CheckServiceNode, NodeService

#: Most records in a UDP answer to a client without EDNS, whatever `udp_answer_limit` is.
UDP_ANSWER_LIMIT_MAX: Final = 8
#: Most records in an NS answer.
NAME_SERVER_LIMIT: Final = 3
#: Largest message over TCP in bytes, as Consul sends it.
TCP_SIZE_MAX: Final = 65523
#: Bytes of the smallest record: pointer, fixed fields, IPv4 address.
_SMALLEST_RECORD: Final = 16
_UDP_DEFAULT: Final = 512
#: Bytes of a label, and of a name without the last dot.
_LABEL_MAX: Final = 63
_NAME_TEXT_MAX: Final = 253
_RFC1035: Final = "rfc1035-"


@dataclass(slots=True)
class Group:
    """A record of the answer section with its additional records."""

    record: dns.RRHeader
    extras: list[dns.RRHeader] = field(default_factory=list)


def ip_of(text: str) -> IpAddress | None:
    """Parse an IP address; None for a host name.

    As Go 1.14's `ParseIP`: an IPv4-mapped IPv6 address is the IPv4 address, its numbers may have leading zeros. An
    address with a zone is none: no record can hold it.
    """
    if "%" in text:
        return None
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return _with_zeros(text)
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found


def _with_zeros(text: str) -> IpAddress | None:
    parts = text.split(".")
    if len(parts) != 4 or not all(part.isascii() and part.isdigit() and len(part) < 10 for part in parts):
        return None
    numbers = list(map(int, parts))
    return ipaddress.IPv4Address(bytes(numbers)) if max(numbers) < 256 else None


def is_host_name(text: str) -> bool:
    """Whether a name can be in a packet: labels of 1 to 63 bytes, 255 with their lengths (RFC 1035 2.3.4), or none."""
    name = text.removesuffix(".").encode("utf-8", "surrogateescape")
    if len(name) > _NAME_TEXT_MAX:
        return False
    return not name or all(0 < len(label) <= _LABEL_MAX for label in name.split(b"."))


def address_record(owner: str, address: IpAddress, ttl: int) -> dns.RRHeader:
    """An A or AAAA record."""
    if address.version == 4:
        return record(owner, dns.A, ttl, dns.Record_A(str(address), ttl))
    return record(owner, dns.AAAA, ttl, dns.Record_AAAA(str(address), ttl))


def alias_record(owner: str, target: str, ttl: int) -> dns.RRHeader:
    """A CNAME record."""
    payload = dns.Record_CNAME(ttl=ttl)
    payload.name = host_name(target)
    return record(owner, dns.CNAME, ttl, payload)


def meta_records(owner: str, meta: dict[str, str] | None, ttl: int) -> list[dns.RRHeader]:
    """A node's metadata as TXT; a key that begins with `rfc1035-` shows its value alone."""
    shown = (
        value if key.lower().startswith(_RFC1035) else f"{key}={value}" for key, value in sorted((meta or {}).items())
    )
    return [record(owner, dns.TXT, ttl, dns.Record_TXT(*texts(text), ttl=ttl)) for text in shown]


def soa_record(config: DnsConfig, serial: int) -> dns.RRHeader:
    """The SOA record of the domain."""
    domain, soa = ".".join(config.labels), config.soa
    payload = dns.Record_SOA(
        serial=serial,
        refresh=soa.refresh_s,
        retry=soa.retry_s,
        expire=soa.expire_s,
        minimum=soa.min_ttl_s,
        ttl=soa.min_ttl_s,
    )
    payload.mname, payload.rname = host_name(f"ns.{domain}"), host_name(f"hostmaster.{domain}")
    return record(domain, dns.SOA, soa.min_ttl_s, payload)


def negative(config: DnsConfig, serial: int, rcode: int = dns.ENAME) -> Answer:
    """A negative answer: no such name, or (`rcode` OK) no such record. Its SOA limits how long it may be cached."""
    return Answer(rcode=rcode, authority=[soa_record(config, serial)])


def node_name(config: DnsConfig, node: str, datacenter: str) -> str:
    """The full DNS name of a node."""
    return ".".join((node, "node", datacenter or config.datacenter, *config.labels))


def name_servers(config: DnsConfig, rows: Iterable[CheckServiceNode]) -> tuple[list[dns.RRHeader], list[dns.RRHeader]]:
    """NS records of the servers `rows`, and their glue (address records)."""
    domain, ttl = ".".join(config.labels), int(config.node_ttl_s)
    servers, glue = [], []
    for row in rows:
        if row.node is None or not _is_label(row.node.node):
            continue
        name = node_name(config, row.node.node, row.node.datacenter)
        payload = dns.Record_NS(ttl=ttl)
        payload.name = host_name(name)
        servers.append(record(domain, dns.NS, ttl, payload))
        address = ip_of(row.node.address)
        if address is not None:
            glue.append(address_record(name, address, ttl))
        if len(servers) == NAME_SERVER_LIMIT:
            break
    return servers, glue


def pointer(question: Question, target: str) -> dns.RRHeader:
    """A PTR record with TTL 0."""
    payload = dns.Record_PTR()
    payload.name = host_name(target)
    return record(question.name, dns.PTR, 0, payload)


def healthy(rows: Sequence[CheckServiceNode] | None, only_passing: bool) -> list[CheckServiceNode]:
    """The instances without a critical check; with `only_passing`, those whose checks all pass."""
    return [row for row in rows or () if may_serve(row, only_passing)]


def may_serve(row: CheckServiceNode, only_passing: bool) -> bool:
    """Whether an instance is healthy enough to be an answer."""
    statuses = {check.status for check in row.checks or ()}
    return statuses <= {PASSING} if only_passing else CRITICAL not in statuses


def address_of(row: CheckServiceNode) -> str:
    """The address of an instance: the service's, else its node's."""
    service, node = row.service or NodeService(), row.node or Node()
    return service.address or node.address


def without_own_name(rows: Sequence[CheckServiceNode], name: str) -> list[CheckServiceNode]:
    """The instances; one whose address is `name`, the queried name, gets its node's address instead."""
    name = name.lower().removesuffix(".")
    return [with_other_address(row, name) for row in rows]


def with_other_address(row: CheckServiceNode, name: str) -> CheckServiceNode:
    """The instance, at its node's address if its own is `name` (in lower case, without the last dot)."""
    return _at_its_node(row) if _is_at(row, name) else row


def _is_at(row: CheckServiceNode, name: str) -> bool:
    return row.service is not None and row.service.address.lower().removesuffix(".") == name


def _at_its_node(row: CheckServiceNode) -> CheckServiceNode:
    """The instance without the service's address, if its node has an IP address."""
    if row.service is None or row.node is None or ip_of(row.node.address) is None:
        return row
    return replace(row, service=replace(row.service, address=""))


def weight_of(row: CheckServiceNode) -> int:
    """The SRV weight of an instance: `weights.warning` while a check is warning, else `weights.passing`."""
    weights = row.service.weights if row.service is not None else None
    if weights is None:
        return 1
    warns = any(check.status == WARNING for check in row.checks or ())
    return min(max(weights.warning if warns else weights.passing, 0), 0xFFFF)


def srv_target(config: DnsConfig, row: CheckServiceNode) -> tuple[str, IpAddress | None]:
    """The SRV target of an instance, and its IP address; None if the target is an external host name."""
    service, node = row.service or NodeService(), row.node or Node()
    address = ip_of(address_of(row))
    if address is None:
        return address_of(row), None
    name = node_name(config, node.node, node.datacenter)
    if service.address or not is_host_name(name):
        name = ".".join((address.packed.hex(), "addr", node.datacenter or config.datacenter, *config.labels))
    return name, address


def srv_record(question: Question, row: CheckServiceNode, target: str, ttl: int) -> dns.RRHeader:
    """An SRV record; its priority is always 1."""
    port = row.service.port if row.service is not None else 0
    payload = Srv(1, weight_of(row), port & 0xFFFF, b"", ttl)  # type: ignore[no-untyped-call]
    payload.target = host_name(target)
    return record(question.name, dns.SRV, ttl, payload)


def srv_group(question: Question, row: CheckServiceNode, config: DnsConfig, ttl: int) -> Group:
    """An instance's SRV record, with the address record of its target if that has one."""
    target, ip = srv_target(config, row)
    extras = [address_record(target, ip, ttl)] if ip is not None else []
    return Group(srv_record(question, row, target, ttl), extras)


def node_meta(config: DnsConfig, row: CheckServiceNode, ttl: int) -> list[dns.RRHeader]:
    """TXT records with the metadata of an instance's node; empty if `node_meta_txt` is off."""
    if row.node is None or not config.node_meta_txt:
        return []
    name = node_name(config, row.node.node, row.node.datacenter)
    return meta_records(name, row.node.meta, ttl) if is_host_name(name) else []


def srv_key(row: CheckServiceNode) -> tuple[str, str, int] | None:
    """The key by which SRV answers are deduplicated: (node, address, port). None: the instance is left out."""
    if row.node is None or row.service is None:
        return None
    return row.node.node, row.service.address, row.service.port


def wants(kind: int, address: IpAddress) -> bool:
    """Whether a question of this type is answered with this address. Seen in Consul: TXT gets both families."""
    return kind in (dns.ALL_RECORDS, dns.TXT) or kind == (dns.A if address.version == 4 else dns.AAAA)


def limits(question: Question, config: DnsConfig, *, udp: bool) -> tuple[int, int]:
    """The largest size of an answer in bytes, and the most groups in it."""
    size_max = question.largest_udp if udp else TCP_SIZE_MAX
    count_max = size_max // _SMALLEST_RECORD
    if udp and size_max == _UDP_DEFAULT:
        count_max = min(count_max, config.udp_answer_limit, UDP_ANSWER_LIMIT_MAX)
    return size_max, count_max


def fit(question: Question, groups: list[Group], config: DnsConfig, *, udp: bool) -> Answer:
    """The answer with as many of the groups as may be sent.

    If they are not all, metadata is left out first, as in Consul: of the additional records there is one for each name
    that a target leads to.
    """
    size_max, count_max = limits(question, config, udp=udp)
    sent = groups[:count_max]
    size = _size(question, sent, config)
    if size > size_max or len(sent) < len(groups):
        sent = list(map(_with_target_only, sent))
        size = _size(question, sent, config)
    if size > size_max:
        fits, too_many = 0, len(sent)
        # Groups are of about the same size, and each look encodes them all: from a guess with growing steps.
        guess, step = max(len(sent) * size_max // size, 1), 1
        while too_many - fits > 1:
            if _size(question, sent[:guess], config) > size_max:
                too_many, following = guess, guess - step
            else:
                fits, following = guess, guess + step
            guess = following if fits < following < too_many else (fits + too_many) // 2
            step *= 2
        sent = sent[:fits]
    answer = _answer_with(sent)
    answer.truncated = config.enable_truncate and len(sent) < len(groups)
    return answer


def _with_target_only(group: Group) -> Group:
    """The group with the first record of its target, and of each name that an alias leads to."""
    payload: Any = group.record.payload
    if not isinstance(payload, Srv):
        return group
    by_owner: dict[bytes, Any] = {}
    for extra in group.extras:
        by_owner.setdefault(extra.name.name.lower(), extra)
    name, found = payload.target.name.lower(), []
    while name in by_owner:
        extra = by_owner.pop(name)
        found.append(extra)
        if extra.type == dns.CNAME:
            name = extra.payload.name.name.lower()
    return Group(group.record, found)


def _size(question: Question, groups: Sequence[Group], config: DnsConfig) -> int:
    return len(encode(question, _answer_with(groups), compress=not config.disable_compression))


def _answer_with(groups: Sequence[Group]) -> Answer:
    return Answer(
        answers=[group.record for group in groups], additional=[extra for group in groups for extra in group.extras]
    )


def _is_label(name: str) -> bool:
    """Whether a node's name is a DNS label."""
    return all(char.isascii() and (char.isalnum() or char in "-_") for char in name) and 0 < len(name) < 64
