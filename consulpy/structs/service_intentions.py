"""Config entry `service-intentions` (Consul 1.9): all intentions of one destination.

It is a view of the intentions themselves, which servers of 1.8.7 know: both APIs read and write the same. `Permissions`
(rules by path and header), which 1.8.7 cannot store, are refused. Source: documentation of the config entry, Consul 1.9
to 1.20.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any, Final, Self
from uuid import NAMESPACE_OID, uuid5

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.record import Record, go
from consulpy.errors import BadRequest, RPCError
from consulpy.gocompat.multierror import format_errors
from consulpy.structs.config_entry import KINDS, SERVICE_INTENTIONS, Entry
from consulpy.structs.intention import (
    ALLOW,
    CONSUL_SOURCE,
    DEFAULT_NAMESPACE,
    DENY,
    WILDCARD,
    Intention,
    hash_of,
    precedence_of,
    sort_key,
)
from consulpy.structs.newer_config_entry import NEWER_KINDS, NewerEntry
from consulpy.structs.newer_selectors import foreign_selector

#: Most characters of a description.
DESCRIPTION_MAX: Final = 512


@dataclass(slots=True)
class SourceIntention(Record):
    """One source of a destination's connections. Precedence, id and times are set by the servers."""

    name: str = ""
    action: str = go(omit_empty=True, default="")
    precedence: int = 0
    legacy_id: str = go("LegacyID", omit_empty=True, default="")
    type: str = ""
    description: str = go(omit_empty=True, default="")
    legacy_meta: dict[str, str] | None = go(omit_empty=True, default=None)
    legacy_create_time: Any = go(json="-", default=None)
    legacy_update_time: Any = go(json="-", default=None)


@dataclass(slots=True)
class ServiceIntentions(Entry):
    """service-intentions. `name`: the destination, `*` for all."""

    sources: list[SourceIntention] = field(default_factory=list)
    meta: dict[str, str] | None = go(omit_empty=True, default=None)
    create_index: int = 0
    modify_index: int = 0

    @classmethod
    def from_wire(cls, raw: Any) -> Self:
        """See `Record.from_wire`. Raises `BadRequest` for a source or a condition that is not served here."""
        fields = raw if isinstance(raw, dict) else {}
        _refuse(fields, b"JWT", "1.16")
        sources = fields.get(b"Sources")
        for source in sources if isinstance(sources, list) else ():
            if not isinstance(source, dict):
                continue
            _refuse(source, b"Permissions", "1.9")
            wanted = {b"PeerName": source.get(b"Peer"), **source}
            if foreign := foreign_selector(wanted):
                raise BadRequest(f"Invalid request: {foreign}")
        return super(ServiceIntentions, cls).from_wire(raw)  # noqa: UP008 - slots make another class


def _refuse(fields: dict[Any, Any], name: bytes, since: str) -> None:
    if fields.get(name):
        raise BadRequest(
            f'invalid config key "{name.decode()}" - it came with Consul {since} and is not supported here'
        )


#: The kinds of the HTTP API.
API_KINDS: Final[Mapping[str, type[Any]]] = {
    **KINDS,
    SERVICE_INTENTIONS: ServiceIntentions,
    **dict.fromkeys(NEWER_KINDS, NewerEntry),
}


def is_shown(intention: Intention) -> bool:
    """Whether the view has an intention: its destination is in the default namespace."""
    return intention.destination_ns.lower() == DEFAULT_NAMESPACE


def entries_of(intentions: Iterable[Intention]) -> list[ServiceIntentions]:
    """The entries of all destinations, by name."""
    by_name: dict[str, list[Intention]] = {}
    for each in intentions:
        if is_shown(each):
            by_name.setdefault(each.destination_name.lower(), []).append(each)
    return [_entry(by_name[name]) for name in sorted(by_name)]


def of_destination(intentions: Iterable[Intention], name: str) -> list[Intention]:
    """The intentions of one destination; names match without regard to case."""
    return [each for each in intentions if is_shown(each) and each.destination_name.lower() == name.lower()]


def _entry(rows: Sequence[Intention]) -> ServiceIntentions:
    """The entry of the intentions of one destination. Metadata that all of them have is the entry's."""
    rows = sorted(rows, key=sort_key)
    metas = [each.meta or {} for each in rows]
    shared = metas[0] if all(meta == metas[0] for meta in metas) else {}
    sources = [
        SourceIntention(
            name=_source_name(each),
            action=each.action,
            precedence=each.precedence,
            legacy_id=each.id,
            type=each.source_type,
            description=each.description,
            legacy_meta=None if shared else meta or None,
        )
        for each, meta in zip(rows, metas, strict=True)
    ]
    return ServiceIntentions(
        kind=SERVICE_INTENTIONS,
        name=rows[0].destination_name,
        sources=sources,
        meta=shared or None,
        create_index=min(each.create_index for each in rows),
        modify_index=max(each.modify_index for each in rows),
    )


def _source_name(intention: Intention) -> str:
    if intention.source_ns.lower() == DEFAULT_NAMESPACE:
        return intention.source_name
    return f"{intention.source_ns}/{intention.source_name}"


def check(entry: ServiceIntentions) -> None:
    """Check an entry that is to be written. Raises `RPCError` with all errors."""
    wrong = [] if entry.name else ["Name is required"]
    if WILDCARD in entry.name and entry.name != WILDCARD:
        wrong.append("Name: wildcard character '*' cannot be used with partial values")
    if not entry.sources:
        wrong.append("At least one source is required")
    seen: set[str] = set()
    for number, source in enumerate(entry.sources):
        where, name = f"Sources[{number}]", source.name
        if not name:
            wrong.append(f"{where}.Name is required")
        elif WILDCARD in name and name != WILDCARD:
            wrong.append(f"{where}.Name: wildcard character '*' cannot be used with partial values")
        elif "/" in name:
            wrong.append(f"{where}.Name: Namespaces are a Consul Enterprise feature")
        elif name.lower() in seen:
            wrong.append(f'{where} defines "{name}" more than once')
        seen.add(name.lower())
        if source.action not in (ALLOW, DENY):
            wrong.append(f"{where}.Action must be set to '{ALLOW}' or '{DENY}'")
        if source.type not in ("", CONSUL_SOURCE):
            wrong.append(f"{where}.Type must be set to '{CONSUL_SOURCE}'")
        if len(source.description) > DESCRIPTION_MAX:
            wrong.append(f"{where}.Description exceeds maximum length {DESCRIPTION_MAX}")
    if wrong:
        raise RPCError(format_errors(wrong))


def intentions_of(entry: ServiceIntentions, known: Iterable[Intention]) -> tuple[list[Intention], list[Intention]]:
    """The intentions to write, with the ids of those that exist, and those to remove. `known`: of the destination."""
    existing = {_source_name(each).lower(): each for each in known}
    written = []
    for source in entry.sources:
        old = existing.pop(source.name.lower(), None)
        new = Intention(
            id=old.id if old is not None else "",
            description=source.description,
            source_ns=DEFAULT_NAMESPACE,
            source_name=source.name,
            destination_ns=DEFAULT_NAMESPACE,
            destination_name=entry.name,
            source_type=CONSUL_SOURCE,
            action=source.action,
            meta=source.legacy_meta or entry.meta,
        )
        if old is None or not _is_same(old, new):
            written.append(new)
    return written, list(existing.values())


def restored(entry: ServiceIntentions) -> Iterator[Intention]:
    """The intentions of an entry in a snapshot of newer servers, the same on every server that restores it."""
    written, _ = intentions_of(entry, ())
    for source, row in zip(entry.sources, written, strict=True):
        times = Intention.from_wire({b"CreatedAt": source.legacy_create_time, b"UpdatedAt": source.legacy_update_time})
        row.created_at, row.updated_at = times.created_at, times.updated_at
        row.id = source.legacy_id or str(uuid5(NAMESPACE_OID, f"{source.name.lower()} => {entry.name.lower()}"))
        row.precedence = precedence_of(row)
        row.create_index, row.modify_index = entry.create_index, entry.modify_index
        row.hash = hash_of(row)
        yield row


def _is_same(old: Intention, new: Intention) -> bool:
    return (old.action, old.description, old.meta or {}, old.source_name, old.destination_name) == (
        new.action, new.description, new.meta or {}, new.source_name, new.destination_name,
    )  # fmt: skip
