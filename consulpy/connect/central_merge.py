"""Central defaults merged into a proxy's registration: proxy-defaults and service-defaults (pure).

Source: `/v1/agent/service/ID` of Consul 1.8.7 with `enable_central_service_config`, docs/wire/connect.md.
"""

import dataclasses
from typing import Any, Final

from consulpy.structs.config_entry_requests import ServiceConfigReply, UpstreamId
from consulpy.structs.service import Expose, MeshGateway, NodeService, Upstream

CONNECT_PROXY: Final = "connect-proxy"
GATEWAYS: Final = ("mesh-gateway", "terminating-gateway", "ingress-gateway")
_SERVICE: Final = "service"


def configured_name(service: NodeService) -> str:
    """The service whose defaults apply to a registration; "" if none do.

    They apply to gateways, and to proxies that name the instance that they stand before.
    """
    if service.kind == CONNECT_PROXY and service.proxy.destination_service_id:
        return service.proxy.destination_service_name
    return service.service if service.kind in GATEWAYS else ""


def upstream_ids(service: NodeService) -> list[UpstreamId]:
    """The upstreams whose defaults are needed."""
    names = [each.destination_name for each in service.proxy.upstreams or () if each.destination_type == _SERVICE]
    return [UpstreamId(name) for name in dict.fromkeys(names)]


def merged(service: NodeService, defaults: ServiceConfigReply) -> NodeService:
    """The registration with the defaults filled in where it says nothing."""
    own = service.proxy
    mode = own.mesh_gateway.mode or defaults.mesh_gateway.mode
    upstreams = own.upstreams
    if upstreams is not None:
        known = {each.upstream.id: each.config or {} for each in defaults.upstream_id_configs or ()}
        upstreams = [_upstream(each, known.get(each.destination_name), mode) for each in upstreams]
    proxy = dataclasses.replace(
        own,
        config=merge_settings(own.config or {}, defaults.proxy_config or {}) or own.config,
        mesh_gateway=MeshGateway(mode),
        expose=Expose(own.expose.checks or defaults.expose.checks, own.expose.paths or defaults.expose.paths),
        upstreams=upstreams,
    )
    return dataclasses.replace(service, proxy=proxy)


def _upstream(own: Upstream, defaults: dict[str, Any] | None, mode: str) -> Upstream:
    if own.destination_type != _SERVICE:
        return own
    config = merge_settings(own.config or {}, defaults or {}) or own.config
    return dataclasses.replace(own, config=config, mesh_gateway=MeshGateway(own.mesh_gateway.mode or mode))


def merge_settings(own: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """Free settings: our own value unless it is empty; blocks are merged value by value."""
    found = dict(own)
    for name, default in defaults.items():
        value = found.get(name)
        if isinstance(value, dict) and isinstance(default, dict):
            found[name] = merge_settings(value, default)
        elif not value:
            found[name] = default if default or name not in found else value
    return found
