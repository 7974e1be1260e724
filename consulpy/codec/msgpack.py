"""The Go dialect of msgpack that every Consul protocol speaks (go-msgpack 0.5.5, old specification).

Text and bytes are both `raw`; a reader tells them apart by schema, so `unpack` gives bytes, and `structs.record` turns
them into text. Source: docs/wire/gossip.md section 1 and docs/wire/rpc.md section 4, checked on captured bytes.
"""

from collections.abc import Mapping
from typing import Any

import msgpack

from consulpy.errors import WireError


def pack(value: Any) -> bytes:
    """`value` as a real peer writes it: old raw strings, shortest integers, maps in the order of the dict.

    A struct must come as a dict whose keys are in byte order (`Record.to_wire` gives that).
    """
    packed: bytes = msgpack.packb(value, use_bin_type=False, unicode_errors="surrogateescape")
    return packed


def pack_map(fields: Mapping[str, Any]) -> bytes:
    """A struct given as keyword-like fields, its keys sorted as Go sorts them."""
    return pack(dict(sorted(fields.items())))


def unpack(data: bytes | memoryview) -> Any:
    """The first complete value in `data`; texts come as bytes; what follows it is ignored, as Go's decoder does.

    Raises `WireError` for anything truncated, malformed, or nested deeper than the decoder allows.
    """
    try:
        return msgpack.unpackb(data, raw=True, strict_map_key=False)
    except msgpack.ExtraData as error:
        return error.unpacked
    except (ValueError, TypeError, RecursionError, MemoryError, msgpack.UnpackException) as error:
        raise WireError(f"msgpack: {str(error) or type(error).__name__}") from None


def unpack_from(data: bytes | memoryview) -> tuple[Any, int]:
    """The first complete value in `data` and how many bytes it took. Raises `WireError`."""
    unpacker = msgpack.Unpacker(raw=True, strict_map_key=False, max_buffer_size=max(len(data), 1))
    try:
        unpacker.feed(data)
        value = unpacker.unpack()
    except msgpack.OutOfData:
        raise WireError("msgpack: the value is cut short") from None
    except (ValueError, TypeError, RecursionError, MemoryError, msgpack.UnpackException) as error:
        raise WireError(f"msgpack: {str(error) or type(error).__name__}") from None
    return value, unpacker.tell()


def text(raw: bytes) -> str:
    """Bytes from the wire as text, losslessly: Go does not validate UTF-8, so neither do we."""
    return raw.decode("utf-8", "surrogateescape")
