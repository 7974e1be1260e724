"""Intentions: which service may connect to which; stored, listed and matched (docs/wire/rpc.md 10)."""

import hashlib
from dataclasses import field
from typing import Final

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.record import Record, go
from consulpy.gocompat.time import time_field
from consulpy.structs.options import QueryMeta, QueryOptions
from consulpy.structs.requests import Write

WILDCARD: Final = "*"
DEFAULT_NAMESPACE: Final = "default"
ALLOW, DENY = "allow", "deny"
#: The only source type.
CONSUL_SOURCE: Final = "consul"


@dataclass(slots=True)
class Intention(Record):
    """An intention. `precedence`: by the exactness of source and destination, 9 is the most exact."""

    id: str = go("ID", default="")
    description: str = ""
    source_ns: str = go("SourceNS", default="")
    source_name: str = ""
    destination_ns: str = go("DestinationNS", default="")
    destination_name: str = ""
    source_type: str = ""
    action: str = ""
    default_addr: str = ""
    default_port: int = 0
    meta: dict[str, str] | None = None
    precedence: int = 0
    created_at: bytes = time_field()
    updated_at: bytes = time_field()
    hash: bytes | None = None
    create_index: int = 0
    modify_index: int = 0

    def __str__(self) -> str:
        ends = f"{self.source_ns}/{self.source_name} => {self.destination_ns}/{self.destination_name}"
        return f"{self.action.upper()} {ends} (ID: {self.id}, Precedence: {self.precedence})"


def precedence_of(intention: Intention) -> int:
    """9 for two exact names down to 1 for two wildcards."""
    most = {2: 9, 1: 6, 0: 3}[_exactness(intention.destination_ns, intention.destination_name)]
    return most - (2 - _exactness(intention.source_ns, intention.source_name))


def _exactness(namespace: str, name: str) -> int:
    if namespace == WILDCARD:
        return 0
    return 1 if name == WILDCARD else 2


def sort_key(intention: Intention) -> tuple[int, str, str, str, str]:
    """Sort key in lists and matches: by precedence, then by name."""
    return (
        -intention.precedence,
        intention.source_ns,
        intention.source_name,
        intention.destination_ns,
        intention.destination_name,
    )


def ends(row: Intention) -> tuple[str, str, str, str]:
    """Source and destination, without regard to case."""
    names = (row.source_ns, row.source_name, row.destination_ns, row.destination_name)
    return (names[0].lower(), names[1].lower(), names[2].lower(), names[3].lower())


def hash_of(intention: Intention) -> bytes:
    """32 bytes that change with the fields that users set (BLAKE2b, as Consul's)."""
    digest = hashlib.blake2b(digest_size=32)
    parts = (
        intention.id,
        intention.description,
        intention.source_ns,
        intention.source_name,
        intention.destination_ns,
        intention.destination_name,
        intention.source_type,
        intention.action,
        intention.default_addr,
    )
    for part in parts:
        digest.update(part.encode("utf-8", "surrogateescape"))
    for key in sorted(intention.meta or {}):
        digest.update(key.encode("utf-8", "surrogateescape"))
        digest.update((intention.meta or {})[key].encode("utf-8", "surrogateescape"))
    return digest.digest()


@dataclass(slots=True)
class IntentionRequest(Write):
    """Intention.Apply and its log entry."""

    op: str = ""
    intention: Intention | None = None


@dataclass(slots=True)
class MatchEntry(Record):
    """A name whose intentions are requested."""

    namespace: str = ""
    name: str = ""


@dataclass(slots=True)
class Match(Record):
    """The requested intentions: those with these names as `source` or `destination`."""

    type: str = ""
    entries: list[MatchEntry] | None = None


@dataclass(slots=True)
class IntentionCheck(Record):
    """A query whether one service may connect to another."""

    source_ns: str = go("SourceNS", default="")
    source_name: str = ""
    destination_ns: str = go("DestinationNS", default="")
    destination_name: str = ""
    source_type: str = ""


@dataclass(slots=True)
class IntentionQuery(Record):
    """Intention.Get, Match and Check."""

    datacenter: str = ""
    intention_id: str = go("IntentionID", default="")
    match: Match | None = None
    check: IntentionCheck | None = None
    options: QueryOptions = go(inline=True, default_factory=QueryOptions)


@dataclass(slots=True)
class IntentionsReply(Record):
    """Intention.Get (a list of one) and List."""

    intentions: list[Intention] | None = None
    meta: QueryMeta = go(inline=True, default_factory=QueryMeta)


@dataclass(slots=True)
class MatchesReply(Record):
    """Intention.Match: the intentions of each name, nil where there are none."""

    matches: list[list[Intention] | None] = field(default_factory=list)
    meta: QueryMeta = go(inline=True, default_factory=QueryMeta)


@dataclass(slots=True)
class CheckReply(Record):
    """Intention.Check."""

    allowed: bool = False
