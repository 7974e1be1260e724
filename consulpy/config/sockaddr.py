"""go-sockaddr address templates: a subset of its functions.

    {{ GetPrivateIP }}   {{ GetInterfaceIP "eth0" }}
    {{ GetPrivateInterfaces | include "network" "10.0.0.0/8" | attr "address" }}

The interfaces of the host are an argument. Source: go-sockaddr's documentation (template package).
"""

import ipaddress
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from consulpy.codec.lazy_dataclass import dataclass

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

#: The IPv4 networks of RFC 6890 that hosts may forward; Python's notion of private is another one.
_PRIVATE: Final = tuple(
    map(
        ipaddress.ip_network,
        ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15"),
    )
)
_RFC: Final = {"1918": ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"), "6598": ("100.64.0.0/10",)}
_TEMPLATE: Final = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_WORD: Final = re.compile(r'"((?:[^"\\]|\\.)*)"|`([^`]*)`|([^\s"`|]+)')


@dataclass(frozen=True)
class InterfaceAddress:
    """One address of one network interface of this host."""

    interface: str
    address: IPAddress
    prefix_length: int
    up: bool = True
    #: Whether the interface is the loopback.
    loopback: bool = False
    #: Whether the host's default route goes through the interface.
    default: bool = False
    #: What the kernel says of the interface besides: some of "broadcast", "multicast" and "point-to-point".
    flags: frozenset[str] = frozenset()

    @property
    def private(self) -> bool:
        """Whether the address is private."""
        return is_private(self.address)

    @property
    def public(self) -> bool:
        """Whether the address is public."""
        return is_public(self.address)

    @property
    def forwardable(self) -> bool:
        """Whether other networks may reach it: neither loopback nor link-local nor reserved."""
        bound = self.address.is_loopback or self.address.is_link_local or self.address.is_multicast
        return not bound and (self.private or self.public)

    @property
    def usable(self) -> bool:
        """Whether other hosts may reach it now."""
        return self.up and self.forwardable

    def has(self, flag: str) -> bool:
        """Whether a flag of `include "flags"` is set. Raises `ValueError` for an unknown one."""
        if flag not in _FLAGS:
            raise ValueError(f"Unknown interface flag: {flag!r}; known are: {', '.join(sorted(_FLAGS))}")
        return _FLAGS[flag](self)


def is_private(address: IPAddress) -> bool:
    """Whether go-sockaddr treats it as private: a forwardable network of RFC 6890. Source: Consul 1.8.7."""
    if isinstance(address, ipaddress.IPv4Address):
        return any(address in network for network in _PRIVATE)
    return address.is_private


def is_public(address: IPAddress) -> bool:
    """Whether go-sockaddr treats it as public: in no network of RFC 6890."""
    return not (is_private(address) or address.is_private or address.is_reserved)


#: Flags by which templates select, and how each is seen.
_FLAGS: Final[dict[str, Callable[[InterfaceAddress], bool]]] = {
    "up": lambda one: one.up,
    "down": lambda one: not one.up,
    "loopback": lambda one: one.loopback or one.address.is_loopback,
    "forwardable": lambda one: one.forwardable,
    "broadcast": lambda one: "broadcast" in one.flags,
    "multicast": lambda one: "multicast" in one.flags,
    "point-to-point": lambda one: "point-to-point" in one.flags,
    "unspecified": lambda one: one.address.is_unspecified,
    "global unicast": lambda one: (
        not (one.address.is_loopback or one.address.is_link_local or one.address.is_multicast)
        and not one.address.is_unspecified
    ),
    "link-local unicast": lambda one: one.address.is_link_local,
}


class NoAddress(ValueError):
    """A valid template that no address of this host matches."""


def render(text: str, found: Sequence[InterfaceAddress]) -> str:
    """`text` with each {{ }} replaced. Raises `ValueError` for an invalid template, `NoAddress`."""
    result = _TEMPLATE.sub(lambda match: _evaluate(match[1], found), text)
    if "{{" in result or "}}" in result:
        raise ValueError(f"{text!r} has {{{{ without }}}}")
    return result.strip()


def _evaluate(expression: str, found: Sequence[InterfaceAddress]) -> str:
    steps = [_words(step) for step in _split(expression)]
    if not steps or not steps[0]:
        raise ValueError("an empty template {{ }}")
    name, arguments = steps[0][0], steps[0][1:]
    if name in _ADDRESSES:
        if len(steps) > 1:
            raise ValueError(f"{name} gives an address already: nothing may follow it")
        return _ADDRESSES[name](found, arguments)
    if name not in _LISTS:
        known = ", ".join(sorted([*_ADDRESSES, *_LISTS]))
        raise ValueError(f"{name!r} is no function of address templates that is known here: {known}")
    chosen = _LISTS[name](found)
    for step in steps[1:]:
        if step[:1] in (["attr"], ["join"]):
            return _shown(chosen, step)
        chosen = _filtered(chosen, step)
    raise ValueError(f'{name} gives a list of interfaces: end with | attr "address"')


def _split(expression: str) -> list[str]:
    parts, quoted, current = [], "", ""
    for char in expression:
        if quoted:
            quoted = "" if char == quoted else quoted
        elif char in '"`':
            quoted = char
        elif char == "|":
            parts.append(current)
            current = ""
            continue
        current += char
    return [*parts, current]


def _words(step: str) -> list[str]:
    return [first or second or third for first, second, third in _WORD.findall(step)]


def _filtered(chosen: list[InterfaceAddress], step: list[str]) -> list[InterfaceAddress]:
    if len(step) == 3 and step[0] in ("include", "exclude"):
        keep = step[0] == "include"
        return [one for one in chosen if _matches(one, step[1], step[2]) is keep]
    if len(step) == 2 and step[0] == "limit" and step[1].isdecimal():
        return chosen[: int(step[1])]
    if len(step) == 2 and step[0] == "offset" and re.fullmatch(r"-?\d+", step[1]):
        if not -len(chosen) <= int(step[1]) <= len(chosen):
            raise ValueError(f"offset {step[1]} is beyond the {len(chosen)} addresses")
        return chosen[int(step[1]) :]
    if len(step) == 2 and step[0] == "unique" and step[1] in ("name", "address"):
        by = {_ATTRIBUTES[step[1]](one): one for one in reversed(chosen)}
        return [one for one in chosen if by[_ATTRIBUTES[step[1]](one)] is one]
    if len(step) == 2 and step[0] == "sort":
        return _sorted(chosen, step[1])
    raise ValueError(
        f"{' '.join(step)!r} is not understood: expected include, exclude, sort, limit, offset, unique, attr or join"
    )


#: Distance of the first pass of Go's sort.
_GAP: Final = 6


def _sorted(chosen: Sequence[InterfaceAddress], keys: str) -> list[InterfaceAddress]:
    """Addresses by keys such as "type,-size", in the order of Go's `sort.Sort` for short lists (sort.go of Go 1.14).

    Not `sorted`: an IPv4 and an IPv6 address have no order by address or size, and equal ones may change places.
    """
    orders = []
    for key in keys.split(","):
        name = key.strip().lower().lstrip("+-")
        if name not in _ORDERS:
            raise ValueError(f"sort {key!r} is not understood: expected {', '.join(sorted(_ORDERS))}, with - downwards")
        orders.append((_ORDERS[name], -1 if key.strip().startswith("-") else 1))

    def is_less(first: InterfaceAddress, second: InterfaceAddress) -> bool:
        return next((found < 0 for order, sign in orders if (found := order(first, second) * sign)), False)

    result = list(chosen)
    for at in range(_GAP, len(result)):
        if is_less(result[at], result[at - _GAP]):
            result[at - _GAP], result[at] = result[at], result[at - _GAP]
    for end in range(1, len(result)):
        at = end
        while at and is_less(result[at], result[at - 1]):
            result[at - 1], result[at] = result[at], result[at - 1]
            at -= 1
    return result


def _compare(first: int | str | bool, second: int | str | bool) -> int:
    return (first > second) - (first < second)  # type: ignore[operator]


def _of_one_type(value: Callable[[InterfaceAddress], int], first: InterfaceAddress, second: InterfaceAddress) -> int:
    """0 for addresses of two types."""
    return _compare(value(first), value(second)) if first.address.version == second.address.version else 0


def _private_first(first: InterfaceAddress, second: InterfaceAddress) -> int:
    if first.address.version == second.address.version:
        return _compare(first.public, second.public)
    return 0 if first.public else -1


#: Orders of `sort`: below 0 if the first address comes first; 0: undecided.
_ORDERS: Final[dict[str, Callable[[InterfaceAddress, InterfaceAddress], int]]] = {
    "address": partial(_of_one_type, lambda one: int(one.address)),
    "default": lambda first, second: _compare(second.default, first.default),
    "name": lambda first, second: _compare(first.interface, second.interface),
    "private": _private_first,
    "size": partial(_of_one_type, lambda one: one.prefix_length),
    "type": lambda first, second: _compare(first.address.version, second.address.version),
}
#: Attributes of an address for `attr`, `join` and `unique`.
_ATTRIBUTES: Final[dict[str, Callable[[InterfaceAddress], str]]] = {
    "address": lambda one: str(one.address),
    "name": lambda one: one.interface,
}


def _matches(one: InterfaceAddress, what: str, wanted: str) -> bool:
    if what == "name":
        return re.search(wanted, one.interface) is not None
    if what == "address":
        return re.search(wanted, str(one.address)) is not None
    if what == "network":
        network = ipaddress.ip_network(wanted, strict=False)
        return one.address.version == network.version and one.address in network
    if what == "type":
        return wanted.lower() in ("ip", f"ipv{one.address.version}")
    if what == "size" and wanted.isdecimal():
        return one.prefix_length == int(wanted)
    if what == "rfc" and wanted == "6890":
        return not one.public
    if what == "rfc" and wanted in _RFC:
        return one.address.version == 4 and any(one.address in ipaddress.ip_network(each) for each in _RFC[wanted])
    if what == "flags":
        return all(one.has(flag.strip()) for flag in wanted.lower().split("|"))
    raise ValueError(f"{what!r} is nothing to select by: expected name, address, network, size, type, rfc or flags")


def _shown(chosen: list[InterfaceAddress], step: list[str]) -> str:
    wanted = step[1] if len(step) > 1 else ""
    if wanted not in _ATTRIBUTES:
        raise ValueError(f"{' '.join(step)!r} is not understood: expected attr or join with address or name")
    values = [_ATTRIBUTES[wanted](one) for one in chosen]
    if step[0] == "attr":
        return values[0] if values else ""
    separator = step[2] if len(step) > 2 else " "
    return separator.join(values)


def _usable(found: Sequence[InterfaceAddress], keep: Callable[[InterfaceAddress], bool]) -> list[InterfaceAddress]:
    """Usable addresses: those of the default route's interface first, then IPv4, then by the size of their network."""
    return [one for one in _sorted(found, "default,type,size") if one.usable and keep(one)]


def _first(found: Sequence[InterfaceAddress], keep: Callable[[InterfaceAddress], bool]) -> str:
    return next((str(one.address) for one in _usable(found, keep)), "")


def _all(found: Sequence[InterfaceAddress], keep: Callable[[InterfaceAddress], bool]) -> str:
    """Every forwardable address, of interfaces that are down too, as in go-sockaddr."""
    return " ".join(str(one.address) for one in _sorted(found, "type,size") if one.forwardable and keep(one))


def _of_interface(found: Sequence[InterfaceAddress], arguments: list[str], every: bool) -> str:
    if len(arguments) != 1:
        raise ValueError('expected the name of an interface, as in GetInterfaceIP "eth0"')
    fitting = [one for one in _sorted(found, "type,size") if re.search(arguments[0], one.interface) and one.forwardable]
    if not fitting:
        names = ", ".join(sorted({one.interface for one in found}))
        raise NoAddress(f"this host has no interface {arguments[0]!r} with an address; it has: {names}")
    return " ".join(str(one.address) for one in (fitting if every else fitting[:1]))


def _is_private(one: InterfaceAddress) -> bool:
    return one.private


def _is_public(one: InterfaceAddress) -> bool:
    return one.public


_ADDRESSES: Final[dict[str, Callable[[Sequence[InterfaceAddress], list[str]], str]]] = {
    "GetPrivateIP": lambda found, _: _first(found, _is_private),
    "GetPrivateIPs": lambda found, _: _all(found, _is_private),
    "GetPublicIP": lambda found, _: _first(found, _is_public),
    "GetPublicIPs": lambda found, _: _all(found, _is_public),
    "GetInterfaceIP": lambda found, arguments: _of_interface(found, arguments, every=False),
    "GetInterfaceIPs": lambda found, arguments: _of_interface(found, arguments, every=True),
}
_LISTS: Final[dict[str, Callable[[Sequence[InterfaceAddress]], list[InterfaceAddress]]]] = {
    "GetAllInterfaces": list,
    "GetDefaultInterfaces": lambda found: [one for one in found if one.default],
    "GetPrivateInterfaces": lambda found: _usable(found, _is_private),
    "GetPublicInterfaces": lambda found: _usable(found, _is_public),
}
