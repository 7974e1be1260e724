"""Encoding of a member's tags in memberlist's metadata.

Source: docs/wire/gossip.md 6.7.
"""

import sys
from collections.abc import Mapping
from typing import Final

from consulpy.codec.msgpack import pack, text, unpack
from consulpy.errors import ConfigError, WireError

#: Byte in front of the msgpack map; metadata without it is the `role` of a Serf before protocol 3.
_MAGIC: Final = 0xFF
#: Maximum bytes of memberlist's metadata.
META_LIMIT_BYTES: Final = 512
#: Maximum length of interned texts: short ones are usually equal for many members, long ones are ids.
_SHARED_MAX: Final = 20


def encode_tags(tags: Mapping[str, str]) -> bytes:
    """Encode tags, keys sorted. Raises `ConfigError` if they are too long for the metadata."""
    meta = bytes((_MAGIC,)) + pack(dict(sorted(tags.items())))
    if len(meta) > META_LIMIT_BYTES:
        raise ConfigError(f"Encoded length of tags exceeds limit of {META_LIMIT_BYTES} bytes (it is {len(meta)})")
    return meta


def decode_tags(meta: bytes) -> dict[str, str]:
    """Decode a member's tags. Values that are no texts are left out; undecodable metadata gives no tags."""
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
