"""The page's `index.html` is a template, as Consul's is: `{{.ContentPath}}`, `{{if .ACLsEnabled}}..{{else}}..{{end}}`.

The part of Go's text/template that such a page needs: fields, texts, `if` with `not`, `else`, `end`, comments, and the
dashes that trim white space. Source: Go's documentation of text/template; real Consul 1.8.7 with `-ui-dir`.
"""

import json
import re
from collections.abc import Mapping
from typing import Final

#: An action; white space beside a dash is part of it.
_ACTION: Final = re.compile(r"(?:\s*\{\{-\s+|\{\{\s*)(/\*.*?\*/|.*?)(?:\s+-\}\}\s*|\s*\}\})", re.DOTALL)
_FIELD: Final = re.compile(r"\.([A-Za-z_][A-Za-z0-9_]*)")
_TEXT: Final = re.compile(r'"(?:[^"\\\n]|\\.)*"|`([^`]*)`')
_NO_VALUE: Final = "<no value>"


class TemplateError(ValueError):
    """The template is not one that is understood; the text has the line."""


class _Block:
    """An `if` that is open."""

    def __init__(self, *, is_shown: bool, line: int) -> None:
        self.is_shown = is_shown
        #: Whether one of its branches was chosen.
        self.is_decided = is_shown
        self.has_else = False
        self.line = line


def render(template: str, values: Mapping[str, str | bool]) -> str:
    """The template with `values` filled in as they are. Raises `TemplateError`."""
    shown: list[str] = []
    blocks: list[_Block] = []
    at = 0
    for found in _ACTION.finditer(template):
        line = template.count("\n", 0, found.start(1)) + 1
        if all(block.is_shown for block in blocks):
            shown.append(template[at : found.start()])
        at = found.end()
        action = found[1]
        word, _, rest = action.partition(" ")
        if word == "if":
            blocks.append(_Block(is_shown=_truth(rest.strip(), values, line), line=line))
        elif word in ("else", "end"):
            if not blocks:
                raise TemplateError(f"line {line}: unexpected {{{{{word}}}}}")
            if word == "end":
                blocks.pop()
            else:
                _else(blocks[-1], rest.strip(), values, line)
        elif not action.startswith("/*"):
            text = _value(action, values, line)
            if all(block.is_shown for block in blocks):
                shown.append(text)
    if blocks:
        raise TemplateError(f"line {blocks[-1].line}: {{{{if}}}} without {{{{end}}}}")
    rest = template[at:]
    if "{{" in rest:
        raise TemplateError(f"line {template.count(chr(10), 0, at + rest.index('{{')) + 1}: {{{{ without }}}}")
    return "".join([*shown, rest])


def _else(block: _Block, condition: str, values: Mapping[str, str | bool], line: int) -> None:
    if block.has_else:
        raise TemplateError(f"line {line}: unexpected {{{{else}}}}")
    is_true = True
    if condition:
        word, _, rest = condition.partition(" ")
        if word != "if":
            raise TemplateError(f"line {line}: {{{{else {condition}}}}} is not supported")
        is_true = _truth(rest.strip(), values, line)
    else:
        block.has_else = True
    block.is_shown = is_true and not block.is_decided
    block.is_decided = block.is_decided or is_true


def _truth(condition: str, values: Mapping[str, str | bool], line: int) -> bool:
    word, _, rest = condition.partition(" ")
    if word == "not":
        return not _truth(rest.strip(), values, line)
    field = _FIELD.fullmatch(condition)
    if field is None:
        raise TemplateError(f"line {line}: {{{{if {condition}}}}} is not supported")
    return bool(values.get(field[1], False))


def _value(action: str, values: Mapping[str, str | bool], line: int) -> str:
    field = _FIELD.fullmatch(action)
    if field is not None:
        value = values.get(field[1], _NO_VALUE)
        return value if isinstance(value, str) else json.dumps(value)
    text = _TEXT.fullmatch(action)
    if text is None:
        raise TemplateError(f"line {line}: {{{{{action}}}}} is not supported")
    if text[1] is not None:
        return text[1]
    try:
        return str(json.loads(action))
    except ValueError:
        raise TemplateError(f"line {line}: {action} is not a text that is understood") from None
