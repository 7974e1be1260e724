"""The configuration of simulated agents: Consul's keys for all of them, and what each has of its own."""

import dataclasses
import ipaddress
import json
import re
import uuid
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, Final

from consulpy.config.flags import AgentFlags
from consulpy.config.load import read
from consulpy.config.schema import RuntimeConfig
from consulpy.config.sockaddr import InterfaceAddress
from consulpy.errors import ConfigError

#: Keys that the simulation sets itself.
_OWN_KEYS: Final = frozenset(
    (
        "advertise_addr",
        "bind_addr",
        "bootstrap",
        "bootstrap_expect",
        "client_addr",
        "data_dir",
        "node_id",
        "node_name",
        "retry_join",
        "server",
        "start_join",
    )
)
#: What the errors of a file begin with: `config` is read as one.
_OF_A_FILE: Final = re.compile(r"^-hcl( \d+:\d+)?: ")
#: Stands for the data directory while the configuration is validated.
_ANYWHERE: Final = "/simulated"


class SimulatedHost:
    """The host of one node (`consulpy.config.host.Host`)."""

    def __init__(self, name: str, address: str) -> None:
        self._name = name
        self._address = address

    def name(self) -> str:
        """The node's name."""
        return self._name

    def addresses(self) -> list[InterfaceAddress]:
        """Its one address."""
        return [InterfaceAddress("sim0", ipaddress.ip_address(self._address), 8, True, False)]

    def owns(self, address: str) -> bool:
        """Whether it is that one."""
        return address == self._address

    def resolve(self, name: str) -> str:
        """None: there is no DNS."""
        raise OSError(f"{name} is unknown")

    def machine_id(self) -> str:
        """None: node ids come from the seed."""
        return ""


def address_of(number: int) -> str:
    """The IP address of a node."""
    return f"10.{number // 62500}.{number // 250 % 250}.{number % 250 + 1}"


def check_keys(config: Mapping[str, Any]) -> None:
    """Raises `ConfigError` for keys that the simulation sets itself."""
    own = sorted(_OWN_KEYS & config.keys())
    if own:
        raise ConfigError(f"a simulation sets {', '.join(own)} itself")


def configs(config: Mapping[str, Any], seed: int | str, servers: int, clients: int) -> list[RuntimeConfig]:
    """The configurations of n0, n1 ..., servers first. Raises `ConfigError`."""
    check_keys(config)
    try:
        text = json.dumps(config)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"the settings of a simulation are values of JSON: {error}") from None
    rng = Random(f"{seed} node ids")
    to_join = [address_of(number) for number in range(min(servers or 3, servers + clients))]
    return [
        _config(text, number, str(uuid.UUID(int=rng.getrandbits(128), version=4)), servers, to_join)
        for number in range(servers + clients)
    ]


def _config(text: str, number: int, node_id: str, servers: int, to_join: Sequence[str]) -> RuntimeConfig:
    name, address, is_server = f"n{number}", address_of(number), number < servers
    values: dict[str, Any] = {
        "node_name": name,
        "node_id": node_id,
        "bind_addr": address,
        "client_addr": address,
        "data_dir": _ANYWHERE,
        "server": is_server,
        "retry_join": tuple(each for each in to_join if each != address),
    }
    if is_server:
        values["bootstrap_expect"] = servers
    try:
        found = read(AgentFlags(values, fragments=(text,)), SimulatedHost(name, address))
    except ConfigError as error:
        raise ConfigError(_OF_A_FILE.sub("config: ", str(error))) from None
    return dataclasses.replace(found, data_dir=None)
