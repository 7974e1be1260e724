"""Validation of newer fields of the kinds of 1.8.7. Source: documentation of config entries, Consul 1.9 to 1.22."""

from collections.abc import Iterator
from typing import Any, Final

from consulpy.codec.record import Record, attributes
from consulpy.gocompat import newer_fields
from consulpy.gocompat.duration import format_duration_ns
from consulpy.gocompat.literals import quoted
from consulpy.structs.config_entry import ProxyDefaults, ServiceDefaults, ServiceResolver
from consulpy.structs.newer_config_fields import asks_for_default

_MODES: Final = ("", "direct", "transparent")
_POLICIES: Final = ("", "random", "round_robin", "least_request", "ring_hash", "maglev")
_FIELDS: Final = ("", "header", "cookie", "query_parameter")


#: Fields that change which instances answer, or who may ask them: kept while they ask for what is so anyway.
_DEFAULTS_ONLY: Final = ("mutual_tls_mode", "failover_policy", "prioritize_by_locality", "policy")
_SINCE: Final = "1.16"


def newer_field_errors(entry: Any) -> Iterator[str]:
    """The errors of newer fields of an entry."""
    yield from unserved_field_errors(entry)
    if isinstance(entry, ServiceDefaults | ProxyDefaults):
        if entry.mode not in _MODES:
            yield f"invalid proxy mode: {quoted(entry.mode)}"
        for number, extension in enumerate(entry.envoy_extensions or ()):
            if not extension.name:
                yield f"invalid EnvoyExtensions[{number}]: Name is required"
    if isinstance(entry, ServiceDefaults):
        yield from _service_errors(entry)
    elif isinstance(entry, ServiceResolver):
        yield from _resolver_errors(entry)


def unserved_field_errors(entry: Any) -> Iterator[str]:
    """The errors of newer fields that ask for what is not done here."""
    yield from _unserved(entry, "")
    for key, failover in (entry.failover or {}).items() if isinstance(entry, ServiceResolver) else ():
        yield from _unserved(failover, f"Failover[{key}].")


def _unserved(record: Record, path: str) -> Iterator[str]:
    for go_name, attribute in attributes(type(record)).items():
        value = getattr(record, attribute)
        if attribute in _DEFAULTS_ONLY and value and not asks_for_default(go_name, value):
            yield newer_fields.refusal(go_name, path + go_name, _SINCE)


def _service_errors(entry: ServiceDefaults) -> Iterator[str]:
    upstreams = entry.upstream_config
    for override in (upstreams.overrides if upstreams is not None else None) or ():
        if not override.name:
            yield "error in upstream overrides: Name is required"
    if upstreams is not None and upstreams.defaults is not None and upstreams.defaults.name:
        yield "error in upstream defaults: Name must be empty"
    destination = entry.destination
    if destination is not None:
        if not destination.addresses:
            yield "Destination contains no addresses"
        if not 0 < destination.port <= 0xFFFF:
            yield f"Destination.Port: invalid port {destination.port}"


def _resolver_errors(entry: ServiceResolver) -> Iterator[str]:
    if entry.request_timeout < 0:
        yield f"Bad RequestTimeout '{format_duration_ns(entry.request_timeout)}', must be >= 0"
    balancer = entry.load_balancer
    if balancer is None:
        return
    if balancer.policy not in _POLICIES:
        yield f"Bad LoadBalancer policy: {quoted(balancer.policy)} is not supported"
    for number, policy in enumerate(balancer.hash_policies or ()):
        if policy.field not in _FIELDS:
            yield f"Bad LoadBalancer HashPolicy[{number}]: {quoted(policy.field)} is not a supported field"
