"""go-sockaddr templates, for the cases that people use."""

import pytest

from consulpy.config.sockaddr import is_private, render
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


@pytest.mark.parametrize(
    ("text", "why"),
    [
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
