"""What the configuration asks of this host: its name, its addresses, whether an address is its own.

The only file of this room that opens sockets; everything else takes a `Host` by argument.
"""

import array
import fcntl
import ipaddress
import socket
import struct
from pathlib import Path
from typing import Final, Protocol

from consulpy.config.sockaddr import InterfaceAddress

_SIOCGIFCONF: Final = 0x8912
_SIOCGIFNETMASK: Final = 0x891B
_SIOCGIFFLAGS: Final = 0x8913
_IFF_UP: Final = 1
_IFF_LOOPBACK: Final = 8
#: Size of the kernel's `struct ifreq` on 64 bits: 16 of the name, 24 of the value.
_IFREQ_BYTES: Final = 40


class Host(Protocol):
    """The questions that `derive` asks."""

    def name(self) -> str:
        """The host's name."""

    def addresses(self) -> list[InterfaceAddress] | None:
        """The addresses of all interfaces; None if they are not to be asked for."""

    def owns(self, address: str) -> bool:
        """Whether a program here may listen at this IP address."""

    def machine_id(self) -> str:
        """What tells this machine from others for ever, or ""."""


class AnyHost:
    """Any machine: configurations are validated for it without a look at this one's addresses."""

    def name(self) -> str:
        """This host's name: every other one would do."""
        return socket.gethostname()

    def addresses(self) -> None:
        """Not known."""

    def owns(self, address: str) -> bool:
        """It may be."""
        return bool(address)

    def machine_id(self) -> str:
        """Not known."""
        return ""


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
    """All addresses of all interfaces, in the kernel's order; an alias such as eth0:1 is one more of eth0."""
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        for row in _interface_rows(asking):
            label, address = row[:16].rstrip(b"\0"), row[20:24]
            request = struct.pack("16s16s8x", label, row[16:32])
            try:
                mask = fcntl.ioctl(asking, _SIOCGIFNETMASK, request)[20:24]
            except OSError:  # it is gone meanwhile
                continue
            name = label.decode("utf-8", "replace").partition(":")[0]
            flags = _flags(asking, name)
            length = int.from_bytes(mask, "big").bit_count()
            up, loopback = bool(flags & _IFF_UP), bool(flags & _IFF_LOOPBACK)
            found.append(InterfaceAddress(name, ipaddress.IPv4Address(address), length, up, loopback))
    return found


def _interface_rows(asking: socket.socket) -> list[bytes]:
    """SIOCGIFCONF: a `struct ifreq` for each IPv4 address; asked for again with twice the space while it was full."""
    size = 64 * _IFREQ_BYTES
    while True:
        space = array.array("B", bytes(size))
        address, _ = space.buffer_info()
        used = struct.unpack("iP", fcntl.ioctl(asking, _SIOCGIFCONF, struct.pack("iP", size, address)))[0]
        if used < size:
            rows = space.tobytes()[:used]
            return [rows[at : at + _IFREQ_BYTES] for at in range(0, used, _IFREQ_BYTES)]
        size *= 2


def _flags(asking: socket.socket, name: str) -> int:
    try:
        answer = fcntl.ioctl(asking, _SIOCGIFFLAGS, struct.pack("16s24x", name.encode()[:15]))
    except OSError:
        return 0
    return int(struct.unpack("H", answer[16:18])[0])


def _ipv6_addresses() -> list[InterfaceAddress]:
    try:
        rows = Path("/proc/net/if_inet6").read_text(encoding="ascii").splitlines()
    except OSError:
        return []
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        for row in rows:
            digits, _, length, _, _, name = row.split()
            flags = _flags(asking, name)
            address = ipaddress.IPv6Address(bytes.fromhex(digits))
            up, loopback = bool(flags & _IFF_UP), bool(flags & _IFF_LOOPBACK)
            found.append(InterfaceAddress(name, address, int(length, 16), up, loopback))
    return found
