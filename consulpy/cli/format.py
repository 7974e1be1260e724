"""`-format`: the flag of all commands that print a table, a list or a record, and its JSON form."""

import json
from typing import Any, Final

from consulpy.gocompat.flag import Flag
from consulpy.gocompat.json_encode import indented_json


def output_format(text: str) -> str:
    """ "pretty" or "json". Raises `ValueError`."""
    if text not in ("pretty", "json"):
        raise ValueError("expected pretty or json")
    return text


FORMAT: Final = Flag("format", "Output format {pretty|json}", output_format, default="pretty", placeholder="string")


def as_json(value: Any) -> str:
    """JSON as Consul's commands print it; characters that a terminal would obey are escaped."""
    shown = indented_json(value).decode()
    if all(map(str.isprintable, shown.split("\n"))):
        return shown
    return "".join(one if one.isprintable() or one == "\n" else json.dumps(one)[1:-1] for one in shown)


#: Of commands that list: a filter expression, which the agent evaluates.
FILTER: Final = Flag("filter", "Filter to use with the request", default="", placeholder="string")
