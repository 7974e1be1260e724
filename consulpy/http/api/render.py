"""Rendering: JSON as Go writes it, compact or pretty, and the JSON forms of catalog records (empty lists for null)."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from consulpy.gocompat.json_encode import compact_json, indented_json
from consulpy.structs.check import HealthCheck
from consulpy.structs.coordinate import Coord, Coordinate
from consulpy.structs.node import Node
from consulpy.structs.service import CheckServiceNode, NodeInfo, NodeService, ServiceNode

#: Whole numbers from here on are written with an exponent.
_WHOLE_MAX: Final = 1e15

#: Rows that are rendered in one piece of a large response: about a millisecond.
_PART_ROWS: Final = 64
#: Approximate size of a check without its output, or of a service, in bytes.
_RECORD_BYTES: Final = 400


class Rows:
    """A JSON list that is rendered row by row: `show(row)` is the element of a row.

    `size(row)`: its approximate size in bytes; None: rows are small.
    """

    __slots__ = ("rows", "show", "size")

    def __init__(
        self, rows: Sequence[Any], show: Callable[[Any], Any], size: Callable[[Any], int] | None = None
    ) -> None:
        self.rows = rows
        self.show = show
        self.size = size

    def shown(self) -> list[Any]:
        """All elements."""
        return list(map(self.show, self.rows))


def to_bytes(body: Any, pretty: bool) -> bytes:
    """`body` as JSON; pretty: indented by four spaces, with a line end."""
    if body is True and not pretty:  # the answer to most writes
        return b"true"
    if isinstance(body, Rows):
        body = body.shown()
    return indented_json(body, _default) + b"\n" if pretty else compact_json(body, _default)


def _default(value: Any) -> Any:
    if isinstance(value, Rows):
        return value.shown()
    raise TypeError(f"{type(value).__name__} is not JSON")


def joined_parts(body: Any, pretty: bool, part_bytes: int) -> Iterator[bytes]:
    """The bytes of `to_bytes` in parts, for `Rows` or a map with `Rows` among its values.

    A part has about `part_bytes` of rows; other values of a map are not divided.
    """
    if isinstance(body, Rows):
        yield from _list_parts(body, pretty, part_bytes, 0)
    elif not body:
        yield compact_json(body)
    else:
        between = b"{"
        for key, value in body.items():
            yield between + (b"\n    " if pretty else b"") + compact_json(key) + (b": " if pretty else b":")
            if isinstance(value, Rows):
                yield from _list_parts(value, pretty, part_bytes, 1)
            else:
                yield _indented(to_bytes(value, pretty), 1) if pretty else to_bytes(value, pretty)
            between = b","
        yield b"\n}" if pretty else b"}"
    if pretty:
        yield b"\n"


def _list_parts(body: Rows, pretty: bool, part_bytes: int, depth: int) -> Iterator[bytes]:
    """The parts of a list without its line end; `depth`: its nesting."""
    rows, size, begin, at = body.rows, body.size, b"[", 0
    while at < len(rows):
        weight, end = 0, at
        while end < min(at + _PART_ROWS, len(rows)) and (weight < part_bytes or end == at):
            weight += size(rows[end]) if size is not None else 0
            end += 1
        shown = to_bytes(list(map(body.show, rows[at:end])), pretty)
        # without the brackets, and what stands between them and the first and last element
        yield begin + (_indented(shown, depth)[1 : -2 - 4 * depth] if pretty else shown[1:-1])
        begin, at = b",", end
    closing = b"\n" + b"    " * depth + b"]" if pretty else b"]"
    yield closing if rows else b"[]"


def _indented(shown: bytes, depth: int) -> bytes:
    """Pretty JSON without its line end, indented by `depth` more levels."""
    return shown.rstrip(b"\n").replace(b"\n", b"\n" + b"    " * depth)


def text_bytes(text: str) -> bytes:
    """A plain text as bytes; surrogates become the bytes they were."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")


def number(value: float) -> float:
    """A number as Go writes it: a whole one without its fraction."""
    return int(value) if value.is_integer() and abs(value) < _WHOLE_MAX else value


def coord(found: Coord) -> dict[str, Any]:
    """A network coordinate."""
    return {
        "Vec": [number(each) for each in found.vec],
        "Error": number(found.error),
        "Adjustment": number(found.adjustment),
        "Height": number(found.height),
    }


def coordinate(found: Coordinate) -> dict[str, Any]:
    """The coordinate of a node."""
    return {
        "Node": found.node,
        "Segment": found.segment,
        "Coord": coord(found.coord) if found.coord is not None else None,
    }


def nodes(found: list[Node] | None) -> Rows:
    """A list of nodes; never null."""
    return Rows(found or (), Node.to_json)


def checks(found: list[HealthCheck] | None) -> Rows:
    """A list of checks; never null, nor their tags."""
    return Rows(found or (), check, _output_bytes)


def _output_bytes(found: HealthCheck) -> int:
    return _RECORD_BYTES + len(found.output)


def check(found: HealthCheck) -> dict[str, Any]:
    """One check."""
    shown = found.to_json()
    if shown["ServiceTags"] is None:
        shown["ServiceTags"] = []
    return shown


def service(found: NodeService) -> dict[str, Any]:
    """One service of a node."""
    shown = found.to_json()
    if shown["Tags"] is None:
        shown["Tags"] = []
    return shown


def service_nodes(found: list[ServiceNode] | None) -> Rows:
    """Instances of a service with their nodes; never null, nor their tags and metadata."""
    return Rows(found or (), _service_node)


def _service_node(found: ServiceNode) -> dict[str, Any]:
    shown = found.to_json()
    if shown["ServiceTags"] is None:
        shown["ServiceTags"] = []
    if shown["ServiceMeta"] is None:
        shown["ServiceMeta"] = {}
    return shown


def check_service_nodes(found: list[CheckServiceNode] | None) -> Rows:
    """Instances of a service with their nodes and checks; never null."""
    return Rows(found or (), _check_service_node, _instance_bytes)


def _check_service_node(found: CheckServiceNode) -> dict[str, Any]:
    return {
        "Node": found.node.to_json() if found.node else None,
        "Service": service(found.service) if found.service else None,
        "Checks": [check(each) for each in found.checks or ()],
    }


def _instance_bytes(found: CheckServiceNode) -> int:
    return checks_bytes(found.checks)


def checks_bytes(found: list[HealthCheck] | None) -> int:
    """The approximate size of checks, in bytes."""
    return sum(_RECORD_BYTES + len(each.output) for each in found or ())


def node_info_bytes(found: NodeInfo) -> int:
    """The approximate size of a node with its services and checks, in bytes."""
    return _RECORD_BYTES * len(found.services or ()) + checks_bytes(found.checks)
