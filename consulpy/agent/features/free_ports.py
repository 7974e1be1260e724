"""Free ports for an agent inside another program: several agents share one address.

Numbers are below those that systems give to outgoing connections, so that an agent which stops and starts again finds
its own ones free. A number that another program takes before the agent listens is an error there; others are chosen.
"""

import dataclasses
import socket
from collections.abc import Collection
from random import Random
from typing import Final

from consulpy.config.schema import RuntimeConfig
from consulpy.errors import ConfigError

#: The range of the numbers: above the usual servers, below the ephemeral ports of Linux, macOS and BSD.
FIRST: Final = 20_000
LAST: Final = 32_767
#: Numbers tried for one port.
TRIES: Final = 200


def with_free_ports(config: RuntimeConfig, named: Collection[str], rng: Random) -> RuntimeConfig:
    """`config` with a free port for each listener that is open and not `named`. Raises `ConfigError`."""
    ports = config.ports
    client = next((each for each in config.client_addrs if not each.startswith(("/", "unix://"))), config.bind_addr)
    listeners = {
        "http": client,
        "dns": client,
        "serf_lan": config.serf_lan_bind or config.bind_addr,
        **({"serf_wan": config.serf_wan_bind or config.bind_addr, "server": config.bind_addr} if config.server else {}),
    }
    taken = {getattr(ports, name) for name in named if isinstance(getattr(ports, name, None), int)}
    chosen: dict[str, int] = {}
    for name, address in listeners.items():
        if name not in named and getattr(ports, name) > 0:
            chosen[name] = free_port(address, rng, taken | set(chosen.values()))
    return dataclasses.replace(config, ports=dataclasses.replace(ports, **chosen))


def free_port(address: str, rng: Random, taken: Collection[int] = ()) -> int:
    """A number that is free now for TCP and for UDP. Raises `ConfigError`."""
    for _ in range(TRIES):
        port = rng.randint(FIRST, LAST)
        if port not in taken and _is_free(address, port):
            return port
    raise ConfigError(f"no free port on {address} between {FIRST} and {LAST}, after {TRIES} tries")


def _is_free(address: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(family, kind) as probe:
            if kind == socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError:
                return False
    return True
