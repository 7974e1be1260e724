"""Recursors of the configuration: their form, and the addresses of those that are named.

Source: Consul 1.8.7, which resolves the names at the start and ends if one does not resolve. Here at each reload too.
"""

import ipaddress
import re

from consulpy.config.host import Host
from consulpy.errors import ConfigError


def is_recursor(text: str) -> bool:
    """Whether it is an IP address or a host name, perhaps with a port."""
    host, port = _parts(text)
    if (
        not _is_address(host)
        and re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*[A-Za-z][A-Za-z0-9.-]*|[A-Za-z]", host) is None
    ):
        return False
    return not port or (port.isdecimal() and len(port) <= 5 and 0 < int(port) < 65536)


def resolved(text: str, host: Host) -> str:
    """The recursor with an address in place of its name. Blocks. Raises `ConfigError`."""
    name, port = _parts(text)
    if _is_address(name):
        return text
    try:
        address = host.resolve(name)
    except OSError as error:
        raise ConfigError(f"Invalid recursor address: recursors: lookup {name}: {error.strerror or error}") from None
    if not port:
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _parts(text: str) -> tuple[str, str]:
    """Host and port; "": none."""
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        return host, port.removeprefix(":")
    host, _, port = text.partition(":") if text.count(":") == 1 else (text, "", "")
    return host, port
