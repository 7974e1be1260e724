"""The address that an agent advertises when the configuration names none.

Source: Consul 1.8.7. Bound to 0.0.0.0 it is the one private IPv4 address of the interfaces that are up, bound to ::
the one public IPv6 address; loopback counts only where no other interface that is up has any address.

Not as Consul, which takes two blocks more for private IPv4: 192.0.0.0/24 is for protocols on the host itself, as the
CLAT's 192.0.0.2 of 464XLAT, which no peer reaches; 192.0.2.0/24 is for documentation only.
"""

import ipaddress
from collections.abc import Sequence
from typing import Final

from consulpy.config.sockaddr import InterfaceAddress
from consulpy.errors import ConfigError

_NETWORKS: Final = {
    4: "10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.168.0.0/16",
    6: "::1/128 fc00::/7 fe80::/10 fec0::/10 2001:db8::/32",
}
#: Networks that count as private, by IP version.
PRIVATE: Final = {
    version: tuple(ipaddress.ip_network(text) for text in texts.split()) for version, texts in _NETWORKS.items()
}


def is_private(one: InterfaceAddress) -> bool:
    """Whether the address counts as private here."""
    return any(one.address in network for network in PRIVATE[one.address.version])


def active(found: Sequence[InterfaceAddress]) -> list[InterfaceAddress]:
    """Addresses of interfaces that are up; those of loopback only if there are no others."""
    up = [one for one in found if one.up]
    return [one for one in up if not one.loopback] or up


def address_to_advertise(bind: str, found: Sequence[InterfaceAddress]) -> str:
    """The address for an agent bound to `bind` ("0.0.0.0" or "::"). Raises `ConfigError` unless exactly one fits."""
    candidates = active(found)
    if bind == "0.0.0.0":
        what, fitting = "private IPv4", [one for one in candidates if one.address.version == 4 and is_private(one)]
    else:
        what, fitting = "public IPv6", [one for one in candidates if one.address.version == 6 and not is_private(one)]
    shown = [str(one.address) for one in fitting]
    if len(shown) == 1:
        return shown[0]
    if shown:
        raise ConfigError(
            f"Multiple {what} addresses found ({', '.join(shown)}). "
            "Please configure one with 'bind' and/or 'advertise'."
        )
    others = ", ".join(str(one.address) for one in candidates) or "none"
    raise ConfigError(f"No {what} address found: give one with -advertise or -bind; this host has: {others}")
