"""A fake host: name and interfaces given by the test."""

import ipaddress

from consulpy.config.sockaddr import InterfaceAddress


def interface(name: str, address: str, length: int = 24) -> InterfaceAddress:
    return InterfaceAddress(name, ipaddress.ip_address(address), length, loopback=name == "lo")


class FakeHost:
    """A host with one private address by default."""

    def __init__(self, *addresses: InterfaceAddress, name: str = "vm") -> None:
        self._addresses = list(addresses) or [interface("lo", "127.0.0.1", 8), interface("eth0", "10.0.0.5")]
        self._name = name
        #: Addresses by host name.
        self.names: dict[str, str] = {}

    def name(self) -> str:
        return self._name

    def addresses(self) -> list[InterfaceAddress]:
        return self._addresses

    def owns(self, address: str) -> bool:
        given = ipaddress.ip_address(address)
        return given.is_unspecified or given.is_loopback or given in [one.address for one in self._addresses]

    def resolve(self, name: str) -> str:
        if name in self.names:
            return self.names[name]
        raise OSError(f"{name} is unknown")

    def machine_id(self) -> str:
        return "b08481bb71d14f2a8a4e5b8a6e7c1b57"
