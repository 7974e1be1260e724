"""Kinds of config entries that came after Consul 1.8: kept as they were written, and never run.

Their fields are known by name at the top; what is inside is stored as it came. Servers of 1.8.7 end when they apply
one, so it is written only while all servers of a quorum know these kinds. Source: documentation of Consul 1.10 to 1.20.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Final, Self

from consulpy.codec.msgpack import with_texts
from consulpy.codec.record import plain
from consulpy.errors import RPCError, WireError
from consulpy.gocompat.duration import format_duration_ns
from consulpy.structs.config_entry import KINDS, Entry

MESH: Final = "mesh"
#: Written by newer servers only, for the gateways that they run: it may be asked for, and there is none.
BOUND_API_GATEWAY: Final = "bound-api-gateway"
_TLS_MOST: Final = "TLSv1_2"


@dataclasses.dataclass(frozen=True, slots=True)
class NewerKind:
    """`since`: the version that added it. `fields`, and those of them that are `required`."""

    since: str
    fields: tuple[str, ...]
    required: tuple[str, ...] = ()


_CERTIFICATE: Final = ("Certificate", "PrivateKey")
NEWER_KINDS: Final[Mapping[str, NewerKind]] = {
    MESH: NewerKind(
        "1.10", ("TransparentProxy", "AllowEnablingPermissiveMutualTLS", "TLS", "HTTP", "Peering", "ValidateClusters")
    ),
    "exported-services": NewerKind("1.11", ("Services",)),
    "api-gateway": NewerKind("1.15", ("Listeners", "Status")),
    "http-route": NewerKind("1.15", ("Parents", "Rules", "Hostnames", "Status")),
    "tcp-route": NewerKind("1.15", ("Parents", "Services", "Status")),
    "inline-certificate": NewerKind("1.15", _CERTIFICATE, _CERTIFICATE),
    "jwt-provider": NewerKind(
        "1.16",
        ("JSONWebKeySet", "Audiences", "Issuer", "Locations", "Forwarding", "ClockSkewSeconds", "CacheConfig"),
        ("JSONWebKeySet",),
    ),
    "file-system-certificate": NewerKind("1.19", _CERTIFICATE, _CERTIFICATE),
}
#: Durations inside of them: texts in JSON, ns on the wire.
DURATIONS: Final = frozenset(
    {"CacheDuration", "RequestTimeout", "IdleTimeout", "ConnectTimeout", "BaseInterval", "MaxInterval"}
)
#: Fields of `mesh` that ask for what is not done here, and less would be safe without; the values that ask for nothing.
_UNSERVED: Final[Mapping[tuple[str, ...], tuple[Any, ...]]] = {
    ("TransparentProxy", "MeshDestinationsOnly"): (False,),
    ("TLS", "Incoming", "TLSMinVersion"): ("", "TLS_AUTO", "TLSv1_0", "TLSv1_1", _TLS_MOST),
    ("TLS", "Outgoing", "TLSMinVersion"): ("", "TLS_AUTO", "TLSv1_0", "TLSv1_1", _TLS_MOST),
    ("TLS", "Incoming", "TLSMaxVersion"): ("", "TLS_AUTO"),
    ("TLS", "Outgoing", "TLSMaxVersion"): ("", "TLS_AUTO"),
    ("TLS", "Incoming", "CipherSuites"): ([],),
    ("TLS", "Outgoing", "CipherSuites"): ([],),
    ("HTTP", "SanitizeXForwardedClientCert"): (False,),
}


@dataclasses.dataclass(slots=True)
class NewerEntry(Entry):
    """An entry of one of `NEWER_KINDS`. `body`: its other fields by their Go names."""

    body: dict[str, Any] = dataclasses.field(default_factory=dict)
    meta: dict[str, str] | None = None
    create_index: int = 0
    modify_index: int = 0

    def to_wire(self) -> dict[str, Any]:
        """The struct with all of its fields."""
        wire = {**self.body, "Kind": self.kind, "Meta": self.meta}
        wire |= {"CreateIndex": self.create_index, "ModifyIndex": self.modify_index}
        if self.kind != MESH:
            wire["Name"] = self.name
        return dict(sorted(wire.items()))

    @classmethod
    def from_wire(cls, raw: Any) -> Self:
        """See `Record.from_wire`. Fields that are not known are skipped."""
        found = with_texts(raw)
        if not isinstance(found, dict):
            raise WireError("a config entry: a map was expected")
        kind = str(found.get("Kind", ""))
        known = NEWER_KINDS[kind].fields if kind in NEWER_KINDS else ()
        meta = found.get("Meta")
        return cls(
            kind=kind,
            name=MESH if kind == MESH else str(found.get("Name", "")),
            body={name: found[name] for name in known if found.get(name) is not None},
            meta=meta if isinstance(meta, dict) else None,
            create_index=int(found.get("CreateIndex") or 0),
            modify_index=int(found.get("ModifyIndex") or 0),
        )

    def to_json(self) -> dict[str, Any]:
        """See `Record.to_json`."""
        shown: dict[str, Any] = {"Kind": self.kind, **({} if self.kind == MESH else {"Name": self.name})}
        shown |= {name: _with_durations(plain(value)) for name, value in self.body.items()}
        if self.meta:
            shown["Meta"] = self.meta
        return {**shown, "CreateIndex": self.create_index, "ModifyIndex": self.modify_index}


def _with_durations(value: Any) -> Any:
    """A value for JSON, its durations as texts."""
    if isinstance(value, dict):
        return {
            key: format_duration_ns(each) if key in DURATIONS and isinstance(each, int) else _with_durations(each)
            for key, each in value.items()
        }
    return [_with_durations(each) for each in value] if isinstance(value, list) else value


def decode_any_entry(kind: str, raw: Any) -> Any:
    """An entry of any kind from the wire. Raises `WireError` for an unknown kind."""
    from consulpy.structs.config_entry import decode_entry

    if kind not in NEWER_KINDS:
        return decode_entry(kind, raw)
    entry = NewerEntry.from_wire(raw)
    entry.kind = kind
    return entry


def newer_errors(entry: NewerEntry) -> Iterator[str]:
    """Errors of an entry, and its settings that are not supported here."""
    kind = NEWER_KINDS[entry.kind]
    for name in kind.required:
        if not entry.body.get(name):
            yield f"{name} is required"
    if entry.kind != MESH:
        return
    for path, harmless in _UNSERVED.items():
        value: Any = entry.body
        for name in path:
            value = _field(value, name)
        if value is not None and value not in harmless:
            yield f'invalid config key "{".".join(path)}" - it came with Consul {kind.since} and is not supported here'


def _field(value: Any, name: str) -> Any:
    """A field of a block by its Go name, however its letters are written, with underscores or without."""
    if not isinstance(value, dict):
        return None
    return next((each for key, each in value.items() if str(key).replace("_", "").lower() == name.lower()), None)


def refuse_newer(kind: str, servers: list[str]) -> RPCError:
    """Why an entry is not written: servers that would end when they apply it."""
    since = NEWER_KINDS[kind].since
    return RPCError(
        f"config entry kind {kind} came with Consul {since}: the program of {', '.join(servers)} does not know it, or "
        "did not answer, and would end when it applies it"
    )


def refuse_newer_fields(fields: list[str], servers: list[str]) -> RPCError:
    """Why an entry of a kind of 1.8.7 is not written: servers that would drop fields of it."""
    return RPCError(
        f"{', '.join(fields)} came after Consul 1.8: the program of {', '.join(servers)} does not know it, or did not "
        "answer, and would drop it"
    )


def is_known_kind(kind: str) -> bool:
    """Whether entries of a kind can be stored."""
    return kind in KINDS or kind in NEWER_KINDS


__all__ = [
    "BOUND_API_GATEWAY",
    "DURATIONS",
    "MESH",
    "NEWER_KINDS",
    "NewerEntry",
    "decode_any_entry",
    "is_known_kind",
    "newer_errors",
    "refuse_newer",
    "refuse_newer_fields",
]
