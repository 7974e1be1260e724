"""Settings of a proxy: from flags and from a registration. Source: `consul connect proxy` 1.8.7."""

from typing import Any

import pytest

from consulpy.errors import ConfigError
from consulpy.proxy.settings import Upstream, of_definition, split_address, upstream_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("db:8181", Upstream("db", 8181)),
        ("db:127.0.0.2:8181", Upstream("db", 8181, "127.0.0.2")),
        ("db:[::1]:8181", Upstream("db", 8181, "::1")),
        ("db::8181", Upstream("db", 8181)),
    ],
)
def test_an_upstream_is_a_name_and_an_address(text: str, expected: Upstream) -> None:
    assert upstream_of(text) == expected


@pytest.mark.parametrize(("text", "error"), [("x", "Upstream value should be name:addr"), ("x:y", "strconv.Atoi")])
def test_other_upstreams_are_refused(text: str, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        upstream_of(text)


@pytest.mark.parametrize("text", ["x", "::1:80", "a:b:80", "host:70000", "host:-1", "host:"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"address|strconv|out of range"):
        split_address(text)


def test_a_registration_gives_everything() -> None:
    registered: dict[str, Any] = {
        "Kind": "connect-proxy",
        "ID": "web-sidecar-proxy",
        "Address": "",
        "Port": 21000,
        "Proxy": {
            "DestinationServiceName": "web",
            "LocalServiceAddress": "127.0.0.1",
            "LocalServicePort": 80,
            "Config": {"bind_address": "10.0.0.1", "local_connect_timeout_ms": 1500},
            "Upstreams": [
                {
                    "DestinationType": "prepared_query",
                    "DestinationName": "q",
                    "Datacenter": "dc2",
                    "LocalBindPort": 99,
                    "Config": {"connect_timeout_ms": 200},
                }
            ],
        },
    }
    found = of_definition(registered)
    assert (found.service, found.listen_address, found.listen_port) == ("web", "10.0.0.1", 21000)
    assert (found.local_address, found.local_connect_timeout_s) == ("127.0.0.1:80", 1.5)
    assert found.upstreams == (Upstream("q", 99, "127.0.0.1", "prepared_query", "dc2", 0.2),)


@pytest.mark.parametrize(
    "registered",
    [
        {"Kind": "", "ID": "x"},
        {"Kind": "connect-proxy", "Proxy": {}},
        {
            "Kind": "connect-proxy",
            "Proxy": {"DestinationServiceName": "a", "Config": {"local_connect_timeout_ms": "soon"}},
        },
    ],
)
def test_other_registrations_are_refused(registered: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        of_definition(registered)
