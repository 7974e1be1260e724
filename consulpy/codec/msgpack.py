"""The Go dialect of msgpack in all Consul protocols (go-msgpack 0.5.5, old specification).

Text and bytes are both `raw`, distinguished only by the schema: `unpack` returns bytes, which `codec.record` converts
to text. Source: docs/wire/gossip.md section 1 and docs/wire/rpc.md section 4, checked on captured bytes.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgpack

from consulpy.errors import WireError

_unpackb: Final = msgpack.unpackb

#: Most maps and lists of one value.
CONTAINERS_MAX: Final = 1 << 18
#: Packers that are not in use. Making one takes longer than packing a message.
_packers: Final[list[msgpack.Packer]] = []
#: Bytes of a value above which its packer is dropped with its buffer, which never shrinks.
_PACKER_MAX_BYTES: Final = 64 * 1024


def pack(value: Any) -> bytes:
    """Encode `value` as real peers do: old raw strings, shortest integers, maps in the order of the dict.

    A struct must be a dict with its keys in byte order (`Record.to_wire`).
    """
    try:
        packer = _packers.pop()
    except IndexError:
        packer = msgpack.Packer(use_bin_type=False, unicode_errors="surrogateescape")
    packed: bytes = packer.pack(value)
    if len(packed) <= _PACKER_MAX_BYTES:
        _packers.append(packer)
    return packed


def pack_map(fields: Mapping[str, Any]) -> bytes:
    """Encode a struct; its keys are sorted as Go does."""
    return pack(dict(sorted(fields.items())))


def extension(code: int, data: bytes) -> msgpack.ExtType:
    """A value of a type that newer peers may send, to skip or to send on as it came.

    As `msgpack.ExtType`, which refuses the negative codes that the specification reserves.
    """
    return tuple.__new__(msgpack.ExtType, (code, data))


def unpack(data: bytes | memoryview) -> Any:
    """Decode the first complete value in `data`; texts are bytes. What follows it is ignored, as in Go's decoder.

    Raises `WireError` for anything truncated, malformed, nested deeper than the decoder allows, or of more than
    `CONTAINERS_MAX` maps and lists: as objects they take a hundred times the bytes that they came in.
    """
    try:
        if len(data) <= CONTAINERS_MAX:
            return _unpackb(data, raw=True, strict_map_key=False, ext_hook=extension)
        count = _counter()
        return _unpackb(data, raw=True, strict_map_key=False, ext_hook=extension, object_hook=count, list_hook=count)
    except msgpack.ExtraData as error:
        return error.unpacked
    except (ValueError, TypeError, RecursionError, MemoryError, msgpack.UnpackException) as error:
        raise WireError(f"msgpack: {str(error) or type(error).__name__}") from None


def unpack_whole(data: bytes) -> Any:
    """Decode the one value that `data` is. Raises `WireError`, as well if anything follows it."""
    try:
        return _unpackb(data, raw=True, strict_map_key=False, ext_hook=extension)
    except (ValueError, TypeError, RecursionError, MemoryError, msgpack.UnpackException) as error:
        raise WireError(f"msgpack: {str(error) or type(error).__name__}") from None


def _counter() -> Callable[[Any], Any]:
    count = 0

    def counted(container: Any) -> Any:
        nonlocal count
        count += 1
        if count > CONTAINERS_MAX:
            raise ValueError(f"more than {CONTAINERS_MAX} maps and lists in one value")
        return container

    return counted


def unpack_from(data: bytes | memoryview) -> tuple[Any, int]:
    """Decode the first complete value in `data`, and its length in bytes. Raises `WireError`."""
    unpacker = msgpack.Unpacker(raw=True, strict_map_key=False, ext_hook=extension, max_buffer_size=max(len(data), 1))
    try:
        unpacker.feed(data)
        value = unpacker.unpack()
    except msgpack.OutOfData:
        raise WireError("msgpack: the value is cut short") from None
    except (ValueError, TypeError, RecursionError, MemoryError, msgpack.UnpackException) as error:
        raise WireError(f"msgpack: {str(error) or type(error).__name__}") from None
    return value, unpacker.tell()


def text(raw: bytes) -> str:
    """Convert bytes from the wire to text, losslessly: Go does not validate UTF-8."""
    return raw.decode("utf-8", "surrogateescape")


def with_texts(value: Any) -> Any:
    """A value without a schema, with the bytes in it, at any depth, converted to text."""
    if isinstance(value, bytes):
        return text(value)
    if isinstance(value, list):
        return [with_texts(each) for each in value]
    if isinstance(value, dict):
        return {with_texts(key): with_texts(each) for key, each in value.items()}
    return value
