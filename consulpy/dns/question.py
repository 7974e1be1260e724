"""Names to lookups. Pure; behaviour as seen in Consul 1.8.7 (tests/conformance, areas dns-*).

| name, below the domain | lookup |
|---|---|
| `NAME.node[.DATACENTER]` | a node; `NAME` may contain dots |
| `NAME.DATACENTER.node` | the same (not in Consul), if no node is called `NAME.DATACENTER` |
| `[TAG.]NAME.service[.DATACENTER]` | healthy instances; `TAG` may contain dots |
| `_NAME._TAG[.service][.DATACENTER]` | the same after RFC 2782, `_tcp` for all tags; without `service` for SRV only |
| `NAME.connect[.DATACENTER]`, `NAME.ingress[.DATACENTER]` | Connect-capable instances, ingress gateways |
| `NAME.query[.DATACENTER]` | a prepared query |
| `HEX.addr[...]` | the address written in hexadecimal, of either family |
| `_NAME._tcp.query[.DATACENTER]` | the same after RFC 2782 (Consul 1.15) |
| `...[.default.ns][.default.ap][.DATACENTER.dc]` in place of `[.DATACENTER]` | the same (Consul 1.14) |
| anything, types SOA and NS | the domain's authority |
| `*.arpa` | reverse lookup |
"""

import ipaddress
from typing import Final

from twisted.names import dns

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.dns.config import DnsConfig, split

_KINDS: Final = frozenset(("service", "connect", "ingress", "node", "query", "addr"))
#: Namespace, admin partition and datacenter, each after its name, in this order.
_SCOPES: Final = ("ns", "ap", "dc")
#: Bytes of an IPv4 and an IPv6 address.
_ADDRESS_SIZES: Final = (4, 16)

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class NodeLookup:
    """The address of a node. `instead`: the lookup to use if there is no such node."""

    node: str
    datacenter: str
    instead: "NodeLookup | None" = None


@dataclass(frozen=True, slots=True)
class ServiceLookup:
    """The healthy instances of a service. `tag`: "" for any."""

    service: str
    datacenter: str
    tag: str = ""
    connect: bool = False
    ingress: bool = False


@dataclass(frozen=True, slots=True)
class QueryLookup:
    """A prepared query, by name or id."""

    query: str
    datacenter: str


@dataclass(frozen=True, slots=True)
class AddressLookup:
    """An address written in the name; None if its length is that of no address."""

    address: IpAddress | None


@dataclass(frozen=True, slots=True)
class AuthorityLookup:
    """The authority of the domain: SOA or NS."""


@dataclass(frozen=True, slots=True)
class ReverseLookup:
    """The node or service that has an address; None if the name holds no complete address."""

    address: IpAddress | None


@dataclass(frozen=True, slots=True)
class NonexistentName:
    """A name below the domain that cannot exist."""


@dataclass(frozen=True, slots=True)
class ZoneTransfer:
    """A zone transfer: not implemented."""


@dataclass(frozen=True, slots=True)
class ExternalName:
    """A name outside the domains, for the recursors."""


Lookup = (
    NodeLookup
    | ServiceLookup
    | QueryLookup
    | AddressLookup
    | AuthorityLookup
    | ReverseLookup
    | NonexistentName
    | ZoneTransfer
    | ExternalName
)


def lookup_of(name: str, kind: int, config: DnsConfig) -> Lookup:
    """The lookup for a question of this name and type."""
    labels = split(name)
    for domain in config.domains():
        if labels[-len(domain) :] == domain:
            return _in_domain(labels[: -len(domain)], kind, config)
    if labels[-1:] == ("arpa",):
        return ReverseLookup(address_of_reverse(labels))
    return ExternalName()


def _in_domain(labels: tuple[str, ...], kind: int, config: DnsConfig) -> Lookup:
    if kind in (dns.SOA, dns.NS):
        return AuthorityLookup()
    if kind == dns.AXFR:
        return ZoneTransfer()
    found = _kind_label(labels, kind)
    if found is None:
        return NonexistentName()
    word, before, after = found
    if word == "addr":
        return _address(before)
    datacenter = _datacenter(after, config.datacenter)
    if not before or datacenter is None:
        return NonexistentName()
    if word == "node":
        instead = None
        if len(before) > 1 and not after:
            instead = NodeLookup(".".join(before[:-1]), before[-1])
        return NodeLookup(".".join(before), datacenter, instead)
    if word == "query":
        is_rfc = len(before) == 2 and before[0].startswith("_") and before[1] == "_tcp"
        return QueryLookup(before[0][1:] if is_rfc else ".".join(before), datacenter)
    if word == "service":
        return _service(before, datacenter)
    return ServiceLookup(before[-1], datacenter, connect=word == "connect", ingress=word == "ingress")


def _datacenter(after: tuple[str, ...], own: str) -> str | None:
    """The datacenter that the labels after the kind name; None if they mean nothing, or what only Enterprise has."""
    if len(after) < 2:
        return after[0] if after else own
    datacenter, words = own, list(_SCOPES)
    for value, word in zip(after[::2], after[1::2], strict=False):
        if word not in words or (word != "dc" and value != "default"):
            return None
        del words[: words.index(word) + 1]
        datacenter = value if word == "dc" else datacenter
    return None if len(after) % 2 else datacenter


def _kind_label(labels: tuple[str, ...], kind: int) -> tuple[str, tuple[str, ...], tuple[str, ...]] | None:
    """The last label that names a kind of lookup, with the labels before and after it."""
    for at in reversed(range(len(labels))):
        if labels[at] in _KINDS:
            return labels[at], labels[:at], labels[at + 1 :]
        if kind == dns.SRV and labels[at].startswith("_"):  # RFC 2782 names need no "service"
            return "service", labels[: at + 1], labels[at + 1 :]
    return None


def _service(before: tuple[str, ...], datacenter: str) -> ServiceLookup:
    if len(before) == 2 and all(label.startswith("_") for label in before):
        tag = before[1][1:]
        return ServiceLookup(before[0][1:], datacenter, "" if tag == "tcp" else tag)
    return ServiceLookup(before[-1], datacenter, ".".join(before[:-1]))


def _address(before: tuple[str, ...]) -> Lookup:
    if len(before) != 1:
        return NonexistentName()
    size = len(before[0]) // 2
    if size not in _ADDRESS_SIZES:
        return AddressLookup(None)
    try:
        packed = bytes.fromhex(before[0])
    except ValueError:
        return NonexistentName()
    return AddressLookup(ipaddress.ip_address(packed)) if len(packed) == size else NonexistentName()


def address_of_reverse(labels: tuple[str, ...]) -> IpAddress | None:
    """`1.0.0.10.in-addr.arpa` -> 10.0.0.1, and the same for `ip6.arpa`."""
    try:
        if labels[-2:] == ("in-addr", "arpa"):
            return ipaddress.IPv4Address(".".join(reversed(labels[:-2])))
        if labels[-2:] == ("ip6", "arpa") and all(len(label) == 1 for label in labels[:-2]):
            return ipaddress.IPv6Address(bytes.fromhex("".join(reversed(labels[:-2]))))
    except ValueError:
        pass
    return None
