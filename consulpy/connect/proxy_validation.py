"""Validation of proxies and gateways at the agent and in the catalog, with Consul's error texts (seen at both)."""

from collections.abc import Iterable, Iterator
from typing import Final

from consulpy.connect.central_merge import CONNECT_PROXY, GATEWAYS
from consulpy.connect.config_entries.validate import free_settings_errors
from consulpy.structs.service import ExposePath, NodeService, Upstream

#: The kind of a service that is a Connect proxy.
_LOOPBACK: Final = "127.0.0.1"
_PROTOCOLS: Final = ("", "http", "http2")


#: Why a null in a proxy's settings is refused, which 1.8.7 takes.
_NO_NULLS: Final = "real Consul agents can't show such a service"


def errors_of(service: NodeService, *, has_sidecar: bool = False, default_type: str = "") -> list[str]:
    """The errors of a proxy or a gateway; none for other services.

    `default_type`: the type of an upstream's destination that has none.
    """
    if service.kind == CONNECT_PROXY:
        return [*_proxy_errors(service, default_type)]
    return [*_gateway_errors(service, has_sidecar)] if service.kind in GATEWAYS else []


def _proxy_errors(service: NodeService, default_type: str) -> Iterator[str]:
    if not service.proxy.destination_service_name.strip():
        yield "Proxy.DestinationServiceName must be non-empty for Connect proxy services"
    if service.port == 0:
        yield "Port must be set for a Connect proxy"
    if service.connect.native:
        yield "A Proxy cannot also be Connect Native, only typical services"
    upstreams = service.proxy.upstreams or ()
    yield from _upstream_errors(upstreams, default_type)
    yield from _path_errors(service.proxy.expose.paths or ())
    yield from free_settings_errors(service.proxy.config or {}, "Proxy.Config", why=_NO_NULLS)
    for number, upstream in enumerate(upstreams):
        yield from free_settings_errors(upstream.config or {}, f"Proxy.Upstreams[{number}].Config", why=_NO_NULLS)


def _upstream_errors(upstreams: Iterable[Upstream], default_type: str) -> Iterator[str]:
    targets: set[str] = set()
    addresses: set[str] = set()
    for upstream in upstreams:
        kind = upstream.destination_type or default_type
        if kind not in ("", "service", "prepared_query"):
            yield f'unknown upstream destination type: "{kind}"'
            continue
        if not upstream.destination_name:
            yield "upstream destination name cannot be empty"
            continue
        if upstream.local_bind_port == 0:
            yield "upstream local bind port cannot be zero"
            continue
        address = f"{upstream.local_bind_address or _LOOPBACK}:{upstream.local_bind_port}"
        if address in addresses:
            yield f'upstreams cannot contain duplicates by local bind address and port; "{address}" is specified twice'
            continue
        addresses.add(address)
        target = (
            f'[type="{kind}", name="{upstream.destination_name}", namespace="{upstream.destination_namespace}", '
            f'datacenter="{upstream.datacenter}"]'
        )
        if target in targets:
            yield f"upstreams cannot contain duplicates of {target}"
        targets.add(target)


def _path_errors(paths: Iterable[ExposePath]) -> Iterator[str]:
    names: set[str] = set()
    ports: set[int] = set()
    for path in paths:
        if not path.path:
            yield "expose.paths: empty path exposed"
        if path.path in names:
            yield "expose.paths: duplicate paths exposed"
        names.add(path.path)
        if path.listener_port in ports:
            yield "expose.paths: duplicate listener ports exposed"
        ports.add(path.listener_port)
        if not 0 < path.listener_port <= 65535:
            yield f"expose.paths: invalid listener port: {path.listener_port}"
        if path.protocol.lower() not in _PROTOCOLS:
            yield f"protocol '{path.protocol}' not supported for path: {path.path}, must be in: [http http2]"


def _gateway_errors(service: NodeService, has_sidecar: bool) -> Iterator[str]:
    kind, proxy = service.kind, service.proxy
    if service.port == 0 and kind != "ingress-gateway":
        yield f"Port must be non-zero for a {kind}"
    if has_sidecar:
        yield f"A {kind} cannot have a sidecar service defined"
    for name, value in (
        ("DestinationServiceName", proxy.destination_service_name),
        ("DestinationServiceID", proxy.destination_service_id),
        ("LocalServiceAddress", proxy.local_service_address),
        ("LocalServicePort", proxy.local_service_port),
        ("Upstreams", proxy.upstreams),
    ):
        if value:
            yield f"The Proxy.{name} configuration is invalid for a {kind}"
    yield from free_settings_errors(proxy.config or {}, "Proxy.Config", why=_NO_NULLS)
