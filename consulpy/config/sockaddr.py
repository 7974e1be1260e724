"""go-sockaddr address templates: a subset of its functions.

    {{ GetPrivateIP }}   {{ GetInterfaceIP "eth0" }}
    {{ GetPrivateInterfaces | include "network" "10.0.0.0/8" | attr "address" }}

The interfaces of the host are an argument. Source: go-sockaddr's documentation (template package).
"""

import ipaddress
import re
from collections.abc import Callable, Sequence
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

    @property
    def private(self) -> bool:
        """Whether the address is private."""
        return is_private(self.address)

    @property
    def public(self) -> bool:
        """Whether the address is public."""
        return is_public(self.address)

    @property
    def usable(self) -> bool:
        """Whether other hosts may reach it: up, neither loopback nor link-local."""
        return self.up and not (self.address.is_loopback or self.address.is_link_local or self.address.is_multicast)


def is_private(address: IPAddress) -> bool:
    """Whether go-sockaddr treats it as private: a forwardable network of RFC 6890. Source: Consul 1.8.7."""
    if isinstance(address, ipaddress.IPv4Address):
        return any(address in network for network in _PRIVATE)
    return address.is_private


def is_public(address: IPAddress) -> bool:
    """Whether go-sockaddr treats it as public: in no network of RFC 6890."""
    return not (is_private(address) or address.is_private or address.is_reserved)


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
    if len(step) == 2 and step[0] == "sort" and step[1].lstrip("-+") in _SORTS:
        order = _SORTS[step[1].lstrip("-+")]
        return sorted(chosen, key=order, reverse=step[1].startswith("-"))
    raise ValueError(f"{' '.join(step)!r} is not understood: expected include, exclude, sort, limit, attr or join")


_SORTS: Final[dict[str, Callable[[InterfaceAddress], tuple[int | str, ...]]]] = {
    "address": lambda one: (one.address.version, int(one.address)),
    "name": lambda one: (one.interface,),
    "type": lambda one: (one.address.version,),
    "size": lambda one: (-one.prefix_length,),
    "private": lambda one: (0 if one.private else 1,),
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
    if what == "rfc" and wanted == "6890":
        return not one.public
    if what == "rfc" and wanted in _RFC:
        return one.address.version == 4 and any(one.address in ipaddress.ip_network(each) for each in _RFC[wanted])
    if what == "flags":
        return all(flag != "loopback" or one.address.is_loopback for flag in wanted.lower().split("|"))
    raise ValueError(f"{what!r} is nothing to select by: expected name, address, network, type, rfc or flags")


def _shown(chosen: list[InterfaceAddress], step: list[str]) -> str:
    wanted = step[1] if len(step) > 1 else ""
    shows: dict[str, Callable[[InterfaceAddress], str]] = {
        "address": lambda one: str(one.address),
        "name": lambda one: one.interface,
    }
    if wanted not in shows:
        raise ValueError(f"{' '.join(step)!r} is not understood: expected attr or join with address or name")
    if step[0] == "attr":
        return str(shows[wanted](chosen[0])) if chosen else ""
    separator = step[2] if len(step) > 2 else " "
    return separator.join(str(shows[wanted](one)) for one in chosen)


def _first(found: Sequence[InterfaceAddress], keep: Callable[[InterfaceAddress], bool]) -> str:
    """The first fitting address, IPv4 ones before IPv6 ones."""
    fitting = sorted((one for one in found if one.usable and keep(one)), key=lambda one: one.address.version)
    return str(fitting[0].address) if fitting else ""


def _of_interface(found: Sequence[InterfaceAddress], arguments: list[str], every: bool) -> str:
    if len(arguments) != 1:
        raise ValueError('expected the name of an interface, as in GetInterfaceIP "eth0"')
    fitting = [one for one in found if re.fullmatch(arguments[0], one.interface) and not one.address.is_link_local]
    if not fitting:
        names = ", ".join(sorted({one.interface for one in found}))
        raise NoAddress(f"this host has no interface {arguments[0]!r} with an address; it has: {names}")
    fitting.sort(key=lambda one: one.address.version)
    return " ".join(str(one.address) for one in (fitting if every else fitting[:1]))


_ADDRESSES: Final[dict[str, Callable[[Sequence[InterfaceAddress], list[str]], str]]] = {
    "GetPrivateIP": lambda found, _: _first(found, lambda one: one.private),
    "GetPrivateIPs": lambda found, _: " ".join(str(one.address) for one in found if one.usable and one.private),
    "GetPublicIP": lambda found, _: _first(found, lambda one: one.public),
    "GetPublicIPs": lambda found, _: " ".join(str(one.address) for one in found if one.usable and one.public),
    "GetInterfaceIP": lambda found, arguments: _of_interface(found, arguments, every=False),
    "GetInterfaceIPs": lambda found, arguments: _of_interface(found, arguments, every=True),
}
_LISTS: Final[dict[str, Callable[[Sequence[InterfaceAddress]], list[InterfaceAddress]]]] = {
    "GetAllInterfaces": list,
    "GetDefaultInterfaces": lambda found: [one for one in found if one.usable],
    "GetPrivateInterfaces": lambda found: [one for one in found if one.usable and one.private],
    "GetPublicInterfaces": lambda found: [one for one in found if one.usable and one.public],
}
