"""Rules from before 1.4 in today's words: `key` becomes `key_prefix`. Comments are not kept, nothing is validated."""

from typing import Any

from consulpy.acl.lenient_json import JsonMistake
from consulpy.acl.lenient_json import parse_all as parse_json
from consulpy.acl.rules import WORDS, InvalidRules
from consulpy.codec import hcl

Pairs = list[tuple[str, Any]]


def translate(text: str) -> str:
    """The rules as HCL prints them. Raises `InvalidRules`."""
    try:
        pairs = _pairs_of(parse_json(text)) if text.lstrip().startswith("{") else hcl.parse_pairs(text)
    except hcl.HclSyntaxError as error:
        raise InvalidRules(f"Failed to parse rules: line {error.line}: {error}") from None
    except JsonMistake as error:
        raise InvalidRules(f"Failed to parse rules: {error}") from None
    return "\n\n".join(_shown(name, value) for name, value in pairs)


def _pairs_of(tree: dict[str, Any]) -> Pairs:
    return [
        (name, _pairs_of(value) if isinstance(value, dict) else value)
        for name, values in tree.items()
        for value in values
    ]


def _shown(name: str, value: Any) -> str:
    if name in WORDS and _is_block(value):
        word = name if name.endswith("_prefix") else f"{name}_prefix"
        return "\n\n".join(_block(f"{word} {_quoted(label)}", members, "") for label, members in value)
    return _member(name, value, "")


def _member(name: str, value: Any, margin: str) -> str:
    return _block(name, value, margin) if _is_block(value) else f"{margin}{name} = {_value(value)}"


def _block(head: str, members: Any, margin: str) -> str:
    if not _is_block(members):
        return f"{margin}{head} = {_value(members)}"
    inner = margin + "  "
    shown = "\n\n".join(_member(name, value, inner) for name, value in members)
    return f"{margin}{head} {{\n{shown}\n{margin}}}" if members else f"{margin}{head} {{}}"


def _is_block(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, tuple) for each in value)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(_value(each) for each in value) + "]"
    return _quoted(value) if isinstance(value, str) else str(value)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
