"""Validation of ingress-gateway and terminating-gateway."""

from collections.abc import Iterator
from typing import Final

from consulpy.gocompat.literals import quoted
from consulpy.structs.config_entry import IngressGateway, IngressListener, TerminatingGateway

_PROTOCOLS: Final = ("tcp", "http", "http2", "grpc")
_WILDCARD: Final = "*"
#: Characters of a label and of a name in DNS.
_LABEL_MAX: Final = 63
_NAME_MAX: Final = 255


def ingress_errors(entry: IngressGateway) -> Iterator[str]:
    """The errors of an ingress gateway, in the order in which Consul finds them."""
    ports: set[int] = set()
    for listener in entry.listeners or ():
        if listener.port in ports:
            yield f"port {listener.port} declared on two listeners"
        ports.add(listener.port)
        if listener.protocol not in _PROTOCOLS:
            yield (
                f"protocol must be 'tcp', 'http', 'http2', or 'grpc'. '{listener.protocol}' is an unsupported protocol"
            )
        yield from _listener_errors(listener, has_tls=entry.tls.enabled)


def _listener_errors(listener: IngressListener, *, has_tls: bool) -> Iterator[str]:
    where, services = f"(listener on port {listener.port})", listener.services or []
    if not services:
        yield f"No service declared for listener with port {listener.port}"
    if len(services) > 1 and listener.protocol != "http":
        yield f"Multiple services per listener are only supported for protocol = 'http' {where}"
    hosts: set[str] = set()
    for service in services:
        if service.name == _WILDCARD and listener.protocol == "tcp":
            yield f"Wildcard service name is only valid for protocol = 'http' {where}"
        if not service.name:
            yield f"Service name cannot be blank {where}"
        if service.hosts and service.name == _WILDCARD:
            yield f"Associating hosts to a wildcard service is not supported {where}"
        if service.hosts and listener.protocol == "tcp":
            yield f"Associating hosts to a service is not supported for the {listener.protocol} protocol {where}"
        for host in service.hosts or ():
            if host in hosts:
                yield f"Hosts must be unique within a specific listener {where}"
            hosts.add(host)
            yield from _host_errors(host, has_tls=has_tls)


def _host_errors(host: str, *, has_tls: bool) -> Iterator[str]:
    if host == _WILDCARD:
        if has_tls:
            yield (
                "Host '*' is not allowed when TLS is enabled, all hosts must be valid DNS records to add as a DNSSAN"
            )
        return
    labels = host.removesuffix(".").split(".")
    if len(host) > _NAME_MAX or not all(0 < len(label) <= _LABEL_MAX for label in labels):
        yield f"Host {quoted(host)} must be a valid DNS hostname"
    if _WILDCARD in host and (_WILDCARD in host[1:] or labels[0] != _WILDCARD):
        yield f"Host {quoted(host)} is not valid, a wildcard specifier is only allowed as the leftmost label"


def terminating_errors(entry: TerminatingGateway) -> Iterator[str]:
    """The errors of a terminating gateway, in the order in which Consul finds them."""
    seen: set[str] = set()
    for service in entry.services or ():
        if not service.name:
            yield "Service name cannot be blank."
        if service.name in seen:
            yield f"Service {quoted(service.name)} was specified more than once within a namespace"
        seen.add(service.name)
        files = (service.ca_file, service.cert_file, service.key_file)
        if (service.cert_file or service.key_file) and not all(files):
            yield (
                f"Service {quoted(service.name)} must have a CertFile, CAFile, and KeyFile specified for "
                "TLS origination"
            )
