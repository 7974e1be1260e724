"""Answers as bytes: JSON as Go writes it, plain or pretty, and where an empty list is shown for none."""

import json
from typing import Any

import orjson

from consulpy.structs.check import HealthCheck
from consulpy.structs.node import Node
from consulpy.structs.service import CheckServiceNode, NodeService, ServiceNode

#: Go escapes these in JSON, so that it may stand in HTML.
_ESCAPES = ((b"<", b"\\u003c"), (b">", b"\\u003e"), (b"&", b"\\u0026"))


def to_bytes(body: Any, pretty: bool) -> bytes:
    """`body` as JSON; pretty: indented by four blanks, with a line end."""
    if pretty:
        shown = (json.dumps(body, indent=4, ensure_ascii=False) + "\n").encode("utf-8", "replace")
    else:
        try:
            shown = orjson.dumps(body)
        except TypeError:  # text that is no UTF-8 (Go does not validate), or an integer beyond 64 bits
            shown = json.dumps(body, separators=(",", ":")).encode()
    for plain, escaped in _ESCAPES:
        shown = shown.replace(plain, escaped)
    return shown


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
