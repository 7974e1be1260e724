"""Validation of the metadata of nodes and services, with Consul's error texts (recorded from a real agent)."""

import re
from collections.abc import Mapping
from typing import Final

_KEY: Final = re.compile(r"[a-zA-Z0-9_-]+")
_PAIRS_MAX: Final = 64
_KEY_MAX: Final = 128
_VALUE_MAX: Final = 512
#: A node's version in its metadata: leaders from Consul 1.16 on write it.
VERSION_META: Final = "consul-version"


def metadata_error(meta: Mapping[str, str]) -> str:
    """The error, "" for valid metadata."""
    if len(meta) > _PAIRS_MAX:
        return f"Node metadata cannot contain more than {_PAIRS_MAX} key/value pairs"
    for key, value in meta.items():
        fault = _fault(key, value)
        if fault:
            return f"Couldn't load metadata pair ('{key}', '{value}'): {fault}"
    return ""


def _fault(key: str, value: str) -> str:
    if not key:
        return "Key cannot be blank"
    if not _KEY.fullmatch(key):
        return "Key contains invalid characters"
    if _size(key) > _KEY_MAX:
        return f"Key is too long (limit: {_KEY_MAX} characters)"
    if key.startswith("consul-"):
        return "Key prefix 'consul-' is reserved for internal use"
    if _size(value) > _VALUE_MAX:
        return f"Value is too long (limit: {_VALUE_MAX} characters)"
    return ""


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogateescape"))  # Go does not validate UTF-8
