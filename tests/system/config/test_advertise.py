"""Which address an agent advertises: each row was seen with a real agent of Consul 1.8.7 in such a namespace."""

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest

from consulpy.config.advertise import address_to_advertise
from consulpy.config.derive import derive
from consulpy.config.host import AnyHost
from consulpy.config.sockaddr import InterfaceAddress
from consulpy.errors import ConfigError
from tests.fakes.config import interface

LO = interface("lo", "127.0.0.1", 8)
LO6 = interface("lo", "::1", 128)


def eth(*addresses: str) -> list[InterfaceAddress]:
    return [LO, LO6, *(interface("eth0", address) for address in addresses)]


def down(found: list[InterfaceAddress]) -> list[InterfaceAddress]:
    return [dataclasses.replace(one, up=one.loopback) for one in found]


@pytest.mark.parametrize(
    ("bind", "found", "expected"),
    [
        ("0.0.0.0", [LO], "127.0.0.1"),
        ("0.0.0.0", eth("10.0.0.5"), "10.0.0.5"),
        ("0.0.0.0", eth("8.8.8.8", "10.0.0.6"), "10.0.0.6"),
        ("0.0.0.0", eth("172.31.255.254"), "172.31.255.254"),
        ("0.0.0.0", eth("192.168.1.1"), "192.168.1.1"),
        ("0.0.0.0", eth("100.64.1.1"), "100.64.1.1"),
        ("0.0.0.0", eth("169.254.3.3"), "169.254.3.3"),
        ("0.0.0.0", eth("127.5.5.5"), "127.5.5.5"),
        ("0.0.0.0", down(eth("10.0.0.5")), "127.0.0.1"),
        ("0.0.0.0", [*eth("10.0.0.5"), interface("lo", "10.1.1.1")], "10.0.0.5"),
        ("::", eth("2600::1"), "2600::1"),
        ("::", eth("fd00::1", "2600::1"), "2600::1"),
        ("[::]", eth("100::1"), "100::1"),
        ("::", [LO, LO6, interface("lo", "2600::1")], "2600::1"),
    ],
)
def test_the_one_address_that_fits(bind: str, found: list[InterfaceAddress], expected: str) -> None:
    assert address_to_advertise(bind, found) == expected


@pytest.mark.parametrize(
    "address",
    [
        *("8.8.8.8", "172.32.0.1", "11.0.0.1", "100.128.0.1", "198.18.0.1", "198.51.100.1", "203.0.113.1"),
        *("192.88.99.1", "240.0.0.1", "0.1.2.3", "fd00::1"),
    ],
)
def test_nothing_else_is_private(address: str) -> None:
    with pytest.raises(ConfigError, match=rf"^No private IPv4 address found: .*; this host has: {re.escape(address)}$"):
        address_to_advertise("0.0.0.0", eth(address))


@pytest.mark.parametrize("address", ["10.0.0.5", "fd00::1", "2001:db8::1", "fec0::1", "fe80::5"])
def test_what_is_no_public_ipv6_address(address: str) -> None:
    with pytest.raises(ConfigError, match=r"^No public IPv6 address found"):
        address_to_advertise("::", eth(address))


@pytest.mark.parametrize(
    ("bind", "found", "listed"),
    [
        (
            "0.0.0.0",
            [*eth("10.0.0.5"), interface("eth1", "192.168.1.2")],
            "private IPv4 addresses found (10.0.0.5, 192.168.1.2)",
        ),
        ("0.0.0.0", eth("10.0.0.5", "10.0.0.6"), "private IPv4 addresses found (10.0.0.5, 10.0.0.6)"),
        ("0.0.0.0", [LO, interface("lo", "10.1.1.1")], "private IPv4 addresses found (127.0.0.1, 10.1.1.1)"),
        ("::", eth("2600::1", "2600::2"), "public IPv6 addresses found (2600::1, 2600::2)"),
    ],
)
def test_several_are_listed(bind: str, found: list[InterfaceAddress], listed: str) -> None:
    text = f"Multiple {listed}. Please configure one with 'bind' and/or 'advertise'."
    with pytest.raises(ConfigError, match=f"^{re.escape(text)}$"):
        address_to_advertise(bind, found)


@pytest.mark.parametrize("address", ["192.0.0.2", "192.0.2.1"])
def test_what_only_consul_takes_for_private(address: str) -> None:
    """192.0.0.0/24 (such as the CLAT's 192.0.0.2) and 192.0.2.0/24 are for no peer: as on any host without one."""
    fault = f"No private IPv4 address found: give one with -advertise or -bind; this host has: {address}"
    with pytest.raises(ConfigError, match=f"^{re.escape(fault)}$"):
        address_to_advertise("0.0.0.0", eth(address))
    assert address_to_advertise("0.0.0.0", eth("10.0.0.5", address)) == "10.0.0.5"


@pytest.mark.peers
@pytest.mark.netns
@pytest.mark.parametrize(
    ("addresses", "said"),
    [
        (["192.0.0.2"], "Client Addr: [127.0.0.1]"),
        (["192.0.2.1"], "Client Addr: [127.0.0.1]"),
        (["10.0.0.5", "192.0.0.2"], "Multiple private IPv4 addresses found. Please configure one with"),
    ],
)
def test_consul_takes_them(addresses: list[str], said: str, tmp_path: Path) -> None:
    """So that the row in docs/differences.md stays true."""
    added = "; ".join(f"ip addr add {address}/24 dev w0" for address in addresses)
    script = f"""set -e
ip link set lo up; ip link add w0 type bridge; ip link set w0 up; {added}
exec timeout -k 1 2 consul agent -data-dir {tmp_path}
"""
    done = subprocess.run(
        ["unshare", "-n", "sh", "-c", script], capture_output=True, text=True, timeout=30, check=False
    )
    assert said in done.stdout + done.stderr


def test_validate_needs_no_address_of_this_host() -> None:
    for text in ("", "{{ GetPrivateIP }}", '{{ GetInterfaceIP "wan9" }}', '{{ GetAllInterfaces | attr "address" }}'):
        values = {"bind_addr": text} if text else {}
        assert derive(values, AnyHost()).advertise_addr == "127.0.0.1"
    with pytest.raises(ConfigError, match="is no function of address templates"):
        derive({"bind_addr": "{{ GetPrivateIPP }}"}, AnyHost())


@pytest.mark.netns
def test_the_kernel_tells_every_address_of_every_interface() -> None:
    """In a namespace of its own: a second address, an alias, a default route, and an interface that is down."""
    script = f"""set -e
ip link set lo up
ip link add w0 type bridge; ip link set w0 up
ip addr add 10.0.0.5/24 dev w0; ip addr add 10.0.0.6/24 dev w0; ip addr add 10.9.0.1/16 dev w0 label w0:1
ip link add w1 type bridge; ip addr add 10.7.0.1/8 dev w1
ip addr add 2600::1/64 dev w0 nodad
ip route add default via 10.9.0.9 dev w0
exec {sys.executable} -c '
from consulpy.config.host import ThisHost
for one in ThisHost().addresses():
    if not one.address.is_link_local:
        shown = (one.interface, f"{{one.address}}/{{one.prefix_length}}", one.up, one.loopback, one.default)
        print(*shown, *sorted(one.flags))'
"""
    done = subprocess.run(["unshare", "-n", "sh", "-c", script], capture_output=True, text=True, timeout=90, check=True)
    assert done.stdout.splitlines() == [
        "lo 127.0.0.1/8 True True False",
        "lo ::1/128 True True False",
        "w0 10.0.0.5/24 True False True broadcast multicast",
        "w0 10.9.0.1/16 True False True broadcast multicast",
        "w0 10.0.0.6/24 True False True broadcast multicast",
        "w0 2600::1/64 True False True broadcast multicast",
        "w1 10.7.0.1/8 False False False broadcast multicast",
    ]
