"""Requests and replies of ConfigEntry.*, and the body of its log entry (docs/wire/rpc.md 10)."""

from dataclasses import field
from typing import Any, Self

from consulpy.codec.coerce import as_text
from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.msgpack import pack, with_texts
from consulpy.codec.record import Record, go
from consulpy.errors import BadRequest, WireError
from consulpy.structs.config_entry import KINDS, SERVICE_INTENTIONS, Objects
from consulpy.structs.gateway import ServiceName
from consulpy.structs.newer_config_entry import decode_any_entry
from consulpy.structs.newer_config_fields import refused_fields
from consulpy.structs.options import QueryMeta
from consulpy.structs.requests import Read, Write
from consulpy.structs.service import Expose, MeshGateway
from consulpy.structs.service_intentions import ServiceIntentions


def _decode_view(kind: str, raw: Any) -> Any:
    """An entry that may be such a view. Raises `WireError` for an unknown kind."""
    if kind != SERVICE_INTENTIONS:
        return decode_any_entry(kind, raw)

    entry = ServiceIntentions.from_wire(raw)
    entry.kind = kind
    return entry


def _text_in(body: dict[bytes, Any], name: bytes) -> str:
    value = body.get(name)
    return "" if value is None else as_text(value)


@dataclass(slots=True)
class EntryRequest(Write):
    """ConfigEntry.Apply and Delete, and their log entry: the kind, then the request."""

    op: str = ""
    entry: Any = None
    #: The kind in front of the request; the one inside is empty in a delete.
    leading_kind: str = ""

    def to_wire(self) -> Any:
        """Encode as a raw object."""
        body = {"Datacenter": self.datacenter, "Entry": self.entry.to_wire(), "Op": self.op, "Token": self.token}
        return pack(self.leading_kind or self.entry.kind) + pack(body)

    @classmethod
    def from_wire(cls, raw: Any) -> Self:
        """See `Record.from_wire`."""
        objects = Objects(raw)
        kind = objects.next_text()
        body = objects.next()
        if not isinstance(body, dict):
            raise WireError("EntryRequest: a map was expected")
        return cls(
            datacenter=_text_in(body, b"Datacenter"),
            token=_text_in(body, b"Token"),
            op=_text_in(body, b"Op"),
            entry=cls._decode(kind, body.get(b"Entry")),
            leading_kind=kind,
        )

    @staticmethod
    def _decode(kind: str, raw: Any) -> Any:
        return decode_any_entry(kind, raw)


@dataclass(slots=True)
class EntryCall(EntryRequest):
    """ConfigEntry.Apply and Delete as they are called: the entry may be `service-intentions`, which no log has.

    Raises `BadRequest` for newer fields that ask for what is not done here.
    """

    @staticmethod
    def _decode(kind: str, raw: Any) -> Any:
        if kind in KINDS:
            for error in refused_fields(KINDS[kind], with_texts(raw)):
                raise BadRequest(error)
        return _decode_view(kind, raw)


@dataclass(slots=True)
class RestoredEntry(EntryRequest):
    """An entry of a snapshot, maybe of newer servers.

    Raises `WireError` for fields that ask for what is not done here.
    """

    @staticmethod
    def _decode(kind: str, raw: Any) -> Any:
        try:
            entry = _decode_view(kind, raw)
        except BadRequest as refusal:
            raise WireError(f"config entry {kind}: {refusal}") from None
        if kind in KINDS:
            for error in refused_fields(KINDS[kind], with_texts(raw)):
                raise WireError(f"config entry {kind}/{entry.name}: {error}")
        return entry


@dataclass(slots=True)
class EntryDeleted(Record):
    """ConfigEntry.Delete with a condition, as newer agents ask it (Consul 1.11): whether the entry is deleted."""

    deleted: bool = False


@dataclass(slots=True)
class EntryQuery(Read):
    """ConfigEntry.Get, and with an empty name List."""

    kind: str = ""
    name: str = ""


@dataclass(slots=True)
class AllEntriesQuery(Read):
    """ConfigEntry.ListAll. `kinds` (Consul 1.9): only these; None: those that 1.8.7 knows."""

    kinds: list[str] | None = go(is_optional=True, default=None)


@dataclass(slots=True)
class EntryReply(Record):
    """ConfigEntry.Get: kind, entry unless the kind is empty, metadata."""

    entry: Any = None
    meta: QueryMeta = go(inline=True, default_factory=QueryMeta)

    def to_wire(self) -> Any:
        """Encode as a raw object."""
        found = b"" if self.entry is None else pack(self.entry.to_wire())
        return pack(self.entry.kind if self.entry is not None else "") + found + self.meta.pack()

    @classmethod
    def from_wire(cls, raw: Any) -> Self:
        """See `Record.from_wire`."""
        objects = Objects(raw)
        kind = objects.next_text()
        entry = _decode_view(kind, objects.next()) if kind else None
        return cls(entry=entry, meta=QueryMeta.from_wire(objects.next()))


@dataclass(slots=True)
class EntriesReply(Record):
    """ConfigEntry.List: count, kind, and a map with metadata and entries."""

    kind: str = ""
    entries: list[Any] = field(default_factory=list)
    meta: QueryMeta = go(inline=True, default_factory=QueryMeta)

    def to_wire(self) -> Any:
        """Encode as a raw object."""
        body = {**self.meta.to_wire(), "Entries": [entry.to_wire() for entry in self.entries], "Kind": self.kind}
        return pack(len(self.entries)) + pack(self.kind) + pack(dict(sorted(body.items())))

    @classmethod
    def from_wire(cls, raw: Any) -> Self:
        """See `Record.from_wire`."""
        objects = Objects(raw)
        objects.next()
        kind, body = objects.next_text(), objects.next()
        if not isinstance(body, dict):
            raise WireError("EntriesReply: a map was expected")
        entries = [_decode_view(kind, each) for each in body.get(b"Entries") or ()]
        return cls(kind=kind, entries=entries, meta=QueryMeta.from_wire(body))


@dataclass(slots=True)
class AllEntriesReply(Record):
    """ConfigEntry.ListAll: count, then kind and entry of each, metadata."""

    entries: list[Any] = field(default_factory=list)
    meta: QueryMeta = go(inline=True, default_factory=QueryMeta)

    def to_wire(self) -> Any:
        """Encode as a raw object."""
        found = b"".join(pack(entry.kind) + pack(entry.to_wire()) for entry in self.entries)
        return pack(len(self.entries)) + found + self.meta.pack()

    @classmethod
    def from_wire(cls, raw: Any) -> Self:
        """See `Record.from_wire`."""
        objects = Objects(raw)
        count = objects.next()
        if not isinstance(count, int):
            raise WireError("AllEntriesReply: a number was expected")
        entries = []
        for _ in range(count):
            kind = objects.next_text()
            entries.append(decode_any_entry(kind, objects.next()))
        return cls(entries=entries, meta=QueryMeta.from_wire(objects.next()))


@dataclass(slots=True)
class UpstreamId(Record):
    """A service used by another one."""

    id: str = go("ID", default="")


@dataclass(slots=True)
class PeeredServiceName(Record):
    """A service of this cluster, or of the cluster `peer`, which there is none of here (Consul 1.14)."""

    service_name: ServiceName = field(default_factory=ServiceName)
    peer: str = ""


@dataclass(slots=True)
class ServiceConfigRequest(Read):
    """ConfigEntry.ResolveServiceConfig. Upstreams are named by ids, by names, or as agents from Consul 1.14 on do."""

    name: str = ""
    upstream_ids: list[UpstreamId] | None = go("UpstreamIDs", default=None)
    upstreams: list[str] | None = None
    upstream_service_names: list[PeeredServiceName] | None = go(is_optional=True, default=None)


@dataclass(slots=True)
class UpstreamConfig(Record):
    """Settings of one upstream."""

    upstream: UpstreamId = field(default_factory=UpstreamId)
    config: dict[str, Any] | None = None


@dataclass(slots=True)
class _ResolvedServiceConfig(Record):
    proxy_config: dict[str, Any] | None = None
    #: By name; a list of `Upstream` and `Config` if they were asked for by `upstream_service_names`.
    upstream_configs: Any = None
    upstream_id_configs: list[UpstreamConfig] | None = go("UpstreamIDConfigs", default=None)
    mesh_gateway: MeshGateway = field(default_factory=MeshGateway)
    expose: Expose = field(default_factory=Expose)
    meta: QueryMeta = go(inline=True, default_factory=QueryMeta)


@dataclass(slots=True)
class ServiceConfigReply(_ResolvedServiceConfig):
    """ConfigEntry.ResolveServiceConfig: one map in a raw object."""

    def to_wire(self) -> Any:
        """Encode as a raw object."""
        return pack(_ResolvedServiceConfig.to_wire(self))

    @classmethod
    def from_wire(cls, raw: Any) -> Self:
        """See `Record.from_wire`."""
        found = super(ServiceConfigReply, cls).from_wire(Objects(raw).next())  # noqa: UP008 - slots make another class
        found.proxy_config = with_texts(found.proxy_config)
        found.upstream_configs = with_texts(found.upstream_configs)
        for each in found.upstream_id_configs or ():
            each.config = with_texts(each.config)
        return found
