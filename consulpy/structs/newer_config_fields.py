"""Fields that came after Consul 1.8 into its kinds of config entries, and that only Envoy acts on: kept, never run.

They are `is_optional`: while they say nothing they are neither written nor shown. Programs of 1.8.7 skip them, and so
lose them; what carries one is written only while all servers of a quorum know them. Durations in ns. Source:
documentation and public `api` package of Consul 1.9 to 1.22.
"""

import dataclasses
import functools
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from consulpy.codec.coerce import as_text
from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.record import Record, camel, go, plain
from consulpy.gocompat import newer_fields
from consulpy.gocompat.duration import format_duration_ns
from consulpy.structs.service import MeshGateway

_R = TypeVar("_R", bound=Record)


def kept(name: str | None = None, *, default: Any = None, json_as: Callable[[Any], Any] | None = None) -> Any:
    """Declare such a field with its Go name."""
    return go(name, omit_empty=True, is_optional=True, default=default, json_as=json_as)


def within(name: str | None = None, *, default: Any = None, json_as: Callable[[Any], Any] | None = None) -> Any:
    """Declare a field of a struct that is itself such a field."""
    return go(name, omit_empty=True, default=default, json_as=json_as)


def without_nulls(value: Any) -> Any:
    """A value without a schema, without what is null in it, and its bytes decoded."""
    value = plain(value)
    if isinstance(value, dict):
        return {key: without_nulls(each) for key, each in value.items() if each is not None}
    return [without_nulls(each) for each in value if each is not None] if isinstance(value, list) else value


@dataclass(slots=True)
class TransparentProxy(Record):
    """A proxy that traffic is redirected to."""

    outbound_listener_port: int = within(default=0)
    dialed_directly: bool = within(default=False)


@dataclass(slots=True)
class UpstreamLimits(Record):
    """Limits of the connections to an upstream; 0 is a limit."""

    max_connections: int | None = within()
    max_pending_requests: int | None = within()
    max_concurrent_requests: int | None = within()


@dataclass(slots=True)
class PassiveHealthCheck(Record):
    """When an instance that fails is left out."""

    interval: int = within(default=0, json_as=format_duration_ns)
    max_failures: int = within(default=0)
    enforcing_consecutive_5xx: int | None = within()
    max_ejection_percent: int | None = within()
    base_ejection_time: int | None = within(json_as=format_duration_ns)


@dataclass(slots=True)
class UpstreamSettings(Record):
    """Settings of one upstream, or of all."""

    name: str = within(default="")
    peer: str = within(default="")
    envoy_listener_json: str = within("EnvoyListenerJSON", default="")
    envoy_cluster_json: str = within("EnvoyClusterJSON", default="")
    protocol: str = within(default="")
    connect_timeout_ms: int = within(default=0)
    limits: UpstreamLimits | None = within()
    passive_health_check: PassiveHealthCheck | None = within()
    mesh_gateway: MeshGateway | None = within()
    balance_outbound_connections: str = within(default="")


@dataclass(slots=True)
class UpstreamDefaults(Record):
    """`UpstreamConfig` of service-defaults."""

    overrides: list[UpstreamSettings] | None = within()
    defaults: UpstreamSettings | None = within()


@dataclass(slots=True)
class ServiceDestination(Record):
    """Addresses outside of the mesh that a service stands for."""

    addresses: list[str] | None = within()
    port: int = within(default=0)


@dataclass(slots=True)
class EnvoyExtension(Record):
    """An extension of Envoy."""

    name: str = within(default="")
    required: bool = within(default=False)
    arguments: dict[str, Any] | None = go(omit_empty=True, default=None, decode=without_nulls)
    consul_version: str = within(default="")
    envoy_version: str = within(default="")


@dataclass(slots=True)
class AccessLogs(Record):
    """Access logs of proxies."""

    enabled: bool = within(default=False)
    disable_listener_logs: bool = within(default=False)
    type: str = within(default="")
    path: str = within(default="")
    json_format: str = within("JSONFormat", default="")
    text_format: str = within(default="")


@dataclass(slots=True)
class RingHash(Record):
    """Sizes of a ring."""

    minimum_ring_size: int = within(default=0)
    maximum_ring_size: int = within(default=0)


@dataclass(slots=True)
class LeastRequest(Record):
    """Number of instances of which the least busy is taken."""

    choice_count: int = within(default=0)


@dataclass(slots=True)
class CookieConfig(Record):
    """A cookie that a proxy sets."""

    session: bool = within(default=False)
    ttl: int = within("TTL", default=0, json_as=format_duration_ns)
    path: str = within(default="")


@dataclass(slots=True)
class HashPolicy(Record):
    """The part of a request that is hashed."""

    field: str = within(default="")
    field_value: str = within(default="")
    cookie_config: CookieConfig | None = within()
    source_ip: bool = within("SourceIP", default=False)
    terminal: bool = within(default=False)


@dataclass(slots=True)
class LoadBalancer(Record):
    """How Envoy chooses among the instances of a service."""

    policy: str = within(default="")
    ring_hash_config: RingHash | None = within()
    least_request_config: LeastRequest | None = within()
    hash_policies: list[HashPolicy] | None = within()


@dataclass(slots=True)
class HeaderModifiers(Record):
    """Headers that are set, added and removed."""

    add: dict[str, str] | None = within()
    set: dict[str, str] | None = within()
    remove: list[str] | None = within()


@dataclass(slots=True)
class SdsConfig(Record):
    """Certificates that Envoy gets from a secret discovery service."""

    cluster_name: str = within(default="")
    cert_resource: str = within(default="")


@dataclass(slots=True)
class IngressServiceTls(Record):
    """The certificate for a service behind an ingress gateway."""

    sds: SdsConfig | None = within("SDS")


@dataclass(slots=True)
class IngressDefaults(Record):
    """Limits of the services behind an ingress gateway."""

    max_connections: int | None = within()
    max_pending_requests: int | None = within()
    max_concurrent_requests: int | None = within()
    passive_health_check: PassiveHealthCheck | None = within()


@dataclass(slots=True)
class LocalityPriority(Record):
    """Whether near instances come first, which is refused: `mode` is "" or none."""

    mode: str = within(default="")


@dataclass(slots=True)
class FailoverPolicy(Record):
    """The order of failover targets, of which there is the usual one only: `mode` is "" or sequential."""

    mode: str = within(default="")
    regions: list[str] | None = within()


def newer_paths(record: Any, path: str = "") -> Iterator[str]:
    """The paths of all fields in a record that 1.8.7 does not know and that say something."""
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        name = field.metadata.get("go") or camel(field.name)
        where = f"{path}.{name}" if path else name
        if field.metadata.get("is_optional"):
            if _says_something(value, field.default) and not asks_for_default(name, value):
                yield where
        elif isinstance(value, Record):
            yield from newer_paths(value, where)
        elif isinstance(value, list | dict):
            inside = value.items() if isinstance(value, dict) else enumerate(value)
            for key, each in inside:
                if isinstance(each, Record):
                    yield from newer_paths(each, f"{where}[{key}]")


def newer_attributes(cls: Any) -> frozenset[str]:
    """The attributes of a struct that 1.8.7 does not know: all of those in this module."""
    is_newer = cls.__module__ == __name__
    return frozenset(field.name for field in dataclasses.fields(cls) if is_newer or field.metadata.get("is_optional"))


def asks_for_default(name: str, value: Any) -> bool:
    """Whether a field with a value asks for what is so anyway: then no program loses anything that drops it."""
    if isinstance(value, LocalityPriority | FailoverPolicy):
        return newer_fields.is_empty_value(name, value.to_json())
    return isinstance(value, str) and newer_fields.is_empty_value(name, value)


def _says_something(value: Any, default: Any) -> bool:
    if isinstance(value, Record):
        fields: Any = dataclasses.fields(value)  # type: ignore[arg-type]
        return any(_says_something(getattr(value, field.name), field.default) for field in fields)
    if isinstance(value, str | list | dict):
        return bool(value)
    return value is not None and value != default


def without_empty(record: _R) -> _R:
    """A copy without such fields that say nothing, as programs send that always write them."""
    changed: dict[str, Any] = {}
    for field in dataclasses.fields(record):  # type: ignore[arg-type]
        value = getattr(record, field.name)
        if field.metadata.get("is_optional"):
            if value != field.default and not _says_something(value, field.default):
                changed[field.name] = field.default
        elif isinstance(value, Record):
            changed[field.name] = without_empty(value)
        elif isinstance(value, list):
            changed[field.name] = [without_empty(each) if isinstance(each, Record) else each for each in value]
        elif isinstance(value, dict):
            changed[field.name] = {
                key: without_empty(each) if isinstance(each, Record) else each for key, each in value.items()
            }
    return dataclasses.replace(record, **changed)  # type: ignore[type-var]


@functools.cache
def _fields(cls: Any) -> tuple[Mapping[str, Any], Mapping[str, str]]:
    """The types of a struct's fields by Go name, and the versions of those that are not done here."""
    hints = get_type_hints(cls)
    known = {field.metadata.get("go") or camel(field.name): hints[field.name] for field in dataclasses.fields(cls)}
    return known, newer_fields.fields_of(cls.__name__)


def refused_fields(cls: Any, raw: Any, path: str = "") -> Iterator[str]:
    """Why a struct of the wire, its texts decoded, asks for what is not done here: one text for each such field.

    Raises `WrongType` for a name that is no text.
    """
    if not isinstance(raw, dict):
        return
    known, newer = _fields(cls)
    for name, value in raw.items():
        where = f"{path}.{name}" if path else name
        if name in known:
            yield from _refused_within(known[name], value, where)
        elif (since := newer_fields.version_of(as_text(name), newer)) and not newer_fields.is_empty_value(name, value):
            yield newer_fields.refusal(name, where, since)


def _refused_within(kind: Any, value: Any, path: str) -> Iterator[str]:
    if isinstance(kind, types.UnionType):
        kind = next(part for part in get_args(kind) if part is not types.NoneType)
    if isinstance(kind, type) and issubclass(kind, Record):
        yield from refused_fields(kind, value, path)
    elif get_origin(kind) in (list, dict) and isinstance(value, list | dict):
        inner = get_args(kind)[-1]
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _refused_within(inner, each, f"{path}[{key}]")
