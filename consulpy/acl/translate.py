"""Rules from before 1.4 in today's words: `key` becomes `key_prefix`. Comments are not kept, nothing is validated."""

from typing import Any, Final

from consulpy.acl.lenient_json import JsonMistake
from consulpy.acl.lenient_json import parse_all as parse_json
from consulpy.acl.rules import WORDS, InvalidRules
from consulpy.codec import hcl
from consulpy.codec.hcl import Item

#: Old words and today's.
_TODAY: Final = {word: f"{word}_prefix" for word, (_kind, is_prefix) in WORDS.items() if not is_prefix}


class _Quoted(str):
    """A name that is printed in quotes, as those of JSON are."""


def translate(text: str) -> str:
    """The rules as HCL prints them. Raises `InvalidRules`."""
    try:
        items = _items_of(parse_json(text)) if text.lstrip().startswith("{") else hcl.parse_items(text)
    except hcl.HclSyntaxError as error:
        raise InvalidRules(f"Failed to parse rules: At {error.line}:{error.column}: {error}") from None
    except JsonMistake as error:
        raise InvalidRules(f"Failed to parse rules: {error}") from None
    return "\n\n".join(_shown(item, "") for item in items)


def _items_of(tree: dict[str, Any]) -> list[Item]:
    """The members of a JSON object; those of an object of objects have its name before theirs, as in HCL."""
    return [item for name, values in tree.items() for value in values for item in _flat((_Quoted(name),), value)]


def _flat(names: tuple[str, ...], value: Any) -> list[Item]:
    if not isinstance(value, dict):
        return [(names, value)]
    inner = [(name, each) for name, values in value.items() for each in values]
    if inner and all(isinstance(each, dict) for _name, each in inner):
        return [item for name, each in inner for item in _flat((*names, _Quoted(name)), each)]
    return [(names, _items_of(value))]


def _shown(item: Item, margin: str) -> str:
    (first, *labels), value = item
    if first in _TODAY:
        word = _TODAY[first]
    elif isinstance(first, _Quoted) and first != "policy":
        word = _quoted(first)
    else:
        word = first
    head = margin + " ".join([word, *map(_quoted, labels)])
    if not _is_block(value):
        return f"{head} = {_value(value)}"
    before = "" if labels or not isinstance(first, _Quoted) else "= "
    inner = "\n\n".join(_shown(each, margin + "  ") for each in value)
    return f"{head} {before}{{\n{inner}\n{margin}}}" if value else f"{head} {before}{{}}"


def _is_block(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, tuple) for each in value)


def _value(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(_value(each) for each in value) + "]"
    return _quoted(value) if isinstance(value, str) else str(value)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
