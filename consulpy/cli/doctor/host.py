"""Facts of a host whose agent does not run: programs that hold an agent's ports, and the host's addresses."""

import errno
import ipaddress
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from consulpy.client.settings import ClientSettings
from consulpy.diagnosis.causes import Cause, Finding

#: The ports of an agent with the default configuration, and the socket types that it opens there.
PORTS: Final = {
    8300: (socket.SOCK_STREAM,),
    8301: (socket.SOCK_STREAM, socket.SOCK_DGRAM),
    8302: (socket.SOCK_STREAM, socket.SOCK_DGRAM),
    8500: (socket.SOCK_STREAM,),
    8600: (socket.SOCK_STREAM, socket.SOCK_DGRAM),
}
_KINDS: Final = {socket.SOCK_STREAM: "TCP", socket.SOCK_DGRAM: "UDP"}
_TABLES: Final = {socket.SOCK_STREAM: ("tcp", "tcp6"), socket.SOCK_DGRAM: ("udp", "udp6")}
#: In /proc/net/tcp: listening; in /proc/net/udp: unconnected.
_LISTENING: Final = {socket.SOCK_STREAM: "0A", socket.SOCK_DGRAM: "07"}
_PRIVATE: Final = [
    ipaddress.ip_network(cidr)
    for cidr in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16")
]


def agent_down_findings(settings: ClientSettings, why: str = "") -> list[Finding]:
    """No agent listens at the address: a finding that says so, and why it may not start. `why`: what was there."""
    text = f"No agent listens at {settings.address}{': ' if why else '.'}{' '.join(why.split())}"
    fix = f"start one (consulpy agent), or say with -http-addr where one listens instead of {settings.address}"
    return [Finding("agent", "fail", Cause.AGENT_DOWN, text, fix), *_ports(), *_addresses()]


def listens_here(address: str) -> bool:
    """Whether `address`, HOST:PORT, is of this host's loopback and a program listens at the port."""
    host, _, port = address.rpartition(":")
    is_loopback = host.strip("[]") in ("localhost", "::1") or host.startswith("127.")
    return is_loopback and port.isdecimal() and any(_inodes(int(port), socket.SOCK_STREAM))


def _ports() -> Iterator[Finding]:
    taken = [(port, kind) for port, kinds in PORTS.items() for kind in kinds if _is_taken(port, kind)]
    if not taken:
        yield Finding.passed("ports", f"The ports of an agent are free: {', '.join(map(str, PORTS))}.")
    holders = _holders({(port, kind): set(_inodes(port, kind)) for port, kind in taken})
    for port, kind in taken:
        holder = holders.get((port, kind), "")
        text = f"Port {port} ({_KINDS[kind]}) is held by another program: {holder or 'which one is not visible'}."
        fix = f"end {holder or f'the program at port {port} (ss -lnp)'}, or give the agent another port (ports)"
        yield Finding(f"port {port}", "warn", Cause.PORT_TAKEN, text, fix)


def _is_taken(port: int, kind: socket.SocketKind) -> bool:
    """Whether the port can't be opened on all addresses, as an agent would."""
    with socket.socket(socket.AF_INET, kind) as probe:
        if kind == socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


_Place = tuple[int, socket.SocketKind]


def _holders(inodes: dict[_Place, set[str]]) -> dict[_Place, str]:
    """The programs that hold ports, each with its process id, where the system shows it. `inodes`: of their sockets."""
    wanted = {f"socket:[{inode}]": place for place, found in inodes.items() for inode in found}
    holders: dict[_Place, str] = {}
    for process in Path("/proc").glob("[0-9]*"):
        if len(holders) == len(inodes):
            break
        try:
            names = [file.readlink().name for file in (process / "fd").iterdir()]
            held = [wanted[name] for name in names if name in wanted]
            if held:
                name = (process / "comm").read_text().strip()
                holders.update(dict.fromkeys(held, f"{name} (process {process.name})"))
        except OSError:  # it has ended, or is another user's
            continue
    return holders


def _inodes(port: int, kind: socket.SocketKind) -> Iterator[str]:
    for table in _TABLES[kind]:
        try:
            lines = Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if int(fields[1].rpartition(":")[2], 16) == port and fields[3] == _LISTENING[kind]:
                yield fields[9]


def _addresses() -> Iterator[Finding]:
    from consulpy.config.host import ThisHost

    addresses = [ipaddress.ip_address(each.address) for each in ThisHost().addresses()]
    outside = [address for address in addresses if address.version == 4 and not address.is_loopback]
    if outside and not any(address in network for address in outside for network in _PRIVATE):
        shown = ", ".join(map(str, outside))
        text = f"This host has no private IPv4 address ({shown}): an agent without -bind refuses to start."
        fix = f"start the agent with -bind {outside[0]} (or -advertise {outside[0]})"
        yield Finding("addresses", "warn", Cause.NO_PRIVATE_ADDRESS, text, fix)
    else:
        yield Finding.passed("addresses", "This host has an address that an agent can use.")
