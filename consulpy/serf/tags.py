"""Tags: what a member tells of itself, in memberlist's metadata.

Source: docs/wire/gossip.md 6.7.
"""

import sys
from collections.abc import Mapping
from typing import Final

from consulpy.codec.msgpack import pack, text, unpack
from consulpy.errors import ConfigError, WireError

#: The byte before the msgpack map; metadata without it is the `role` of a Serf before protocol 3.
_MAGIC: Final = 0xFF
#: The most bytes of metadata that memberlist carries.
META_LIMIT_BYTES: Final = 512
#: Texts up to this length are nearly always the same for many members, which share them; longer ones are ids.
_SHARED_MAX: Final = 20


def encode_tags(tags: Mapping[str, str]) -> bytes:
    """The tags as metadata, keys sorted. Raises `ConfigError` when they are too long to be gossiped."""
    meta = bytes((_MAGIC,)) + pack(dict(sorted(tags.items())))
    if len(meta) > META_LIMIT_BYTES:
        raise ConfigError(f"Encoded length of tags exceeds limit of {META_LIMIT_BYTES} bytes (it is {len(meta)})")
    return meta


def decode_tags(meta: bytes) -> dict[str, str]:
    """The tags in a member's metadata; those that are no texts are left out, what does not decode has none."""
    if not meta or meta[0] != _MAGIC:
        return {"role": text(meta)} if meta else {"role": ""}
    try:
        raw = unpack(meta[1:])
    except WireError:
        return {}
    if not isinstance(raw, dict):
        return {}
    return {
        _shared(key): _shared(value) if value is not None else ""
        for key, value in raw.items()
        if isinstance(key, bytes) and (value is None or isinstance(value, bytes))
    }


def _shared(raw: bytes) -> str:
    found = text(raw)
    return sys.intern(found) if len(found) <= _SHARED_MAX else found
