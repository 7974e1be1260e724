"""Conversion of unpacked values to Go types, with the errors of Go's decoder."""

from collections.abc import Callable
from typing import Any

from consulpy.codec.msgpack import pack
from consulpy.errors import WireError

#: Errors of Go's decoder (docs/wire/rpc.md 16). `{byte}`: the first byte of the value, `{kind}`: its kind.
_NO_TEXT = "readContainerLen: Unrecognized descriptor byte: hex: {byte:x}, dec: {byte}"
_NO_NUMBER = "Unhandled single-byte unsigned integer value: Unrecognized descriptor byte: {byte:x}"
_NO_BOOLEAN = "Invalid single-byte value for bool: Unrecognized descriptor byte: {byte:x}"
CONTAINER = "Only encoded map or array can be decoded into a {}. (valueType: {{kind:x}})"


class WrongType(WireError):
    """A value of another type than its field's. `go`: the error of Go's decoder."""

    def __init__(self, expected: str, value: Any, go_text: str) -> None:
        super().__init__(f"{expected}, not {type(value).__name__}")
        byte = _first_byte(value)
        self.go = go_text.format(byte=byte, kind=_go_kind(value, byte))


def _first_byte(value: Any) -> int:
    """The first byte of a value's encoding, without packing large values."""
    if isinstance(value, bytes | str):
        return 0xA0 + len(value) if len(value) < 32 else 0xDA if len(value) < 2**16 else 0xDB
    if isinstance(value, list | dict):
        few, many = (0x90, 0xDC) if isinstance(value, list) else (0x80, 0xDE)
        return few + len(value) if len(value) < 16 else many + (len(value) >= 2**16)
    return pack(value)[0]


def _go_kind(value: Any, byte: int) -> int:
    """go-msgpack's number of a value's kind."""
    if isinstance(value, bool):
        return 5
    if isinstance(value, int):
        return 3 if 0xCC <= byte <= 0xCF else 2
    return {float: 4, bytes: 6, str: 6, dict: 9, list: 10}.get(type(value), 12)


def as_text(value: Any) -> str:
    """Convert to text. Raises `WrongType`."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")  # inlined `codec.msgpack.text`
    if isinstance(value, str):  # already decoded: the peer is in the same process
        return value
    raise WrongType("text was expected", value, _NO_TEXT)


def as_bytes(value: Any) -> bytes:
    """Convert to bytes. Raises `WrongType`."""
    if isinstance(value, bytes):
        return value
    raise WrongType("bytes were expected", value, CONTAINER.format("slice"))


def as_bool(value: Any) -> bool:
    """Convert to a boolean. Raises `WrongType`."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and value in (0, 1):  # accepted by Go
        return bool(value)
    raise WrongType("a boolean was expected", value, _NO_BOOLEAN)


def as_int(value: Any) -> int:
    """Convert to an integer. Raises `WrongType`."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise WrongType("an integer was expected", value, _NO_NUMBER)


def as_float(value: Any) -> float:
    """Convert to a float. Raises `WrongType`."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise WrongType("a number was expected", value, _NO_NUMBER)


def as_list(value: Any, item: Callable[[Any], Any]) -> list[Any]:
    """Convert to a list, each value by `item`. Raises `WrongType`."""
    if isinstance(value, list):
        return [item(each) for each in value]
    raise WrongType("a list was expected", value, CONTAINER.format("slice"))


def as_map(value: Any, item: Callable[[Any], Any]) -> dict[str, Any]:
    """Convert to a map with text keys in order, each value but nil by `item`. A nil text is empty. Raises `WrongType`.

    Go sends maps in an order of chance, and shows them sorted.
    """
    if isinstance(value, dict):
        if item is as_text:  # most maps; `as_text` inlined
            return in_order(
                {
                    (key.decode("utf-8", "surrogateescape") if type(key) is bytes else as_text(key)): (
                        each.decode("utf-8", "surrogateescape")
                        if type(each) is bytes
                        else ""
                        if each is None
                        else as_text(each)
                    )
                    for key, each in value.items()
                }
            )
        return in_order({as_text(key): None if each is None else item(each) for key, each in value.items()})
    raise WrongType("a map was expected", value, _NO_TEXT)


def in_order(found: dict[str, Any]) -> dict[str, Any]:
    """The same map sorted by its keys; itself if it is."""
    if len(found) > 1:
        keys = sorted(found)
        if keys != list(found):
            return {key: found[key] for key in keys}
    return found


def as_texts(value: Any) -> list[str]:
    """Convert to a list of texts. Raises `WrongType`."""
    if isinstance(value, list):
        return [each.decode("utf-8", "surrogateescape") if type(each) is bytes else as_text(each) for each in value]
    raise WrongType("a list was expected", value, CONTAINER.format("slice"))
