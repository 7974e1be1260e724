"""What the configuration asks of this host: its name, its addresses, whether an address is its own.

The only file of this room that opens sockets; everything else takes a `Host` by argument.
"""

import fcntl
import ipaddress
import socket
import struct
from pathlib import Path
from typing import Final, Protocol

from consulpy.config.templates import InterfaceAddress

_SIOCGIFADDR: Final = 0x8915
_SIOCGIFNETMASK: Final = 0x891B
_SIOCGIFFLAGS: Final = 0x8913
_IFF_UP: Final = 1


class Host(Protocol):
    """The questions that `derive` asks."""

    def name(self) -> str:
        """The host's name."""

    def addresses(self) -> list[InterfaceAddress]:
        """The addresses of all interfaces."""

    def owns(self, address: str) -> bool:
        """Whether a program here may listen at this IP address."""

    def machine_id(self) -> str:
        """What tells this machine from others for ever, or ""."""


class ThisHost:
    """The machine that we run on (Linux; elsewhere only the name and `owns` are known)."""

    def name(self) -> str:
        """The host's name."""
        return socket.gethostname()

    def addresses(self) -> list[InterfaceAddress]:
        """The addresses of all interfaces; IPv4 first, in the kernel's order."""
        return [*_ipv4_addresses(), *_ipv6_addresses()]

    def owns(self, address: str) -> bool:
        """Whether a program here may listen at this IP address."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind((address, 0))
            except OSError:
                return False
        return True

    def machine_id(self) -> str:
        """The product's UUID, or the one that the system was installed with."""
        for path in ("/sys/class/dmi/id/product_uuid", "/etc/machine-id"):
            try:
                found = Path(path).read_text(encoding="ascii").strip().lower()
            except (OSError, UnicodeDecodeError):
                continue
            if found:
                return found
        return ""


def _ipv4_addresses() -> list[InterfaceAddress]:
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode()[:15])
            try:
                address = fcntl.ioctl(asking, _SIOCGIFADDR, request)[20:24]
                mask = fcntl.ioctl(asking, _SIOCGIFNETMASK, request)[20:24]
                flags = struct.unpack("H", fcntl.ioctl(asking, _SIOCGIFFLAGS, request)[16:18])[0]
            except OSError:  # an interface without an IPv4 address
                continue
            length = int.from_bytes(mask, "big").bit_count()
            found.append(InterfaceAddress(name, ipaddress.IPv4Address(address), length, bool(flags & _IFF_UP)))
    return found


def _ipv6_addresses() -> list[InterfaceAddress]:
    try:
        rows = Path("/proc/net/if_inet6").read_text(encoding="ascii").splitlines()
    except OSError:
        return []
    found = []
    for row in rows:
        digits, _, length, _, _, name = row.split()
        found.append(InterfaceAddress(name, ipaddress.IPv6Address(bytes.fromhex(digits)), int(length, 16)))
    return found
