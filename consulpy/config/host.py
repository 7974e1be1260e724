"""Facts of this host for the configuration: its name, addresses and machine id.

The only file of this package that opens sockets; the others take a `Host` as an argument.
"""

import array
import fcntl
import ipaddress
import socket
import struct
from pathlib import Path
from typing import Final, Protocol

from consulpy.config.sockaddr import InterfaceAddress, IPAddress

_SIOCGIFCONF: Final = 0x8912
_SIOCGIFNETMASK: Final = 0x891B
_SIOCGIFFLAGS: Final = 0x8913
_IFF_UP: Final = 1
_IFF_LOOPBACK: Final = 8
#: Names of the flags that address templates know besides.
_IFF_NAMES: Final = {0x2: "broadcast", 0x10: "point-to-point", 0x1000: "multicast"}
#: Size of the kernel's `struct ifreq` on 64 bits: 16 of the name, 24 of the value.
_IFREQ_BYTES: Final = 40


class Host(Protocol):
    """Facts of a host that `derive` and `validate` need."""

    def name(self) -> str:
        """The host's name."""

    def addresses(self) -> list[InterfaceAddress] | None:
        """The addresses of all interfaces; None: unknown."""

    def owns(self, address: str) -> bool:
        """Whether the IP address can be bound."""

    def resolve(self, name: str) -> str:
        """An IP address of a host name, an IPv4 one if it has any. Blocks. Raises `OSError`."""

    def machine_id(self) -> str:
        """A permanent unique id of the machine, or ""."""


class AnyHost:
    """Any machine: for validation without this host's addresses."""

    def name(self) -> str:
        """An example in place of this host's name."""
        return socket.gethostname()

    def addresses(self) -> None:
        """Unknown."""

    def owns(self, address: str) -> bool:
        """Any address can be."""
        return bool(address)

    def resolve(self, name: str) -> str:
        """The name: it may resolve elsewhere."""
        return name

    def machine_id(self) -> str:
        """Unknown."""
        return ""


class ThisHost:
    """The machine that this runs on (Linux; elsewhere only `name` and `owns` work)."""

    def name(self) -> str:
        """The host's name."""
        return socket.gethostname()

    def addresses(self) -> list[InterfaceAddress]:
        """The addresses of all interfaces, in the kernel's order of these; IPv4 first."""
        indices = {name: index for index, name in socket.if_nameindex()}
        return sorted([*_ipv4_addresses(), *_ipv6_addresses()], key=lambda one: indices.get(one.interface, 0))

    def owns(self, address: str) -> bool:
        """Whether the IP address can be bound."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind((address, 0))
            except OSError:
                return False
        return True

    def resolve(self, name: str) -> str:
        """An IP address of a host name, an IPv4 one if it has any. Blocks. Raises `OSError`."""
        found = socket.getaddrinfo(name, None, type=socket.SOCK_DGRAM)
        return str(min(found, key=lambda one: one[0] != socket.AF_INET)[4][0])

    def machine_id(self) -> str:
        """The product UUID of the firmware, or /etc/machine-id."""
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
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for row in _interface_rows(control):
            label, address = row[:16].rstrip(b"\0"), row[20:24]
            request = struct.pack("16s16s8x", label, row[16:32])
            try:
                mask = fcntl.ioctl(control, _SIOCGIFNETMASK, request)[20:24]
            except OSError:  # removed meanwhile
                continue
            name = label.decode("utf-8", "replace").partition(":")[0]
            length = int.from_bytes(mask, "big").bit_count()
            found.append(_address(control, name, ipaddress.IPv4Address(address), length))
    return found


def _interface_rows(control: socket.socket) -> list[bytes]:
    """SIOCGIFCONF: a `struct ifreq` for each IPv4 address; repeated with twice the space while it was full."""
    size = 64 * _IFREQ_BYTES
    while True:
        space = array.array("B", bytes(size))
        address, _ = space.buffer_info()
        used = struct.unpack("iP", fcntl.ioctl(control, _SIOCGIFCONF, struct.pack("iP", size, address)))[0]
        if used < size:
            rows = space.tobytes()[:used]
            return [rows[at : at + _IFREQ_BYTES] for at in range(0, used, _IFREQ_BYTES)]
        size *= 2


def _address(control: socket.socket, name: str, address: IPAddress, length: int) -> InterfaceAddress:
    """An address with what the kernel says of its interface."""
    bits = _flags(control, name)
    flags = frozenset(text for bit, text in _IFF_NAMES.items() if bits & bit)
    is_default = name == _default_interface()
    return InterfaceAddress(name, address, length, bool(bits & _IFF_UP), bool(bits & _IFF_LOOPBACK), is_default, flags)


def _default_interface() -> str:
    """The interface of the IPv4 default route of the smallest metric, or ""."""
    try:
        rows = [line.split() for line in Path("/proc/net/route").read_text(encoding="ascii").splitlines()[1:]]
    except OSError:
        return ""
    defaults = [(int(row[6]), row[0]) for row in rows if row[1] == row[7] == "00000000"]
    return min(defaults, key=lambda each: each[0])[1] if defaults else ""


def _flags(control: socket.socket, name: str) -> int:
    try:
        answer = fcntl.ioctl(control, _SIOCGIFFLAGS, struct.pack("16s24x", name.encode()[:15]))
    except OSError:
        return 0
    return int(struct.unpack("H", answer[16:18])[0])


def _ipv6_addresses() -> list[InterfaceAddress]:
    try:
        rows = Path("/proc/net/if_inet6").read_text(encoding="ascii").splitlines()
    except OSError:
        return []
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for row in rows:
            digits, _, length, _, _, name = row.split()
            address = ipaddress.IPv6Address(bytes.fromhex(digits))
            found.append(_address(control, name, address, int(length, 16)))
    return found
