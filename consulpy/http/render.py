"""Answers as bytes: JSON as Go writes it, plain or pretty, and where an empty list is shown for none."""

import json
import re
from typing import Any, Final

import orjson

from consulpy.structs.check import HealthCheck
from consulpy.structs.coordinate import Coord, Coordinate
from consulpy.structs.node import Node
from consulpy.structs.service import CheckServiceNode, NodeService, ServiceNode

#: Go escapes these in JSON, so that it may stand in HTML.
_ESCAPES: Final = ((b"<", b"\\u003c"), (b">", b"\\u003e"), (b"&", b"\\u0026"))

#: What stands in a text for bytes that were no UTF-8.
_SURROGATES: Final = re.compile("[\ud800-\udfff]")

#: Whole numbers from here on are written with an exponent.
_WHOLE_MAX: Final = 1e15


def to_bytes(body: Any, pretty: bool) -> bytes:
    """`body` as JSON; pretty: indented by four blanks, with a line end."""
    if pretty:
        shown = _loosely(json.dumps(body, indent=4, ensure_ascii=False) + "\n")
    else:
        try:
            shown = orjson.dumps(body)
        except TypeError:  # text that is no UTF-8, or an integer beyond 64 bits
            shown = _loosely(json.dumps(body, separators=(",", ":"), ensure_ascii=False))
    for plain, escaped in _ESCAPES:
        if plain in shown:
            shown = shown.replace(plain, escaped)
    return shown


def _loosely(text: str) -> bytes:
    """JSON in UTF-8, with an escaped replacement character for each byte that is none, as in Go."""
    return _SURROGATES.sub(r"\\ufffd", text).encode()


def text_bytes(text: str) -> bytes:
    """A plain text in UTF-8, with the bytes that were none as they came."""
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


def nodes(found: list[Node] | None) -> list[dict[str, Any]]:
    """A list of nodes; never null."""
    return [node.to_json() for node in found or ()]


def checks(found: list[HealthCheck] | None) -> list[dict[str, Any]]:
    """A list of checks; never null, nor their tags."""
    return [check(each) for each in found or ()]


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


def service_nodes(found: list[ServiceNode] | None) -> list[dict[str, Any]]:
    """Instances of a service with their nodes; never null, nor their tags and metadata."""
    shown = [each.to_json() for each in found or ()]
    for each in shown:
        if each["ServiceTags"] is None:
            each["ServiceTags"] = []
        if each["ServiceMeta"] is None:
            each["ServiceMeta"] = {}
    return shown


def check_service_nodes(found: list[CheckServiceNode] | None) -> list[dict[str, Any]]:
    """Instances of a service with their nodes and checks; never null."""
    return [
        {
            "Node": each.node.to_json() if each.node else None,
            "Service": service(each.service) if each.service else None,
            "Checks": checks(each.checks),
        }
        for each in found or ()
    ]
