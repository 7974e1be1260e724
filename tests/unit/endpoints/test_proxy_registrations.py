"""Proxies and gateways in `Catalog.Register`: refused with the texts that a real server of 1.8.7 gave."""

from typing import Any

import pytest

from consulpy.errors import RPCError
from consulpy.rpc.endpoints._registration_checks import checked_registration
from consulpy.structs.requests import RegisterRequest
from consulpy.structs.service import ConnectProxy, Expose, ExposePath, NodeService, ServiceConnect, Upstream

GATEWAYS = ("mesh-gateway", "terminating-gateway", "ingress-gateway")


def refusal(service: NodeService) -> list[str]:
    """The lines of the error, none if there is none."""
    try:
        checked_registration(RegisterRequest(node="o", address="10.0.0.1", service=service))
    except RPCError as error:
        return [line.removeprefix("\t* ") for line in str(error).splitlines() if line.startswith("\t* ")]
    return []


def proxy(name: str = "web", port: int = 1, **fields: Any) -> NodeService:
    return NodeService(
        kind="connect-proxy", service="px", port=port, proxy=ConnectProxy(destination_service_name=name, **fields)
    )


def upstream(name: str, port: int, kind: str = "") -> Upstream:
    return Upstream(destination_name=name, local_bind_port=port, destination_type=kind)


@pytest.mark.parametrize(
    ("service", "lines"),
    [
        (proxy(), []),
        (proxy("*"), []),
        (proxy(" "), ["Proxy.DestinationServiceName must be non-empty for Connect proxy services"]),
        (proxy(upstreams=[upstream("*", 1)]), []),
        (proxy(upstreams=[upstream("", 1)]), ["upstream destination name cannot be empty"]),
        (proxy(upstreams=[upstream("a", 0)]), ["upstream local bind port cannot be zero"]),
        (proxy(upstreams=[upstream("a", 1, "zz")]), ['unknown upstream destination type: "zz"']),
        (
            proxy(upstreams=[upstream("a", 1), upstream("b", 1)]),
            [
                'upstreams cannot contain duplicates by local bind address and port; "127.0.0.1:1" is specified twice',
            ],
        ),
        (
            proxy(upstreams=[upstream("a", 1), upstream("a", 2)]),
            ['upstreams cannot contain duplicates of [type="", name="a", namespace="", datacenter=""]'],
        ),
        (
            proxy(port=0, expose=Expose(paths=[ExposePath(path="")])),
            [
                "Port must be set for a Connect proxy",
                "expose.paths: empty path exposed",
                "expose.paths: invalid listener port: 0",
            ],
        ),
        (
            proxy(expose=Expose(paths=[ExposePath(path="/a", protocol="zz", listener_port=1)])),
            ["protocol 'zz' not supported for path: /a, must be in: [http http2]"],
        ),
    ],
)
def test_proxies(service: NodeService, lines: list[str]) -> None:
    assert refusal(service) == lines


@pytest.mark.parametrize("kind", GATEWAYS)
def test_gateways(kind: str) -> None:
    fields = ConnectProxy(
        destination_service_name="x",
        destination_service_id="y",
        local_service_address="1",
        local_service_port=1,
        upstreams=[upstream("a", 1)],
    )
    names = ("DestinationServiceName", "DestinationServiceID", "LocalServiceAddress", "LocalServicePort", "Upstreams")
    assert refusal(NodeService(kind=kind, service="gw", port=1, proxy=fields)) == [
        f"The Proxy.{name} configuration is invalid for a {kind}" for name in names
    ]
    without_port = [f"Port must be non-zero for a {kind}"] if kind != "ingress-gateway" else []
    assert refusal(NodeService(kind=kind, service="gw")) == without_port
    native = proxy()
    native.connect = ServiceConnect(native=True)
    assert refusal(native) == ["A Proxy cannot also be Connect Native, only typical services"]


@pytest.mark.parametrize("config", [{"a": None}, {"a": [{"b": None}]}])
def test_a_null_in_a_proxys_settings_is_refused(config: dict[str, Any]) -> None:
    """1.8.7's catalog takes it; then its agents close the connection of whoever asks for such a service."""
    given = upstream("a", 1)
    given.config = config
    for service in (
        proxy(config=config),
        proxy(upstreams=[given]),
        NodeService(kind="mesh-gateway", service="gw", port=1, proxy=ConnectProxy(config=config)),
    ):
        (line,) = refusal(service)
        assert "is null: real Consul agents can't show such a service; leave the key out" in line
