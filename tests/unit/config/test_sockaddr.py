"""go-sockaddr templates, for the cases that people use."""

import dataclasses

import pytest

from consulpy.config.sockaddr import InterfaceAddress, is_private, render
from tests.fakes.config import interface

HOST = [
    interface("lo", "127.0.0.1", 8),
    interface("eth0", "10.0.0.5"),
    interface("eth1", "172.20.20.10"),
    interface("eth1", "203.0.114.9"),
    interface("eth1", "fe80::1", 64),
    interface("eth2", "2001:4860::5", 64),
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.1.1.1", "10.1.1.1"),
        ("{{ GetPrivateIP }}", "10.0.0.5"),
        ("{{GetPrivateIPs}}", "10.0.0.5 172.20.20.10"),
        ("{{ GetPublicIP }}", "203.0.114.9"),
        ('{{ GetInterfaceIP "eth1" }}', "172.20.20.10"),
        ("{{ GetInterfaceIP `eth2` }}", "2001:4860::5"),
        ('{{ GetInterfaceIPs "eth1" }}', "172.20.20.10 203.0.114.9"),
        ('{{ GetPrivateInterfaces | include "network" "172.16.0.0/12" | attr "address" }}', "172.20.20.10"),
        (
            '{{ GetAllInterfaces | include "name" "^eth" | exclude "name" "eth0" | limit 1 | attr "address" }}',
            "172.20.20.10",
        ),
        ('{{ GetPrivateInterfaces | sort "-address" | attr "address" }}', "172.20.20.10"),
        ('{{ GetPrivateInterfaces | join "address" "," }}', "10.0.0.5,172.20.20.10"),
        ("{{ GetPrivateIP }}:8301", "10.0.0.5:8301"),
    ],
)
def test_a_template_becomes_addresses(text: str, expected: str) -> None:
    assert render(text, HOST) == expected


def _of_a_gateway() -> list[InterfaceAddress]:
    """Three interfaces that are up, the default route through w1, and one that is down."""
    kernel = frozenset({"broadcast", "multicast"})
    rows = [("w0", "10.0.0.5", 24), ("w0", "10.0.0.6", 24), ("w1", "192.168.4.4", 16), ("w1", "fd00::5", 64)]
    rows += [("w2", "8.8.4.4", 22), ("w2", "2600::9", 48), ("down0", "10.7.0.1", 24)]
    found = [interface("lo", "127.0.0.1", 8), interface("lo", "::1", 128)]
    for name, address, length in rows:
        one = interface(name, address, length)
        found.append(dataclasses.replace(one, up=name != "down0", default=name == "w1", flags=kernel))
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ GetPrivateIP }}", "192.168.4.4"),
        ("{{ GetPublicIP }}", "8.8.4.4"),
        ("{{ GetPrivateIPs }}", "192.168.4.4 10.0.0.5 10.0.0.6 10.7.0.1 fd00::5"),
        ('{{ GetInterfaceIPs "w." }}', "192.168.4.4 8.8.4.4 10.0.0.5 10.0.0.6 10.7.0.1 2600::9 fd00::5"),
        ('{{ GetDefaultInterfaces | join "address" " " }}', "192.168.4.4 fd00::5"),
        ('{{ GetPrivateInterfaces | join "address" " " }}', "192.168.4.4 fd00::5 10.0.0.5 10.0.0.6"),
        (
            '{{ GetAllInterfaces | include "flags" "forwardable" | join "address" " " }}',
            "10.0.0.5 10.0.0.6 192.168.4.4 fd00::5 8.8.4.4 2600::9 10.7.0.1",
        ),
        (
            '{{ GetAllInterfaces | exclude "flags" "link-local unicast" | limit 3 | join "address" " " }}',
            "127.0.0.1 ::1 10.0.0.5",
        ),
        ('{{ GetAllInterfaces | include "flags" "loopback|up" | join "address" " " }}', "127.0.0.1 ::1"),
        ('{{ GetAllInterfaces | include "flags" "broadcast" | attr "address" }}', "10.0.0.5"),
        ('{{ GetAllInterfaces | include "flags" "point-to-point" | attr "address" }}', ""),
        (
            '{{ GetAllInterfaces | sort "type,address" | join "address" " " }}',
            "8.8.4.4 10.0.0.5 10.0.0.6 10.7.0.1 127.0.0.1 192.168.4.4 ::1 2600::9 fd00::5",
        ),
        (
            '{{ GetAllInterfaces | sort "-size,address" | join "address" " " }}',
            "8.8.4.4 ::1 10.0.0.5 10.0.0.6 192.168.4.4 fd00::5 127.0.0.1 2600::9 10.7.0.1",
        ),
        (
            '{{ GetAllInterfaces | sort "private,address" | join "address" " " }}',
            "10.0.0.5 10.0.0.6 10.7.0.1 ::1 fd00::5 127.0.0.1 192.168.4.4 8.8.4.4 2600::9",
        ),
        ('{{ GetAllInterfaces | sort "address" | offset -1 | attr "address" }}', "10.7.0.1"),
        (
            '{{ GetAllInterfaces | include "type" "IPv4" | unique "name" | sort "address" | join "address" " " }}',
            "8.8.4.4 10.0.0.5 10.7.0.1 127.0.0.1 192.168.4.4",
        ),
        ('{{ GetAllInterfaces | include "size" "24" | join "address" " " }}', "10.0.0.5 10.0.0.6 10.7.0.1"),
    ],
)
def test_which_of_many_and_in_which_order(text: str, expected: str) -> None:
    """Seen with a real agent on such a host."""
    assert render(text, _of_a_gateway()) == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{{ GetAllInterfaces | include "flags" "fast" }}', "Unknown interface flag: 'fast'"),
        ('{{ GetAllInterfaces | sort "type,x" }}', "sort 'x' is not understood"),
        ('{{ GetAllInterfaces | offset 9 | attr "name" }}', "beyond the 6 addresses"),
        ("{{ GetNothing }}", "'GetNothing' is no function"),
        ('{{ GetInterfaceIP "eth9" }}', "no interface 'eth9'.*eth0, eth1, eth2, lo"),
        ("{{ GetInterfaceIP }}", "the name of an interface"),
        ("{{ GetPrivateInterfaces }}", 'attr "address"'),
        ("{{ GetAllInterfaces | shuffle }}", "'shuffle' is not understood"),
        ("{{ }}", "empty template"),
        ("{{ GetPrivateIP", "without }}"),
    ],
)
def test_a_mistake_says_what_was_expected(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        render(text, HOST)


@pytest.mark.parametrize(
    ("text", "private"),
    [
        ("10.0.0.1", True),
        ("100.64.0.1", True),
        ("192.88.99.1", True),
        ("198.18.0.1", True),
        ("192.0.2.2", False),
        ("198.51.100.1", False),
        ("240.0.0.1", False),
        ("8.8.8.8", False),
        ("fd00::2", True),
    ],
)
def test_private_is_what_templates_of_consul_take_for_private(text: str, private: bool) -> None:
    assert is_private(interface("x", text).address) is private
