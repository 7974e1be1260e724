"""Central defaults in a registration. Source: answers of Consul 1.8.7 with enable_central_service_config."""

from typing import Any

import pytest

from consulpy.connect.central_merge import configured_name, merge_settings, merged, upstream_ids
from consulpy.structs.config_entry_requests import ServiceConfigReply, UpstreamConfig, UpstreamId
from consulpy.structs.service import ConnectProxy, Expose, ExposePath, MeshGateway, NodeService, Upstream


@pytest.mark.parametrize(
    ("own", "defaults", "expected"),
    [
        ({}, {"a": 1}, {"a": 1}),
        ({"a": 5}, {"a": 1}, {"a": 5}),
        ({"a": 0, "e": ""}, {"a": 1, "e": "", "z": 0}, {"a": 1, "e": "", "z": 0}),
        ({"b": {"c": 9}}, {"b": {"c": 1, "d": 2}}, {"b": {"c": 9, "d": 2}}),
        ({"b": 1}, {"b": {"c": 1}}, {"b": 1}),
    ],
)
def test_own_values_win_unless_they_are_empty(own: Any, defaults: Any, expected: Any) -> None:
    before = repr(own)
    assert merge_settings(own, defaults) == expected
    assert repr(own) == before, "the registration itself is unchanged"


def proxy(**more: Any) -> NodeService:
    named = ConnectProxy(destination_service_name="web", destination_service_id="web", **more)
    return NodeService(kind="connect-proxy", id="px", service="px", port=9000, proxy=named)


@pytest.mark.parametrize(
    ("service", "name"),
    [
        (proxy(), "web"),
        (NodeService(kind="connect-proxy", proxy=ConnectProxy(destination_service_name="web")), ""),
        (NodeService(kind="mesh-gateway", service="gw"), "gw"),
        (NodeService(kind="terminating-gateway", service="gw"), "gw"),
        (NodeService(kind="ingress-gateway", service="gw"), "gw"),
        (NodeService(service="web"), ""),
        (NodeService(kind="magic", service="web"), ""),
    ],
)
def test_whom_defaults_are_for(service: NodeService, name: str) -> None:
    assert configured_name(service) == name


def test_everything_is_filled_in_where_the_registration_is_silent() -> None:
    defaults = ServiceConfigReply(
        proxy_config={"a": 1, "protocol": "http"},
        mesh_gateway=MeshGateway("local"),
        expose=Expose(True, [ExposePath(21501, "/x", 80)]),
        upstream_id_configs=[UpstreamConfig(UpstreamId("db"), {"protocol": "grpc"})],
    )
    upstreams = [
        Upstream("service", "", "db", local_bind_port=1, config={"x": 1}),
        Upstream("service", "", "db", "dc2", local_bind_port=2, mesh_gateway=MeshGateway("none")),
        Upstream("service", "", "other", local_bind_port=3),
        Upstream("prepared_query", "", "db", local_bind_port=4),
    ]
    service = proxy(config={"a": 2}, upstreams=upstreams)
    assert [each.id for each in upstream_ids(service)] == ["db", "other"]
    found = merged(service, defaults).proxy
    assert found.config == {"a": 2, "protocol": "http"}
    assert (found.mesh_gateway.mode, found.expose) == ("local", defaults.expose)
    assert [each.config for each in found.upstreams or ()] == [
        {"x": 1, "protocol": "grpc"},
        {"protocol": "grpc"},
        None,
        None,
    ]
    assert [each.mesh_gateway.mode for each in found.upstreams or ()] == ["local", "none", "local", ""]
    assert service.proxy.upstreams == upstreams, "the registration itself is unchanged"
    assert merged(service, ServiceConfigReply()) == service
