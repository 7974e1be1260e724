"""Validation of config entries. The order of the checks and every text are those of Consul 1.8.7."""

from collections.abc import Iterator
from typing import Any, Final

from consulpy.connect.config_entries.gateways import ingress_errors, terminating_errors
from consulpy.connect.config_entries.newer import newer_field_errors
from consulpy.connect.config_entries.numbers import number_errors
from consulpy.connect.config_entries.resolver import resolver_errors
from consulpy.connect.config_entries.router import router_errors
from consulpy.connect.discovery_chain.graph import scaled_weight
from consulpy.errors import RPCError
from consulpy.gocompat.float32 import float32
from consulpy.gocompat.literals import quoted
from consulpy.gocompat.multierror import format_errors
from consulpy.structs.config_entry import (
    SERVICE_DEFAULTS,
    IngressGateway,
    ProxyDefaults,
    ServiceDefaults,
    ServiceResolver,
    ServiceRouter,
    ServiceSplitter,
    TerminatingGateway,
)
from consulpy.structs.newer_config_entry import NewerEntry, newer_errors

#: Errors of entries without a name, where they are not the usual one.
_NAMELESS: Final = {
    SERVICE_DEFAULTS: "serviceName is required",
    "terminating-gateway": "serviceName is required",
    "ingress-gateway": "failed inserting config entry: object missing primary index",
}
#: The sum of all weights of a splitter, in hundredths of a percent.
_WHOLE: Final = 10_000
#: Limits of metadata: number of pairs, characters of a key and of a value.
_META_PAIRS_MAX: Final = 64
_META_KEY_MAX: Final = 128
_META_VALUE_MAX: Final = 512
#: Deepest nesting of the free settings of proxies: deeper ones overflow the stacks of programs that read them.
DEPTH_MAX: Final = 64
_ENDS_SERVERS: Final = "this would end every Consul server that reads it"


def validate(entry: Any, *, is_stale: bool = False) -> None:
    """Raises `RPCError` with the first error of an entry. `is_stale`: its index is that of no entry without a name, so
    that where Consul looks for the name last there is none to be missed.
    """
    for error in _errors(entry, is_stale):
        raise RPCError(error)


def _errors(entry: Any, is_stale: bool) -> Iterator[str]:
    if not isinstance(entry, NewerEntry):
        yield from number_errors(entry)
    yield from meta_errors(entry.meta or {})
    if isinstance(entry, ProxyDefaults):
        yield from free_settings_errors(entry.config or {}, "Config")
    if isinstance(entry, ProxyDefaults | ServiceDefaults):
        for number, extension in enumerate(entry.envoy_extensions or ()):
            yield from free_settings_errors(extension.arguments or {}, f"EnvoyExtensions[{number}].Arguments")
    if not entry.name and not (is_stale and entry.kind in _NAMELESS):
        yield _NAMELESS.get(entry.kind, "Name is required")
    if isinstance(entry, ServiceSplitter):
        yield from _splitter_errors(entry)
    elif isinstance(entry, ServiceRouter):
        yield from router_errors(entry)
    elif isinstance(entry, ServiceResolver):
        yield from resolver_errors(entry)
    elif isinstance(entry, IngressGateway):
        yield from ingress_errors(entry)
    elif isinstance(entry, TerminatingGateway):
        yield from terminating_errors(entry)
    elif isinstance(entry, NewerEntry):
        yield from free_settings_errors(entry.body, entry.kind)
        yield from newer_errors(entry)
    yield from newer_field_errors(entry)


def meta_errors(meta: dict[str, str]) -> Iterator[str]:
    """The errors of metadata, all in one text."""
    wrong = [f"Meta exceeds maximum element count {_META_PAIRS_MAX}"] if len(meta) > _META_PAIRS_MAX else []
    for key, value in meta.items():
        if len(key) > _META_KEY_MAX:
            wrong.append(f"Meta key {quoted(key)} exceeds maximum length {_META_KEY_MAX}")
        if len(value) > _META_VALUE_MAX:
            wrong.append(f"Meta value for key {quoted(key)} exceeds maximum length {_META_VALUE_MAX}")
    if wrong:
        yield format_errors(wrong)


def free_settings_errors(value: Any, where: str, depth: int = 0, why: str = _ENDS_SERVERS) -> Iterator[str]:
    """Errors of settings without a schema.

    Consul takes a null in them, and every server that applies it ends, at each start again; here it is refused.
    """
    if value is None:
        yield f"{where} is null: {why}; leave the key out"
    elif depth > DEPTH_MAX:
        yield f"{where} is nested deeper than {DEPTH_MAX} levels"
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from free_settings_errors(each, f"{where}.{key}", depth + 1, why)
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from free_settings_errors(each, f"{where}[{number}]", depth + 1, why)


def _splitter_errors(entry: ServiceSplitter) -> Iterator[str]:
    if not entry.splits:
        yield "no splits configured"
    seen: set[tuple[str, str, str]] = set()
    total = 0
    for split in entry.splits or ():
        key = (split.service or entry.name, split.service_subset, split.namespace)
        if key in seen:
            service, subset, namespace = (quoted(each) for each in key)
            yield (
                f"split destination occurs more than once: service={service}, subset={subset}, namespace={namespace}"
            )
        seen.add(key)
        total += scaled_weight(split.weight)
    if total != _WHOLE:
        yield f"the sum of all split weights must be 100, not {float32(total / 100):f}"
